"""Distribution strategies, and how batches, rows and sums pass between replicas."""

from __future__ import annotations

import contextlib
import functools

import tensorflow as tf

from kerasft.data.batches.autotune import without_autotune
from kerasft.errors import UserError
from kerasft.training.distribution.workers import Cluster, Workers, hidden_variable, read_cluster


def build_strategy(name: str) -> tf.distribute.Strategy:
    """Builds the `tf.distribute` strategy of a recipe.

    Args:
        name: `auto` (MultiWorkerMirroredStrategy if `TF_CONFIG` lists several processes, else
            MirroredStrategy over the GPUs if there are any, else one device), `one_device`,
            `mirrored` (over all GPUs; without one, over all logical CPUs), or `multi_worker`.

    Raises:
        UserError: If `TF_CONFIG` is damaged, or missing where it is needed.
    """
    cluster = read_cluster() if name in ("auto", "multi_worker") else None
    if name == "multi_worker" and cluster is None:
        raise UserError(
            "Several processes train together, and nothing says which they are.",
            received='training.strategy="multi_worker" without the variable TF_CONFIG',
            fix="start it with `kerasft launch --workers 2 -- ...`, or see docs/scaling.md.",
        )
    is_alone = cluster is None or cluster.num_workers == 1
    if name == "multi_worker" or not is_alone:
        return _build_multi_worker(is_alone=is_alone)
    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    cpus = [cpu.name for cpu in tf.config.list_logical_devices("CPU")]
    if name == "one_device" or (name == "auto" and not gpus):
        return tf.distribute.OneDeviceStrategy((gpus or cpus)[0])
    return _build_mirrored(tuple(gpus or cpus))


def build_workers(strategy: tf.distribute.Strategy) -> Workers:
    """Returns the processes that train under a strategy."""
    is_several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return Workers(strategy, (read_cluster() if is_several else None) or Cluster())


def describe_strategy(strategy: tf.distribute.Strategy) -> str:
    """Returns a short description: type of the strategy, number and type of its devices."""
    devices = strategy.extended.worker_devices
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in devices}
    count, processes = strategy.num_replicas_in_sync, build_workers(strategy).count
    where = f" in {processes} processes" if processes > 1 else ""
    return f"{type(strategy).__name__}, {count} x {'/'.join(sorted(kinds))}{where}"


def distribute(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset):
    """Splits each global batch over the replicas, rows dealt in turn.

    A batch is sorted by length, so this gives all replicas texts of similar length. The batch size
    must be a multiple of the number of replicas (rows of weight 0 fill a short batch). Returns an
    iterable for `strategy.run`.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def parts_of(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = replicas // context.num_input_pipelines  # in this process
        first = own * context.input_pipeline_id

        def split(*batch):
            return tf.data.Dataset.from_tensor_slices(
                tf.nest.map_structure(
                    lambda rows: _deal(rows, replicas)[first : first + own], batch
                )
            )

        return without_autotune(dataset.flat_map(split).prefetch(2 * own))

    return strategy.distribute_datasets_from_function(parts_of)


def gather_rows(strategy: tf.distribute.Strategy, parts) -> tf.Tensor:
    """Gathers the replicas' rows; every replica in every process gets the whole batch.

    The inverse of `distribute`: row i comes from replica i mod n. `parts` is what `strategy.run`
    returned, `(batch / replicas, ...)` per replica.
    """
    rows = strategy.gather(parts, axis=0)
    replicas, shape = strategy.num_replicas_in_sync, tf.shape(rows)
    by_replica = tf.reshape(rows, tf.concat([[replicas, shape[0] // replicas], shape[1:]], axis=0))
    return tf.reshape(_swap_first_axes(by_replica), shape)


def sum_over_replicas(tensors):
    """Sums a structure of tensors over the replicas; on one device returns it unchanged."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def sum_step(gradients, loss_sum, weight, *, sent_as: str):
    """Returns gradients (dense if there are replicas) and two scalars, summed over the replicas.

    Gradients are rounded to the dtype `sent_as` before they are sent.
    """
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    if not several or sent_as == "float32":
        return sum_over_replicas((gradients, loss_sum, weight))
    # Separately, since one all-reduce has one dtype.
    sent = [tf.cast(gradient, sent_as) for gradient in gradients]
    sums = [tf.cast(total, tf.float32) for total in sum_over_replicas(sent)]
    return sums, *sum_over_replicas((loss_sum, weight))


@functools.cache
def _build_multi_worker(*, is_alone: bool) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Builds this process's only strategy, which waits here for the other processes.

    `is_alone`: there are no others, so it opens no port.
    """
    with hidden_variable() if is_alone else contextlib.nullcontext():
        return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _build_mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """Builds the only MirroredStrategy over these devices.

    Each strategy numbers its all-reduces from the same start, but TensorFlow remembers their shapes
    by number for the whole process: with a second one, a second model could not train.
    """
    with hidden_variable():
        return tf.distribute.MirroredStrategy(devices)


def _deal(rows: tf.Tensor, replicas: int) -> tf.Tensor:
    """Reshapes `(batch, ...)` to `(replicas, batch / replicas, ...)`, row i to replica i mod n."""
    shape = tf.shape(rows)
    dealt = tf.reshape(rows, tf.concat([[shape[0] // replicas, replicas], shape[1:]], axis=0))
    result = _swap_first_axes(dealt)
    result.set_shape([replicas, None, *rows.shape[1:]])
    return result


def _swap_first_axes(tensor: tf.Tensor) -> tf.Tensor:
    return tf.transpose(tensor, tf.concat([[1, 0], tf.range(2, tf.rank(tensor))], axis=0))

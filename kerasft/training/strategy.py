"""On which devices a run trains."""

from __future__ import annotations

import functools

import tensorflow as tf


def build_strategy(name: str) -> tf.distribute.Strategy:
    """Builds the `tf.distribute` strategy of a recipe.

    Args:
        name: `auto` (MirroredStrategy over the GPUs if there are any, else one device),
            `one_device`, or `mirrored` (over all GPUs; without one, over all logical CPUs).
    """
    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    cpus = [cpu.name for cpu in tf.config.list_logical_devices("CPU")]
    if name == "one_device" or (name == "auto" and not gpus):
        return tf.distribute.OneDeviceStrategy((gpus or cpus)[0])
    return _build_mirrored(tuple(gpus or cpus))


def describe_strategy(strategy: tf.distribute.Strategy) -> str:
    """Returns a short name for people: kind of strategy, number and kind of its devices."""
    devices = strategy.extended.worker_devices
    kinds = {tf.DeviceSpec.from_string(device).device_type for device in devices}
    return f"{type(strategy).__name__}, {len(devices)} x {'/'.join(sorted(kinds))}"


def distribute(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset):
    """Splits each global batch over the replicas, rows dealt out in turn.

    Dealing rows in turn gives every replica texts of about the same length, as a batch is sorted
    by length. The batch size must be a multiple of the number of replicas (rows of weight 0 fill
    a short batch up).

    Args:
        strategy: The strategy.
        dataset: Global batches.

    Returns:
        An iterable of what `strategy.run` takes.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def split(*batch):
        return tf.data.Dataset.from_tensor_slices(
            tf.nest.map_structure(lambda rows: _deal(rows, replicas), batch)
        )

    parts = dataset.flat_map(split).prefetch(2 * replicas)
    return strategy.distribute_datasets_from_function(lambda context: parts)


@functools.cache
def _build_mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """Builds the one MirroredStrategy over these devices.

    Each strategy numbers its all-reduces from the same start, while TensorFlow remembers their
    shapes by number for the whole process: with a second one, a second model could not train.
    """
    return tf.distribute.MirroredStrategy(devices)


def _deal(rows: tf.Tensor, replicas: int) -> tf.Tensor:
    """Reshapes `(batch, ...)` to `(replicas, batch / replicas, ...)`, row i to replica i mod n."""
    shape = tf.shape(rows)
    dealt = tf.reshape(rows, tf.concat([[shape[0] // replicas, replicas], shape[1:]], axis=0))
    order = tf.concat([[1, 0], tf.range(2, tf.rank(dealt))], axis=0)
    result = tf.transpose(dealt, order)
    result.set_shape([replicas, None, *rows.shape[1:]])
    return result

"""What every family of encoders must do: `check_family`, as KerasHub's `run_backbone_test`.

Each technique of docs/techniques.md is tried on a tiny backbone with random weights, and what it
promises is checked: that a frozen layer stays, that a LoRA adds nothing at the start. A technique
that a family has not must be refused by name.

Length: one check a technique.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.quantization import compress_weights, dtype_policy_of
from kerasft.models.adapters.adapter import adapter_of, add_adapter, merge_adapter
from kerasft.models.depth import encoder_groups, first_steps, freeze, rate_scales, reinitialize
from kerasft.models.dropout import split_dropouts
from kerasft.models.encoder import Encoder
from kerasft.models.families.family import Family
from kerasft.models.fast.fast_ops import without_gradients
from kerasft.tasks.classification import Classification
from kerasft.training.checkpoints.adapter_file import collect_adapter, load_adapter, save_adapter
from kerasft.training.checkpoints.checkpoint import restore, save_weights, weights_path
from kerasft.training.loop.unfreezing import GradualUnfreezing
from kerasft.training.step.fine_tuner import FineTuner
from kerasft.training.step.objective import Objective
from kerasft.training.step.optimizer import AdamW
from tests.conftest import op_names

NUM_LAYERS, HIDDEN_DIM, VOCABULARY_SIZE = 2, 16, 60
LENGTHS, LABELS = (9, 5, 1, 7, 3, 8), (0, 1, 1, 0, 1, 0)
TASK = Classification(("neg", "pos"))


class Case(NamedTuple):
    """A family under test.

    Args:
        build: `build(dropout=..., dtype=...)` returns a backbone of `NUM_LAYERS` layers, with
            hidden vectors of `HIDDEN_DIM` and `VOCABULARY_SIZE` tokens.
        folder: An empty one.
        kernels: The compiled kernels.
    """

    family: Family
    build: Callable[..., Any]
    folder: Path
    kernels: Any

    def backbone(self, *, dropout=0.0, dtype="float32"):
        """Builds a backbone whose every weight is random, the same each time."""
        keras.utils.set_random_seed(3)
        backbone = self.build(dropout=dropout, dtype=dtype)
        random = np.random.default_rng(1)
        for weight in backbone.weights:
            start = float(weight.path.endswith(("gamma", "scale")))
            weight.assign(start + random.normal(0, 0.3, weight.shape))
        return backbone

    def encoder(self, *, dropout=0.0, dtype="float32", **options) -> Encoder:
        """Builds an encoder."""
        return Encoder(self.backbone(dropout=dropout, dtype=dtype), **options)

    def tuner(self, encoder, *, rate=0.01, lazy_table=None, **options) -> FineTuner:
        """Builds a compiled model."""
        head = TASK.build_head(hidden_dim=HIDDEN_DIM, dropout=0.0, seed=1)
        model = FineTuner(encoder, head, **options)
        scales = rate_scales(encoder, head, layer_decay=0.5, head_scale=1.0)
        optimizer = AdamW(rate, rate_scales=scales, lazy_table=lazy_table)
        model.compile(optimizer, TASK.build_loss(), jit_compile=False)
        optimizer.build(model.trainable_variables)
        return model


def _inputs():
    """Texts of `LENGTHS`; the segment of a token is whether its id is odd."""
    rows = np.random.default_rng(2).integers(5, VOCABULARY_SIZE, (len(LENGTHS), max(LENGTHS)))
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    rows, mask = (rows * mask).astype("int32"), mask.astype("int32")
    return {"token_ids": rows, "segment_ids": rows % 2, "padding_mask": mask}


INPUTS = _inputs()
BATCH = tf.nest.map_structure(
    tf.constant, (INPUTS, np.array(LABELS, "int32"), np.ones(len(LENGTHS), "float32"))
)


def largest(difference) -> float:
    """The largest difference at real tokens."""
    return float(np.abs(np.asarray(difference)[INPUTS["padding_mask"] == 1]).max())


def values_of(variables) -> dict[str, np.ndarray]:
    """Copies of variables, by path."""
    return {variable.path: np.array(variable.numpy()) for variable in variables}


def changed(before, variables) -> set[str]:
    """The paths of the variables that have changed."""
    after = values_of(variables)
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


def paths_of(variables) -> set[str]:
    """The paths of variables."""
    return {variable.path for variable in variables}


def step_changes(model) -> set[str]:
    """Trains a step; returns the paths of the encoder's weights that it changed."""
    before = values_of(model.encoder.weights)
    assert np.isfinite(float(model.train_step(BATCH)["gradient_norm"]))
    return changed(before, model.encoder.weights)


def gradients_of(encoder):
    """Outputs and gradients in training; not in a graph, whose optimizer reorders sums."""
    variables = [variable.value for variable in encoder.trainable_variables]
    with tf.GradientTape() as tape:
        hidden = tf.cast(encoder(INPUTS, training=True), tf.float32)
        loss = tf.reduce_sum(tf.sin(hidden) * INPUTS["padding_mask"][..., None])
    gradients = map(tf.convert_to_tensor, tape.gradient(loss, variables))
    return [tensor.numpy() for tensor in (hidden, *gradients)]


# --- always


def check_outputs(case: Case) -> None:
    """The backbone's own call gives the same, for texts of several lengths."""
    backbone = case.backbone()
    assert {tensor.name for tensor in backbone.inputs} == set(case.family.inputs)
    own = {name: INPUTS[name] for name in case.family.inputs}
    theirs = backbone(own)
    theirs = theirs["sequence_output"] if isinstance(theirs, dict) else theirs
    assert largest(Encoder(backbone)(INPUTS) - theirs) < 1e-6 * max(1.0, largest(theirs))
    with without_gradients():
        assert largest(Encoder(backbone)(INPUTS) - theirs) < 1e-6 * max(1.0, largest(theirs))
    unmasked = INPUTS | {"padding_mask": np.ones_like(INPUTS["padding_mask"])}
    assert largest(Encoder(backbone)(unmasked) - theirs) > 1e-3  # control


def check_layers(case: Case) -> None:
    """Every weight is of one group and named, and every layer that is listed is there."""
    encoder = case.encoder()
    groups = encoder_groups(encoder)
    assert [group.name for group in groups] == ["embeddings", "layer 0", "layer 1"]
    grouped = [weight.path for group in groups for weight in group.weights]
    assert len(set(grouped)) == len(grouped)
    assert set(grouped) == paths_of(encoder.trainable_weights)
    assert len(step_changes(case.tuner(encoder))) == len(grouped)  # a gradient reaches each
    norms = {path for norm in encoder.layer_map.norms for path in paths_of(norm.weights)}
    assert norms == {path for path in grouped if path.endswith(("gamma", "beta"))}
    assert encoder.embedding_dim == encoder.layer_map.token_table.embeddings.shape[1]


def check_dtype(case: Case) -> None:
    """Mixed bfloat16 gives about the same, with float32 weights."""
    mixed, exact = case.encoder(dtype="mixed_bfloat16"), case.encoder()
    outputs = mixed(INPUTS)
    assert outputs.dtype == tf.bfloat16
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    expected = np.asarray(exact(INPUTS))
    assert 0 < largest(tf.cast(outputs, tf.float32) - expected) < 0.1 * largest(expected)


def check_files(case: Case) -> None:
    """Weights and adapters are saved and loaded."""
    encoder = case.encoder()
    expected = np.asarray(encoder(INPUTS))
    save_weights(case.folder, 1, encoder.weights)
    for weight in encoder.weights:
        weight.assign(0 * weight)
    restore(weights_path(case.folder, 1), encoder.weights)
    assert np.array_equal(encoder(INPUTS), expected)
    model = case.tuner(_adapted(case, "lora"))
    model.train_step(BATCH)
    record = {"kind": "single", "label_names": ["neg", "pos"]}
    saved = collect_adapter(model.encoder, model.head)
    save_adapter(case.folder / "adapter", saved, preset="tiny", task=record)
    other = case.encoder()
    load_adapter(case.folder / "adapter", other)
    assert np.array_equal(other(INPUTS), model.encoder(INPUTS))
    assert not np.array_equal(other(INPUTS), expected)


# --- what the recipe may ask for


def _adapted(case: Case, method: str) -> Encoder:
    encoder = case.encoder()
    add_adapter(encoder, method=method, rank=2, bottleneck_dim=4)
    return encoder


def check_pooled(case: Case) -> None:
    """The pretrained pooling layer is used and trained."""
    encoder = case.encoder(pooling="pooled")
    pooled = encoder.pool(encoder(INPUTS), INPUTS["padding_mask"])
    assert np.abs(pooled - encoder(INPUTS)[:, 0]).max() > 1e-3
    assert paths_of(encoder.layer_map.pooler.weights) <= step_changes(case.tuner(encoder))


def check_segments(case: Case) -> None:
    """The two texts of a pair are told apart."""
    if "segment_ids" not in case.family.inputs:
        raise UserError("It has no segments.")
    encoder = case.encoder()
    others = INPUTS | {"segment_ids": 1 - INPUTS["segment_ids"]}
    assert largest(encoder(others) - encoder(INPUTS)) > 1e-3


def check_lora(case: Case) -> None:
    """Adds nothing at the start, trains only its own weights, and can be merged."""
    plain = np.asarray(case.encoder()(INPUTS))
    for matrices in (("query", "value"), ("key", "output", "feedforward")):
        encoder = case.encoder()
        base = paths_of(encoder.weights)
        add_adapter(encoder, method="lora", matrices=matrices, rank=2)
        assert largest(encoder(INPUTS) - plain) < 1e-6 * max(1.0, largest(plain))
        model = case.tuner(encoder, rate=0.1)
        assert not step_changes(model) & base
        model.train_step(BATCH)
        trained = np.asarray(encoder(INPUTS))
        assert largest(trained - plain) > 1e-3
        assert merge_adapter(encoder) > 0
        assert largest(encoder(INPUTS) - trained) < 1e-5 * max(1.0, largest(plain))
        assert adapter_of(encoder) is None


def check_bitfit(case: Case) -> None:
    """Trains biases, and nothing else."""
    found = step_changes(case.tuner(_adapted(case, "bitfit")))
    assert found
    assert {path.rpartition("/")[2] for path in found} <= {"bias", "beta"}


def check_houlsby(case: Case) -> None:
    """Trains two bottlenecks a layer and the norms inside the layers."""
    encoder = _adapted(case, "houlsby")
    own = {path for path in paths_of(encoder.weights) if "/down/" in path or "/up/" in path}
    added = adapter_of(encoder).added
    assert len(added) == NUM_LAYERS * 2 * 4
    assert added <= own
    norms = [norm for block in encoder.layer_map.blocks for norm in block.norms]
    found = step_changes(case.tuner(encoder))
    assert found == added | {path for norm in norms for path in paths_of(norm.weights)}


def check_freezing(case: Case) -> None:
    """Freezing by depth freezes what it says, and nothing above."""
    for options, frozen in (({"embeddings": True}, 1), ({"lowest_layers": 1}, 2)):
        encoder = case.encoder()
        freeze(encoder, **options)
        groups = encoder_groups(encoder)
        above = {weight.path for group in groups[frozen:] for weight in group.weights}
        assert step_changes(case.tuner(encoder)) == above


def check_unfreezing(case: Case) -> None:
    """The top layer is trained first, and one more layer in each stage."""
    encoder = case.encoder()
    unfreezing = GradualUnfreezing(every=2)
    model = case.tuner(encoder)
    groups = encoder_groups(encoder)
    steps = first_steps(encoder, 2)
    for stage in range(len(groups)):
        unfreezing.set_stage(model, 2 * stage)
        expected = {w.path for group in groups[-1 - stage :] for w in group.weights}
        assert step_changes(model) == expected
        assert {path for path, first in steps.items() if first <= 2 * stage} == expected


def check_layer_decay(case: Case) -> None:
    """Each layer has half the rate of the layer above, the embeddings the least."""
    encoder = case.encoder()
    head = TASK.build_head(hidden_dim=HIDDEN_DIM, dropout=0.0, seed=1)
    scales = rate_scales(encoder, head, layer_decay=0.5, head_scale=1.0)
    groups = encoder_groups(encoder)
    rates = [{scales[weight.path] for weight in group.weights} for group in groups]
    assert rates == [{0.125}, {0.25}, {0.5}]
    assert scales.keys() == paths_of(encoder.trainable_weights)


def check_reinitialization(case: Case) -> None:
    """The top layer gets new weights."""
    encoder = case.encoder()
    before = values_of(encoder.weights)
    reinitialize(encoder, 1, seed=1)
    assert changed(before, encoder.weights) == paths_of(encoder_groups(encoder)[-1].weights)


def check_stochastic_depth(case: Case) -> None:
    """At the highest rate no text passes the top layer."""
    for rate in (1.0, 0.0):  # the second is a control
        outputs = []
        for factor in (1.0, 2.0):
            encoder = case.encoder(stochastic_depth=rate)
            for weight in encoder_groups(encoder)[-1].layers[0].weights:
                weight.assign(factor * weight)
            outputs.append(np.asarray(encoder(INPUTS, training=True)))
        assert (largest(outputs[0] - outputs[1]) == 0) is bool(rate)


@functools.cache
def _gradient_norm(case: Case, objective: Objective) -> float:
    model = case.tuner(case.encoder(dropout=0.2), objective=objective)
    return float(model.train_step(BATCH)["gradient_norm"])


def _objective(case: Case, **options) -> None:
    """A step under another objective has another gradient than the plain one."""
    plain = _gradient_norm(case, Objective())
    norm = _gradient_norm(case, Objective(divergence=TASK.divergence, **options))
    assert np.isfinite([plain, norm]).all()
    assert abs(norm / plain - 1) > 1e-4


def check_adversarial(case: Case) -> None:
    """FGM: the token embeddings are moved."""
    _objective(case, adversarial_epsilon=0.5)


def check_r_drop(case: Case) -> None:
    """Two passes under different dropout."""
    _objective(case, r_drop=1.0)


def check_mixup(case: Case) -> None:
    """Pooled vectors are mixed."""
    _objective(case, mixup_alpha=0.5)


def check_checkpointing(case: Case) -> None:
    """Outputs and gradients are those without it, under the same dropout, bit for bit."""
    options = {"dropout": 0.2, "dtype": "mixed_bfloat16"}
    plain, again = (
        gradients_of(case.encoder(**options, gradient_checkpointing=again))
        for again in (False, True)
    )
    for ours, theirs in zip(again, plain, strict=True):
        assert np.array_equal(ours, theirs)
    other = gradients_of(case.encoder(**options | {"dropout": 0.3}))  # control
    assert largest(other[0] - plain[0]) > 1e-3


def check_attention_chunk(case: Case) -> None:
    """In chunks of queries the outputs are the same."""
    whole = np.asarray(case.encoder()(INPUTS))
    chunked = case.encoder(attention_chunk=2)

    @tf.function
    def run():
        return chunked(INPUTS)

    assert largest(run() - whole) < 1e-5 * max(1.0, largest(whole))
    if not {"While", "StatelessWhile"} & op_names(run.get_concrete_function()):
        raise UserError("It computes all queries at once.")


def check_dropouts(case: Case) -> None:
    """The dropout of attention weights and all other dropouts have rates of their own."""
    for dropout, attention in ((0.5, 0.0), (0.0, 0.5), (0.0, 0.0)):
        backbone = case.backbone(dropout=0.5)
        layer_map = case.family.map_layers(backbone)
        split_dropouts(layer_map, dropout=dropout, attention_dropout=attention)
        encoder = Encoder(backbone)
        first, second = (np.asarray(encoder(INPUTS, training=True)) for _ in range(2))
        assert (largest(first - second) > 1e-3) is bool(dropout or attention)


def check_lazy_rows(case: Case) -> None:
    """Rows of the token table that no text holds are not updated in each step."""
    encoder = case.encoder()
    table = encoder.layer_map.token_table.embeddings
    model = case.tuner(encoder, lazy_table=table.path)
    before = np.array(table.numpy())
    model.train_step(BATCH)
    moved = np.flatnonzero(np.abs(table.numpy() - before).max(axis=1))
    assert set(moved) == set(np.unique(INPUTS["token_ids"]))


def check_kernels(case: Case) -> None:
    """The step computes by kernels, and trains the same."""
    plain, fused = (case.tuner(case.encoder(dropout=0.2)) for _ in range(2))
    plain.train_step(BATCH)
    fused.kernels = fused.optimizer.kernels = case.kernels
    step = tf.function(lambda data: fused.train_step(data))
    names = op_names(step.get_concrete_function(BATCH))
    step(BATCH)
    expected = values_of(plain.encoder.weights)
    for path, value in values_of(fused.encoder.weights).items():
        np.testing.assert_allclose(value, expected[path], atol=1e-4, err_msg=path)
    if "KerasftAddNorm" not in names:
        raise UserError("Its layers compute with TensorFlow's operations.")


def _quantized(case: Case, method: str) -> None:
    """Kernels and tables are rounded, and the outputs stay about the same."""
    dtype = dtype_policy_of(method)
    encoder = case.encoder(dtype=dtype)
    expected = np.asarray(case.encoder()(INPUTS))
    rounded = {weight.variable.path for weight in compress_weights(encoder, method)}
    matrices = {w.path for w in encoder.weights if w.path.endswith(("kernel", "embeddings"))}
    assert rounded == matrices
    assert 0 < largest(tf.cast(encoder(INPUTS), tf.float32) - expected) < 0.1 * largest(expected)


def check_int8(case: Case) -> None:
    """Export in int8."""
    _quantized(case, "int8")


def check_bfloat16(case: Case) -> None:
    """Export in bfloat16."""
    _quantized(case, "bfloat16")


ALWAYS = (check_outputs, check_layers, check_dtype, check_files)
TECHNIQUES = {
    '`model.pooling = "pooled"`': check_pooled,
    "segments of a pair of texts": check_segments,
    "`model.dropout`, `model.attention_dropout`": check_dropouts,
    '`adapter.method = "lora"`': check_lora,
    '`adapter.method = "bitfit"`': check_bitfit,
    '`adapter.method = "houlsby"`': check_houlsby,
    "`freezing.embeddings`, `freezing.lowest_layers`": check_freezing,
    "`training.unfreeze_every_epochs`": check_unfreezing,
    "`training.layer_decay`": check_layer_decay,
    "`regularization.reinitialize_layers`": check_reinitialization,
    "`regularization.stochastic_depth`": check_stochastic_depth,
    "`regularization.adversarial_epsilon`": check_adversarial,
    "`regularization.r_drop`": check_r_drop,
    "`regularization.mixup_alpha`": check_mixup,
    "`performance.gradient_checkpointing`": check_checkpointing,
    "`performance.attention_chunk`": check_attention_chunk,
    "`performance.kernels`": check_kernels,
    "`performance.lazy_embeddings`": check_lazy_rows,
    "`kerasft export --quantize int8` or `float16`": check_int8,
    "`kerasft export --quantize bfloat16`": check_bfloat16,
}


def check_family(case: Case) -> dict[str, bool]:
    """Checks a family; returns for each technique whether the family has it."""
    for check in ALWAYS:
        check(case)
    found = {}
    for name, check in TECHNIQUES.items():
        found[name] = False
        with contextlib.suppress(UserError):
            check(case)
            found[name] = True
    return found

"""What the benchmarks of a training step share: models, batches of tokens.

By default a model of random weights is of the default encoder's size: its answers are worth
nothing, and take as long as others.
"""

from __future__ import annotations

import kerasft  # noqa: F401 - before TensorFlow: with oneDNN, as a run


def build_model(
    *,
    dtype: str,
    layers: int = 6,
    width: int = 384,
    longest: int = 512,
    vocabulary_size: int = 30522,
    lazy: bool = False,
    kernels=None,
    **options: object,
):
    """Builds a classifier with dropout 0.1 that is ready to take steps of AdamW.

    Args:
        dtype: Policy of the encoder.
        layers: Of the encoder.
        width: Of its hidden vectors, in heads of 32; those inside a layer are four times as wide.
        longest: Tokens of the longest text.
        vocabulary_size: Rows of the token table.
        lazy: Whether the token table is updated row by row.
        kernels: Of `kerasft.models.fast.kernels`; `None`: TensorFlow's operations.
        options: Of `kerasft.models.encoder.Encoder`.
    """
    import keras_hub

    from kerasft.models.encoder import Encoder

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=layers,
        num_heads=width // 32,
        hidden_dim=width,
        intermediate_dim=4 * width,
        max_sequence_length=longest,
        dropout=0.1,
        dtype=dtype,
    )
    table = backbone.token_embedding.embeddings.path if lazy else None
    return _compiled(Encoder(backbone, **options), table, kernels=kernels)


def build_default_model(kernels=None):
    """Builds a classifier of the default encoder with dropout 0.1, in the precision of a run.

    Args:
        kernels: Of `kerasft.models.fast.kernels`; `None`: TensorFlow's operations.
    """
    import keras

    from kerasft.models.encoder import Encoder
    from kerasft.models.presets import load_preset
    from kerasft.training.step.precision import resolve_dtype_policy

    keras.utils.set_random_seed(1)
    policy = resolve_dtype_policy("auto")
    preset = load_preset("minilm_l6_en_uncased", dropout=0.1, dtype=policy)
    return _compiled(Encoder(preset.backbone), kernels=kernels)


def make_batch(lengths, multiple: int = 1):
    """Makes a batch of texts of these lengths.

    Args:
        lengths: Tokens of each text.
        multiple: The width of the batch is a multiple of it.
    """
    import numpy as np
    import tensorflow as tf

    from kerasft.data.plan.balance import padded_length

    lengths = np.asarray(lengths)
    shape = (len(lengths), padded_length(lengths, multiple))
    real = (np.arange(shape[1]) < lengths[:, None]).astype("int32")
    ids = np.random.default_rng(1).integers(1000, 30000, shape, dtype="int32") * real
    inputs = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": real}
    return tf.nest.map_structure(tf.constant, (inputs, ids[:, 0] % 2))


def _compiled(encoder, lazy_table: str | None = None, **options: object):
    """Sets a head on an encoder and compiles both, ready to take steps of AdamW."""
    from kerasft.tasks.task import build_task
    from kerasft.training.step.fine_tuner import FineTuner
    from kerasft.training.step.optimizer import AdamW

    task = build_task("single", ["a", "b"])
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.1, seed=1)
    model = FineTuner(encoder, head, global_clipnorm=1.0)
    optimizer = AdamW(1e-5, lazy_table=lazy_table)
    model.compile(optimizer=optimizer, loss=task.build_loss(), jit_compile=False, **options)
    model.optimizer.build(model.trainable_variables)
    return model

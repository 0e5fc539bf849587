"""Makes the pieces of a run out of its recipe: data, preprocessor, task, model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasft.data.batch_plan import BatchPlan, evaluation_batches
from kerasft.data.batches import build_evaluation_dataset, build_train_dataset
from kerasft.data.sources import Source, load_source
from kerasft.data.splits import Splits, build_splits
from kerasft.data.token_store import TokenStore, load_or_build_token_store
from kerasft.errors import UserError
from kerasft.models.encoder import Encoder
from kerasft.models.presets import Preset, load_preset
from kerasft.recipe import Recipe, resolve_duration
from kerasft.tasks.classification import Classification
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.fine_tuner import FineTuner
from kerasft.training.loop import predict_logits
from kerasft.training.optimizer import AdamW
from kerasft.training.schedule import WarmupPolynomialDecay


@dataclasses.dataclass(frozen=True)
class Data:
    """The tokenized examples of a run.

    Args:
        source: Where they came from.
        stores: A token store for each of `train`, `validation` and `test`. Validation is cut
            from the dataset's train split, but may keep more tokens of a text.
        splits: Which examples train, validate and test.
    """

    source: Source
    stores: dict[str, TokenStore]
    splits: Splits

    def examples(self, split: str) -> tuple[TokenStore, np.ndarray]:
        """Returns the store that holds a split's examples, and which of them they are."""
        return self.stores[split], getattr(self.splits, split)

    def labels(self, split: str) -> np.ndarray:
        """Returns the labels of a split, int32 `(num_examples,)`."""
        store, indices = self.examples(split)
        return store.labels[indices]


def load_data(recipe: Recipe, preset: Preset, *, announce: Callable[[str], None]) -> Data:
    """Finds the dataset, tokenizes what is not tokenized yet, and splits it.

    Args:
        recipe: The recipe.
        preset: The encoder, whose vocabulary the texts are written in.
        announce: Told, in lines for people, what was found and what was left out.
    """
    settings = recipe.data
    source = load_source(settings.dataset, settings.data_dir, recipe.may_fall_back, warn=announce)
    preprocessor = build_preprocessor(recipe, preset)
    stores = {
        split: load_or_build_token_store(source, name, preprocessor=preprocessor, warn=announce)
        for split, name in (("validation", "train"), ("test", "test"))
    }
    stores["train"] = _load_train_store(recipe, preset, source, stores["validation"], announce)
    splits = build_splits(
        stores["train"].text_hashes,
        stores["train"].labels,
        stores["test"].text_hashes,
        validation_fraction=settings.validation_fraction,
        num_examples={"train": settings.train_examples, "test": settings.test_examples},
        keep_train_test_duplicates=settings.keep_train_test_duplicates,
        seed=recipe.training.seed,
    )
    announce(_describe_splits(source, splits))
    return Data(source, stores, splits)


def _load_train_store(recipe, preset, source, whole: TokenStore, announce) -> TokenStore:
    """Returns the store to train on: that of evaluation, unless training keeps fewer tokens."""
    length = recipe.training.sequence_length
    if length in (None, recipe.model.sequence_length):
        return whole
    preprocessor = build_preprocessor(recipe, preset, sequence_length=length)
    return load_or_build_token_store(source, "train", preprocessor=preprocessor, warn=announce)


def build_preprocessor(
    recipe: Recipe, preset: Preset, *, sequence_length: int | None = None
) -> WordPiecePreprocessor:
    """Builds the graph from raw text to token ids.

    Args:
        recipe: The recipe.
        preset: The encoder.
        sequence_length: Tokens kept; `None` is what evaluation and serving keep.

    Raises:
        UserError: If the recipe's sequences are longer than the preset's positions reach.
    """
    key = "model.sequence_length" if sequence_length is None else "training.sequence_length"
    sequence_length = sequence_length or recipe.model.sequence_length
    longest = getattr(preset.backbone, "max_sequence_length", None)
    if longest is not None and sequence_length > longest:
        raise UserError(
            f"{key} is longer than {preset.name} can read.",
            received=sequence_length,
            expected=f"at most {longest}",
            fix=f"set {key}={longest}.",
        )
    return WordPiecePreprocessor(
        preset.vocabulary,
        lowercase=preset.lowercase,
        sequence_length=sequence_length,
        truncation=recipe.model.truncation,
        head_fraction=recipe.model.head_fraction,
        break_tags=recipe.data.break_tags,
    )


def load_recipe_preset(recipe: Recipe, *, dtype: str) -> Preset:
    """Loads the recipe's preset under a dtype policy."""
    return load_preset(recipe.model.preset, dropout=recipe.model.dropout, dtype=dtype)


def build_model(recipe: Recipe, preset: Preset, task: Classification) -> FineTuner:
    """Builds the model, not compiled yet: enough for evaluation and export."""
    encoder = Encoder(preset.backbone, pooling=recipe.model.pooling)
    head = task.build_head(
        hidden_dim=encoder.hidden_dim,
        dropout=recipe.model.head_dropout,
        seed=recipe.training.seed,
    )
    return FineTuner(encoder, head, global_clipnorm=recipe.training.global_clipnorm)


def compile_model(
    model: FineTuner, recipe: Recipe, task: Classification, *, total_steps: int, warmup_steps: int
) -> None:
    """Compiles the model with AdamW, warm-up and polynomial decay, the task's loss and metrics."""
    settings = recipe.training
    schedule = WarmupPolynomialDecay(
        settings.learning_rate,
        warmup_steps=min(warmup_steps, total_steps),
        total_steps=total_steps,
        end_learning_rate=settings.end_learning_rate,
        power=settings.decay_power,
    )
    optimizer = AdamW(
        schedule,
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
    )
    model.compile(
        optimizer=optimizer,
        loss=task.build_loss(),
        metrics=task.build_metrics(),
        jit_compile=settings.jit_compile,
    )
    optimizer.build(model.trainable_variables)


def build_plan(recipe: Recipe, data: Data) -> BatchPlan:
    """Builds the plan of which examples make up which step."""
    store, indices = data.examples("train")
    return BatchPlan(
        np.asarray(store.lengths[indices]),
        batch_size=recipe.training.batch_size,
        seed=recipe.training.seed,
        length_group_batches=recipe.training.length_group_batches,
    )


def steps_of(recipe: Recipe, plan: BatchPlan, family: str, total_steps: int | None = None) -> int:
    """Returns a duration of the recipe in steps."""
    return resolve_duration(
        recipe.training,
        family,
        steps_per_epoch=plan.steps_per_epoch,
        batch_size=plan.batch_size,
        total_steps=total_steps,
    )


def train_batches(
    data: Data, plan: BatchPlan, *, total_steps: int, replicas: int
) -> Callable[[int], tf.data.Dataset]:
    """Returns the function from a step to the dataset of the batches from that step on."""
    store, indices = data.examples("train")

    def batches(start_step: int) -> tf.data.Dataset:
        return build_train_dataset(
            store,
            indices,
            plan,
            start_step=start_step,
            num_steps=total_steps - start_step,
            pad_batch_to=replicas,
        )

    return batches


def split_logits(
    forward: Callable,
    data: Data,
    split: str,
    *,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Returns the logits of a split, float32 `(num_examples, num_outputs)`, in its own order.

    Args:
        forward: From `build_forward`.
        data: The data.
        split: `train`, `validation` or `test`.
        batch_size: Examples in a batch.
        on_batch: Called with the number of examples after each batch.
    """
    store, indices = data.examples(split)
    batches = build_evaluation_dataset(store, indices, batch_size)
    logits = predict_logits(forward, batches, on_batch=on_batch)
    order = np.concatenate(evaluation_batches(store.lengths[indices], batch_size))
    ordered = np.empty_like(logits)
    ordered[order] = logits
    return ordered


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow."""
    keras.utils.set_random_seed(seed)


def _describe_splits(source: Source, splits: Splits) -> str:
    """One line for people: how many examples train, validate and test."""
    report = splits.report
    left_out = report["train_left_out_also_in_test"]
    sizes = ", ".join(
        f"{report[f'{split}_examples']:,} {split}" for split in ("train", "validation", "test")
    )
    note = f"; {left_out} left out of training because they stand in test" if left_out else ""
    return f"{source.name} {source.version}: {sizes} examples{note}."

"""The data of a run: loaded, tokenized, split and batched."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from kerasft.data.batches.augmented_batches import AugmentedExamples, build_augmented_dataset
from kerasft.data.batches.token_batches import build_evaluation_dataset, build_train_dataset
from kerasft.data.example import NUMBER, SINGLE
from kerasft.data.files.source import FileSource
from kerasft.data.plan.batch_plan import BatchPlan, evaluation_batches
from kerasft.data.plan.splits import Splits, build_splits, oversample
from kerasft.data.plan.weights import class_weights
from kerasft.data.sources.source import Source
from kerasft.data.store.hashes import join_near_copies
from kerasft.data.store.token_store import TokenStore, load_or_build_token_store
from kerasft.errors import UserError
from kerasft.evaluation.forward import Forward, predict_logits
from kerasft.recipe import Recipe
from kerasft.recipe.settings import to_literal
from kerasft.runs.data.lost_labels import check_no_label_is_lost
from kerasft.runs.data.source import (
    TEST,
    VALIDATION,
    group_hashes,
    inspect,
    open_source,
    split_names,
)
from kerasft.runs.model.assembly import training_preprocessor
from kerasft.runs.model.performance import evaluation_length_multiple, length_multiple
from kerasft.tasks.regression import check_value_range, target_scaling
from kerasft.text.wordpiece import WINDOWS, WordPiecePreprocessor
from kerasft.training.loop.fit_state import FitState


@dataclasses.dataclass(frozen=True)
class Data:
    """The tokenized examples of a run.

    Args:
        source: The dataset or files.
        stores: A token store for each split: `train`, `validation`, and those of `test_names`.
            A validation split held out of the dataset's train split may keep more tokens per text
            than training does.
        hashes: The hash of each example's text by split, uint8 `(num_examples, 16)`; the same for
            texts that an encoder reads alike.
        splits: Indices into the stores for training, validation and testing.
        test_names: The test splits, `test` first; may be empty.
    """

    source: Source
    stores: dict[str, TokenStore]
    hashes: dict[str, np.ndarray]
    splits: Splits
    test_names: tuple[str, ...]

    def examples(self, split: str) -> tuple[TokenStore, np.ndarray]:
        """Returns the store of a split, and the indices of the split's examples in it."""
        indices = self.splits.tests[split] if split in self.test_names else None
        return self.stores[split], getattr(self.splits, split) if indices is None else indices

    def labels(self, split: str) -> np.ndarray:
        """Returns the labels of a split, one row per example."""
        store, indices = self.examples(split)
        return store.labels[indices]


def load_data(
    recipe: Recipe, preprocessor: WordPiecePreprocessor, *, log: Callable[[str], None]
) -> Data:
    """Loads the dataset, tokenizes what is not in the cache, and splits it.

    `preprocessor` is that of evaluation. `log` gets messages on what was found and left out.
    """
    source = open_source(recipe, log=log)
    if source.has_pairs and recipe.model.truncation == WINDOWS:
        raise UserError(
            "Windows are for single texts.",
            received=f'model.truncation="windows" with the pairs of {source.name}',
            fix="leave model.truncation out: pairs are cut longest first.",
        )
    names = split_names(recipe)
    if isinstance(source, FileSource):
        inspect(recipe, preprocessor, source, log=log)
    stores = _load_stores(plan_stores(recipe, preprocessor, names), source, log)
    tests = tuple(name for name in names if name.startswith(TEST))
    given = names[VALIDATION] != names["train"]
    hashes = join_near_copies(
        {name: store.text_hashes for name, store in stores.items()},
        {name: store.read_hashes for name, store in stores.items()},
    )
    train = stores["train"]
    splits = build_splits(
        hashes["train"],
        train.labels,
        {name: hashes[name] for name in tests},
        validation_hashes=hashes[VALIDATION] if given else None,
        groups=group_hashes(source, names, given),
        validation_fraction=recipe.data.validation_fraction,
        num_examples={"train": recipe.data.train_examples, TEST: recipe.data.test_examples},
        keep_train_test_duplicates=recipe.data.keep_train_test_duplicates,
        seed=recipe.training.seed,
    )
    _check_labels(names, stores)
    check_no_label_is_lost(source, stores, hashes, splits, log)
    log(_describe_splits(source, splits, tests))
    if recipe.data.oversample:
        _check_single(source, "data.oversample=true")
        balanced = oversample(train.labels, splits.train, recipe.training.seed)
        log(f"Oversampling: {len(splits.train):,} training examples become {len(balanced):,}.")
        splits = dataclasses.replace(splits, train=balanced)
    return Data(source, stores, hashes, splits, tests)


def plan_stores(
    recipe: Recipe, preprocessor: WordPiecePreprocessor, names: Mapping[str, str]
) -> dict[str, tuple[str, WordPiecePreprocessor]]:
    """Returns, by split, the dataset's own name of it and its preprocessor.

    `preprocessor` is that of evaluation; `names` is from `split_names`.
    """
    cut = training_preprocessor(recipe, preprocessor)
    return {name: (own, cut if name == "train" else preprocessor) for name, own in names.items()}


def _load_stores(
    plan: Mapping[str, tuple[str, WordPiecePreprocessor]],
    source: Source,
    log: Callable[[str], None],
) -> dict[str, TokenStore]:
    """Returns the stores by split; each is built or opened once."""
    opened, stores = {}, {}
    for name, (own, preprocessor) in plan.items():
        key = own, id(preprocessor)
        if key not in opened:
            opened[key] = load_or_build_token_store(source, own, preprocessor=preprocessor, log=log)
        stores[name] = opened[key]
    return stores


def _check_labels(names: dict[str, str], stores: dict[str, TokenStore]) -> None:
    """Refuses splits with hidden labels, such as GLUE's test splits."""
    for name, own in names.items():
        labels = stores[name].labels
        is_number = labels.dtype.kind == "f"
        hidden = np.isnan(labels) if is_number else labels.astype(np.int64) < 0
        if is_number and (labels == -1).all():  # TFDS hides STS-B's so
            hidden = labels == -1
        if hidden.any():
            raise UserError(
                f"The labels of the split {own} are hidden: nothing can be learnt or measured.",
                received=f"{np.count_nonzero(hidden):,} of {len(labels):,} examples without one",
                fix='name another split: data.test_splits=["validation"].',
            )


def example_weights(recipe: Recipe, data: Data) -> np.ndarray | None:
    """Returns the loss weight of each example of the train store; `None` if all are equal.

    Returns:
        float32 of shape `(len(data.stores["train"]),)`.

    Raises:
        UserError: Class weights are set, but the labels are not classes, or all weights are 0.
    """
    weights = recipe.training.class_weights
    if weights is None:
        return None
    received = f"training.class_weights={to_literal(weights)}"
    _check_single(data.source, received)
    labels = data.stores["train"].labels
    by_class = class_weights(weights, labels[data.splits.train], data.source.label_names)
    of_examples = by_class[labels].astype(np.float32)
    if not of_examples[data.splits.train].any():
        raise UserError(
            "All training examples weigh 0: nothing would be learnt.",
            received=received,
            expected="a weight above 0 for a class that has training examples",
        )
    return of_examples


def find_scaling(recipe: Recipe, data: Data, saved: FitState | None) -> tuple[float, float]:
    """Returns mean and standard deviation of regression targets; 0 and 1 for other tasks.

    A run with a checkpoint (`saved`) keeps the scaling that its weights were trained with.

    Raises:
        UserError: Targets lie outside of the recipe's range.
    """
    if data.source.label_kind != NUMBER:
        return 0.0, 1.0
    targets = data.labels("train")
    check_value_range(recipe.model.minimum_value, recipe.model.maximum_value, targets)
    return target_scaling(targets) if saved is None else saved.target_scaling


def _check_single(source: Source, received: str) -> None:
    if source.label_kind != SINGLE:
        raise UserError(
            "Only classes can be balanced, one to a text.",
            received=f"{received}, with labels of the kind {source.label_kind}",
            fix="leave it out.",
        )


def build_plan(recipe: Recipe, data: Data, *, replicas: int = 1) -> BatchPlan:
    """Builds the plan of which examples make up which step, distributed over replicas."""
    store, indices = data.examples("train")
    return BatchPlan(
        np.asarray(store.lengths[indices]),
        batch_size=recipe.training.batch_size,
        seed=recipe.training.seed,
        length_group_batches=recipe.training.length_group_batches,
        replicas=replicas,
        pad_length_to=length_multiple(recipe),
    )


def train_batches(
    data: Data,
    plan: BatchPlan,
    *,
    total_steps: int,
    replicas: int,
    weights: np.ndarray | None = None,
    augmented: AugmentedExamples | None = None,
) -> Callable[[int], tf.data.Dataset]:
    """Returns a function from a step to the dataset of batches from that step on.

    Args:
        data: The data.
        plan: From `build_plan`.
        total_steps: Steps of the run.
        replicas: Batches are padded to a multiple of this many rows.
        weights: From `example_weights`.
        augmented: From `build_augmented_examples`.
    """
    build = functools.partial(build_train_dataset, *data.examples("train"))
    if augmented is not None:
        build = functools.partial(build_augmented_dataset, augmented)

    def batches(start_step: int) -> tf.data.Dataset:
        return build(
            plan,
            start_step=start_step,
            num_steps=total_steps - start_step,
            pad_batch_to=replicas,
            weights=weights,
        )

    return batches


def split_logits(
    forward: Forward,
    data: Data,
    split: str,
    *,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Returns the logits of a split, float32 `(num_examples, num_outputs)`, in its own order.

    `on_batch` is called with the number of examples after each batch.
    """
    store, indices = data.examples(split)
    return store_logits(forward, store, indices, batch_size=batch_size, on_batch=on_batch)


def store_logits(
    forward: Forward,
    store: TokenStore,
    indices: np.ndarray,
    *,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Returns the logits of some examples of a store, in the order of `indices`."""
    batches = build_evaluation_dataset(
        store, indices, batch_size, forward.num_replicas, evaluation_length_multiple()
    )
    logits = predict_logits(forward, batches, on_batch=on_batch)
    order = np.concatenate(evaluation_batches(store.lengths[indices], batch_size))
    ordered = np.empty_like(logits)
    ordered[order] = logits
    return ordered


def _describe_splits(source: Source, splits: Splits, tests: tuple[str, ...]) -> str:
    """Returns a line with the number of training, validation and test examples."""
    report = splits.report
    left_out = report["train_left_out_also_in_test"]
    sizes = ", ".join(
        f"{report[f'{split}_examples']:,} {split}" for split in ("train", VALIDATION, *tests)
    )
    note = f"; {left_out} left out of training because they stand in test" if left_out else ""
    return f"{source.name} {source.version}: {sizes} examples{note}."

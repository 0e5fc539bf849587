"""Altered training texts in a run: where the recipe asks for them, and nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.runs import context as run_context
from kerasft.runs.data import data as run_data
from kerasft.runs.data.augmentation import build_augmented_examples
from kerasft.runs.train import build_trained_model
from kerasft.runs.training_data import training_data
from kerasft.training.callbacks.callback import Callback
from kerasft.training.loop.fit import Fit
from kerasft.training.loop.fit_state import FitState

CHANCES = {
    "augmentation.deletion": 0.3,
    "augmentation.swap": 0.3,
    "augmentation.typos": 0.3,
    "augmentation.word_dropout": 0.3,
}


class Counts(list, Callback):
    def on_step(self, result, stats):
        self.append(stats.altered)


def batches_of(context, augmented):
    dataset = run_data.train_batches(
        context.data, context.plan, total_steps=4, replicas=1, augmented=augmented
    )(0)
    return list(dataset.as_numpy_iterator())


def augmented_examples(context):
    return build_augmented_examples(context.recipe, context.preprocessor, context.data)


def test_a_recipe_without_chances_alters_nothing(make_context):
    assert augmented_examples(make_context()) is None


@pytest.mark.parametrize("chance", CHANCES)
def test_each_chance_alters_the_batches(make_context, chance):
    context = make_context({chance: 0.5})
    altered, plain = batches_of(context, augmented_examples(context)), batches_of(context, None)
    ids = [[batch[0]["token_ids"].tolist() for batch in batches] for batches in (altered, plain)]
    assert ids[0] != ids[1]
    for (_, *other), (_, *wanted) in zip(altered, plain, strict=True):
        assert [array.tolist() for array in other] == [array.tolist() for array in wanted]


def test_texts_are_read_only_if_words_are_altered(make_context):
    assert augmented_examples(make_context({"augmentation.word_dropout": 0.5})).texts is None
    assert len(augmented_examples(make_context({"augmentation.swap": 0.5})).texts) == 40


@pytest.mark.parametrize(
    "changes",
    [
        {"training.sequence_length": 12},
        {"data.oversample": True, "data.train_examples": 41},
        {"model.truncation": "windows", "model.sequence_length": 8},
        {"model.truncation": "tail", "data.break_tags": "keep"},
    ],
    ids=str,
)
def test_what_is_not_altered_is_cut_as_ever(make_context, changes):
    context = make_context({**CHANCES, "augmentation.share": 0.5, **changes})
    augmented = augmented_examples(context)
    altered, plain = batches_of(context, augmented), batches_of(context, None)
    model = context.recipe.model
    windows = model.max_windows if model.truncation == "windows" else 1
    longest = context.recipe.training.sequence_length or model.sequence_length * windows
    seen = set()
    for step, (new, old) in enumerate(zip(altered, plain, strict=True)):
        epoch = step // context.plan.steps_per_epoch
        chosen = augmented.augmentation.chosen(epoch, context.plan.batch(step))
        assert new[0]["padding_mask"].sum(axis=1).max() <= longest
        for row, is_chosen in enumerate(chosen):
            ids = [
                batch[0]["token_ids"][row][batch[0]["padding_mask"][row] == 1].tolist()
                for batch in (new, old)
            ]
            seen.add((bool(is_chosen), ids[0] == ids[1]))
    assert seen >= {(False, True), (True, False)}
    assert (False, False) not in seen


def train(context, state, folder):
    model = build_trained_model(context)
    Fit(
        model,
        context.strategy,
        data=training_data(context, model),
        settings=context.settings,
        folder=folder,
        state=state,
        callbacks=context.callbacks,
    ).run()


def test_a_run_counts_what_was_altered_and_resumes_with_the_same(make_context, tmp_path):
    counts, alone, none = Counts(), Counts(), Counts()
    context = make_context({**CHANCES, "augmentation.share": 0.5}, callbacks=[counts])
    train(context, FitState(), tmp_path)
    sizes = [len(context.plan.batch(step)) for step in range(4)]
    assert len(counts) == 4
    assert 0 < sum(counts) < sum(sizes)

    resumed = make_context({**CHANCES, "augmentation.share": 0.5}, callbacks=[alone])
    train(resumed, FitState(step=2), tmp_path)
    assert alone == counts[2:]

    plain = make_context(callbacks=[none])
    train(plain, FitState(), tmp_path)
    assert none == [None] * 4


def test_validation_and_test_are_read_as_they_are(make_context):
    plain, altered = make_context(), make_context(CHANCES)
    for split in ("validation", "test"):
        ones, others = (context.data.examples(split)[0] for context in (plain, altered))
        np.testing.assert_array_equal(ones.token_ids, others.token_ids)


def test_casing_is_refused_where_the_preset_does_not_see_it(make_context):
    expected = (
        r"case does nothing.*Received: 'augmentation\.casing=0\.5 with tiny_random'.*"
        r"kerasft presets.*Fix: leave augmentation\.casing out"
    )
    with pytest.raises(UserError, match=expected):
        make_context({"augmentation.casing": 0.5})


def test_a_cased_preset_sees_casing(make_context, monkeypatch):
    load_preset = run_context.load_recipe_preset

    def load_cased(recipe, *, dtype):
        return dataclasses.replace(load_preset(recipe, dtype=dtype), lowercase=False)

    monkeypatch.setattr(run_context, "load_recipe_preset", load_cased)
    context = make_context({"augmentation.casing": 0.5})
    batches = [
        [inputs["token_ids"].tolist() for inputs, *_ in batches_of(context, augmented)]
        for augmented in (augmented_examples(context), None)
    ]
    assert batches[0] != batches[1]

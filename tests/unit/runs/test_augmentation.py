"""Altered training texts in a run: where the recipe asks for them, and nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.runs import session as session_module
from kerasft.runs.data import data as run_data
from kerasft.runs.data.augmentation import build_augmented_examples, check_augmentation
from kerasft.runs.fitting import fit
from kerasft.training.callbacks.callback import Callback
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


@pytest.fixture
def load(make_session):
    def load(overrides=None, **options):
        session = make_session(overrides, **options)
        session.load()
        return session

    return load


def batches_of(session, augmented):
    dataset = run_data.train_batches(
        session.data, session.plan, total_steps=4, replicas=1, augmented=augmented
    )(0)
    return list(dataset.as_numpy_iterator())


def augmented_examples(session):
    return build_augmented_examples(session.recipe, session.preset, session.data)


def test_a_recipe_without_chances_alters_nothing(load):
    assert augmented_examples(load()) is None


@pytest.mark.parametrize("chance", CHANCES)
def test_each_chance_alters_the_batches(load, chance):
    session = load({chance: 0.5})
    altered, plain = batches_of(session, augmented_examples(session)), batches_of(session, None)
    ids = [[batch[0]["token_ids"].tolist() for batch in batches] for batches in (altered, plain)]
    assert ids[0] != ids[1]
    for (_, *other), (_, *wanted) in zip(altered, plain, strict=True):
        assert [array.tolist() for array in other] == [array.tolist() for array in wanted]


def test_texts_are_read_only_if_words_are_altered(load):
    assert augmented_examples(load({"augmentation.word_dropout": 0.5})).texts is None
    assert len(augmented_examples(load({"augmentation.swap": 0.5})).texts) == 40


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
def test_what_is_not_altered_is_cut_as_ever(load, changes):
    session = load({**CHANCES, "augmentation.share": 0.5, **changes})
    augmented = augmented_examples(session)
    altered, plain = batches_of(session, augmented), batches_of(session, None)
    model = session.recipe.model
    windows = model.max_windows if model.truncation == "windows" else 1
    longest = session.recipe.training.sequence_length or model.sequence_length * windows
    seen = set()
    for step, (new, old) in enumerate(zip(altered, plain, strict=True)):
        epoch = step // session.plan.steps_per_epoch
        chosen = augmented.augmentation.chosen(epoch, session.plan.batch(step))
        assert new[0]["padding_mask"].sum(axis=1).max() <= longest
        for row, is_chosen in enumerate(chosen):
            ids = [
                batch[0]["token_ids"][row][batch[0]["padding_mask"][row] == 1].tolist()
                for batch in (new, old)
            ]
            seen.add((bool(is_chosen), ids[0] == ids[1]))
    assert seen >= {(False, True), (True, False)}
    assert (False, False) not in seen


def test_a_run_counts_what_was_altered_and_resumes_with_the_same(load):
    counts, alone, none = Counts(), Counts(), Counts()
    session = load({**CHANCES, "augmentation.share": 0.5}, callbacks=[counts])
    fit(session, session.build_model(), FitState())
    sizes = [len(session.plan.batch(step)) for step in range(4)]
    assert len(counts) == 4
    assert 0 < sum(counts) < sum(sizes)

    resumed = load({**CHANCES, "augmentation.share": 0.5}, callbacks=[alone])
    fit(resumed, resumed.build_model(), FitState(step=2))
    assert alone == counts[2:]

    plain = load(callbacks=[none])
    fit(plain, plain.build_model(), FitState())
    assert none == [None] * 4


def test_validation_and_test_are_read_as_they_are(load):
    plain, altered = load(), load(CHANCES)
    for split in ("validation", "test"):
        ones, others = (session.data.examples(split)[0] for session in (plain, altered))
        np.testing.assert_array_equal(ones.token_ids, others.token_ids)


def test_casing_is_refused_where_the_preset_does_not_see_it(make_session, load):
    expected = (
        r"case does nothing.*Received: 'augmentation\.casing=0\.5 with tiny_random'.*"
        r"kerasft presets.*Fix: leave augmentation\.casing out"
    )
    with pytest.raises(UserError, match=expected):
        make_session({"augmentation.casing": 0.5}).load()


def test_a_cased_preset_sees_casing(make_session, monkeypatch):
    load_preset = session_module.assembly.load_recipe_preset

    def load_cased(recipe, *, dtype):
        return dataclasses.replace(load_preset(recipe, dtype=dtype), lowercase=False)

    monkeypatch.setattr(session_module.assembly, "load_recipe_preset", load_cased)
    session = make_session({"augmentation.casing": 0.5})
    session.load()
    check_augmentation(session.recipe, session.preset)
    batches = [
        [inputs["token_ids"].tolist() for inputs, *_ in batches_of(session, augmented)]
        for augmented in (augmented_examples(session), None)
    ]
    assert batches[0] != batches[1]

"""KerasTuner's oracles behind a journal; and its habits that ours answers to."""

from __future__ import annotations

import keras_tuner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasft.errors import UserError
from kerasft.recipe.space import Dimension
from kerasft.studies.tuning.keras_tuner.journal import FAILED, JobResult, Journal
from kerasft.studies.tuning.keras_tuner.oracle import (
    IDLE,
    RUNNING,
    STOPPED,
    build_hyperparameters,
    build_oracle,
    read_proposal,
)
from kerasft.studies.tuning.keras_tuner.proposer import Proposer

RATE = Dimension("training.learning_rate", "log", (1e-5, 1e-3))
SPACE = (
    RATE,
    Dimension("training.batch_size", "range", (8, 64)),
    Dimension("model.dropout", "range", (0.0, 0.5), 0.1),
    Dimension("freezing.embeddings", "choices", (True, False)),
    Dimension("adapter.method", "choices", ("none", "lora")),
    Dimension(
        "adapter.matrices",
        "choices",
        (("query",), ("query", "key")),
        None,
        (("adapter.method", ("lora",)),),
    ),
)


@pytest.fixture
def make(make_proposer):
    """Makes a proposer of the space above."""
    return lambda method="random", space=SPACE, **more: make_proposer(method, space, **more)


def proposal(trial, space=SPACE):
    return read_proposal("trial-001", trial.hyperparameters.values, space)


def test_values_are_of_the_settings_own_kind_and_within_bounds(make):
    proposer = make()
    for number in range(20):
        values = proposal(proposer.create_trial(f"w{number}")).values
        assert 1e-5 <= values["training.learning_rate"] <= 1e-3
        assert type(values["training.batch_size"]) is int
        assert values["model.dropout"] in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
        assert type(values["freezing.embeddings"]) is bool
        adapts = values["adapter.method"] == "lora"
        assert ("adapter.matrices" in values) == adapts
        if adapts:
            assert values["adapter.matrices"] in (("query",), ("query", "key"))


def test_keras_tuner_makes_booleans_numbers():
    """The day it does not, `_decode` has less to do."""
    assert build_hyperparameters(SPACE).values["freezing.embeddings"] == 1
    assert type(build_hyperparameters(SPACE).values["freezing.embeddings"]) is int


def test_a_logarithm_is_drawn_as_one_and_a_range_is_not():
    low = Dimension("training.learning_rate", "range", (1e-5, 1e-3))
    below = {}
    for dimension in (RATE, low):
        hp = build_hyperparameters([dimension]).space[0]
        below[dimension.kind] = sum(hp.random_sample(seed) < 1e-4 for seed in range(400))
    assert 160 < below["log"] < 240  # a half
    assert below["range"] < 70  # a tenth


def test_a_grid_is_the_product_with_conditions_kept(make):
    proposer = make("grid", SPACE[3:])
    seen = []
    while (trial := proposer.create_trial("w")).status == RUNNING:
        seen.append(tuple(sorted(proposal(trial).values.items())))
        proposer.end_trial(trial)
    assert trial.status == STOPPED
    assert len(seen) == len(set(seen)) == 2 * (1 + 2)


def test_the_end_is_asked_for_before_each_trial(make):
    answers = ["", "", "budget"]
    proposer = make(why_stop=lambda: answers.pop(0))
    for _ in range(2):
        proposer.end_trial(proposer.create_trial("w"))
    assert proposer.create_trial("w").status == STOPPED
    assert proposer.stopped_because == "budget"


def test_a_worker_gets_its_own_trial_again_and_that_of_one_who_is_gone(make):
    proposer = make()
    first, second = proposer.create_trial("a"), proposer.create_trial("b")
    assert proposer.create_trial("a") is first
    again = make()  # a new session with one worker: two trials were begun
    taken = []
    for _ in range(2):
        taken.append(again.create_trial("a"))
        again.end_trial(taken[-1])
    assert [t.hyperparameters.values for t in taken] == [
        first.hyperparameters.values,
        second.hyperparameters.values,
    ]
    third = again.create_trial("a")
    assert third.trial_id not in (first.trial_id, second.trial_id)
    # And what happened in two sessions is told to a third.
    assert make().create_trial("a").hyperparameters.values == third.hyperparameters.values


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["random", "grid", "hyperband"]),
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=12),
)
def test_a_replayed_oracle_proposes_what_the_first_one_would_have(tmp_path_factory, method, events):
    """Workers begin and end trials in any order; then all is told to a new oracle."""
    path = tmp_path_factory.mktemp("replay") / "journal.jsonl"

    def build():
        oracle = build_oracle(method, SPACE[2:], seed=3, metric="validation/log_loss", max_epochs=9)
        value = lambda job: JobResult("completed", int(job[-3:]) % 4 / 4, 1.0)  # noqa: E731
        return Proposer(oracle, Journal(path), outcome_of=value)

    proposer, running = build(), {}
    for worker, ends in events:
        if ends and worker in running:
            proposer.end_trial(running.pop(worker))
        else:
            trial = proposer.create_trial(worker)
            if trial.status == RUNNING:
                running[worker] = trial
    for trial in running.values():
        proposer.end_trial(trial)
    again = build().create_trial("z")
    expected = proposer.create_trial("z")
    assert again.status == expected.status
    assert again.hyperparameters.values == expected.hyperparameters.values


def test_a_journal_of_more_trials_than_there_are_is_refused(make, tmp_path):
    proposer = make("grid", SPACE[3:])
    while (trial := proposer.create_trial("w")).status == RUNNING:
        proposer.end_trial(trial)
    with pytest.raises(UserError, match=r"does not fit the search.*trial-\d+.*study\.json"):
        make("grid", SPACE[3:4])


def test_a_failed_trial_is_not_told_as_a_value(make):
    proposer = make(outcome=JobResult(FAILED, None, 1.0))
    for _ in range(5):  # KerasTuner would raise after three
        proposer.end_trial(proposer.create_trial("w"))
    assert proposer.create_trial("w").status == RUNNING


def test_hyperband_would_wait_for_ever_for_a_trial_that_failed():
    """The trap: the day KerasTuner promotes without it, ours need not lie about the value."""
    oracle = build_oracle("hyperband", (RATE,), seed=1, metric="validation/accuracy", max_epochs=3)
    promoted = False
    for number in range(30):
        trial = oracle.create_trial("w")
        if trial.status != RUNNING:
            break
        promoted |= trial.hyperparameters.values["tuner/initial_epoch"] > 0
        if number == 0:
            trial.status = "FAILED"
        else:
            oracle.update_trial(trial.trial_id, {"objective": 0.5})
            trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert not promoted


def test_hyperband_names_the_epochs_and_what_is_gone_on_with(make):
    proposer = make("hyperband", (RATE,))
    found = []
    while (trial := proposer.create_trial("w")).status == RUNNING:
        found.append(proposal(trial, (RATE,)))
        proposer.end_trial(trial)
    assert {each.epochs for each in found} == {1, 3, 9}
    assert {each.continues for each in found if each.epochs == 1} == {None}
    assert any(each.continues is not None for each in found)


def test_hyperband_has_others_wait_while_a_rung_is_not_done(make):
    proposer = make("hyperband", (RATE,))
    statuses = [proposer.create_trial(f"w{number}").status for number in range(60)]
    assert statuses[-1] == IDLE


def test_nothing_is_written_but_the_journal(make, tmp_path, capsys):
    proposer = make()
    proposer.end_trial(proposer.create_trial("w"))
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]
    assert capsys.readouterr().out == ""


def test_the_versions_oracles_are_what_is_built():
    for method in ("random", "bayesian", "hyperband", "grid"):
        oracle = build_oracle(method, (RATE,), seed=0, metric="validation/log_loss", max_epochs=3)
        assert isinstance(oracle, keras_tuner.Oracle)
        assert oracle.objective.direction == "min"
        assert oracle.seed == 1  # 0 would be drawn at random

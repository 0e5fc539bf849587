"""KerasTuner's oracles behind a journal; and its habits that ours answers to."""

from __future__ import annotations

import keras_tuner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasft.errors import UserError
from kerasft.recipe.space import Dimension
from kerasft.studies.tuning.ending import BRACKETS, EXHAUSTED, NO_PROPOSAL
from kerasft.studies.tuning.journal import FAILED, STARTED, JobResult, Journal
from kerasft.studies.tuning.oracle import (
    IDLE,
    RUNNING,
    STOPPED,
    Proposer,
    build_hyperparameters,
    read_proposal,
)

RATE = Dimension("training.learning_rate", "log", (1e-5, 1e-3))
MATRICES = (("query",), ("query", "key"))
SPACE = (
    RATE,
    Dimension("training.batch_size", "range", (8, 64)),
    Dimension("model.dropout", "range", (0.0, 0.5), 0.1),
    Dimension("freezing.embeddings", "choices", (True, False)),
    Dimension("adapter.method", "choices", ("none", "lora")),
    Dimension("adapter.matrices", "choices", MATRICES, None, (("adapter.method", ("lora",)),)),
)


@pytest.fixture
def make(make_proposer):
    """Makes a proposer of the space above."""
    return lambda method="random", space=SPACE, **more: make_proposer(method, space, **more)


def proposal(trial, space=SPACE):
    return read_proposal(trial.hyperparameters.values, space)


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
        assert not adapts or values["adapter.matrices"] in MATRICES


def test_a_table_is_one_value(make):
    weights = Dimension("training.class_weights", "choices", ("balanced", {"a, b": 2.0}))
    trials = run_all(make("grid", (weights,)))
    found = [proposal(trial, (weights,)).values["training.class_weights"] for trial in trials]
    assert found == ["balanced", {"a, b": 2.0}]


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


def run_all(proposer, most=100):
    """Runs trials to the end; returns what was proposed."""
    found = []
    while (trial := proposer.create_trial("w")).status == RUNNING and len(found) < most:
        found.append(trial)
        proposer.end_trial(trial)
    assert trial.status == STOPPED
    return found


def test_a_grid_is_the_product_with_conditions_kept(make):
    trials = run_all(make("grid", SPACE[3:]))
    seen = {tuple(sorted(proposal(trial).values.items())) for trial in trials}
    assert len(seen) == len(trials) == 2 * (1 + 2)


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
    expected = [t.hyperparameters.values for t in (first, second)]
    assert [t.hyperparameters.values for t in taken] == expected
    third = again.create_trial("a")
    assert third.trial_id not in (first.trial_id, second.trial_id)
    # And what happened in two sessions is told to a third.
    assert make().create_trial("a").hyperparameters.values == third.hyperparameters.values


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["random", "grid", "hyperband"]),
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=12),
)
def test_a_replayed_oracle_proposes_what_the_first_one_would_have(
    tmp_path_factory, make_oracle, method, events
):
    """Workers begin and end trials in any order; then all is told to a new oracle."""
    path = tmp_path_factory.mktemp("replay") / "journal.jsonl"

    def build():
        oracle = make_oracle(method, SPACE[2:], seed=3, metric="validation/log_loss")
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
    run_all(make("grid", SPACE[3:]))
    with pytest.raises(UserError, match=r"does not fit the search.*trial-\d+.*study\.json"):
        make("grid", SPACE[3:4])


def test_a_failed_trial_is_not_told_as_a_value(make):
    proposer = make(outcome=JobResult(FAILED, None, 1.0))
    for _ in range(5):  # KerasTuner would raise after three
        proposer.end_trial(proposer.create_trial("w"))
    assert proposer.create_trial("w").status == RUNNING


def test_hyperband_would_wait_for_ever_for_a_trial_that_failed(make_oracle):
    """The trap: the day KerasTuner promotes without it, ours need not lie about the value."""
    oracle = make_oracle("hyperband", (RATE,), epochs=3)
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
    found = [proposal(trial, (RATE,)) for trial in run_all(make("hyperband", (RATE,)))]
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


def test_the_versions_oracles_are_what_is_built(make_oracle):
    for method in ("random", "bayesian", "hyperband", "grid"):
        oracle = make_oracle(method, (RATE,), seed=0, metric="validation/log_loss")
        assert isinstance(oracle, keras_tuner.Oracle)
        assert oracle.objective.direction == "min"
        assert oracle.seed == 1  # 0 would be drawn at random


# --- the end of what can be proposed: no point is missed, none comes twice, the reason is told

FOUR = (
    Dimension("training.batch_size", "choices", (8, 16)),
    Dimension("training.warmup_fraction", "choices", (0.0, 0.1)),
)
EIGHT = (*FOUR, Dimension("model.dropout", "choices", (0.0, 0.1)))
MANY = (Dimension("training.batch_size", "range", (8, 47)),)  # 40 points


def points_of(proposer):
    """Runs trials to the end; returns the settings of each."""
    found = [trial.hyperparameters.values.items() for trial in run_all(proposer)]
    return [frozenset(i for i in items if not i[0].startswith("tuner/")) for items in found]


@pytest.mark.parametrize(
    ("method", "space", "count"),
    [("random", FOUR, 4), ("random", MANY, 40), ("bayesian", EIGHT, 8), ("grid", FOUR, 4)],
)
def test_each_point_is_proposed_once_then_all_are_exhausted(make_proposer, method, space, count):
    proposer = make_proposer(method, space)
    found = points_of(proposer)
    assert len(set(found)) == len(found) == count
    assert proposer.stopped_because == EXHAUSTED


def test_control_kerastuner_alone_misses_points_of_a_small_space(make_proposer, monkeypatch):
    """The day it does not, `_adapted` has less to do."""
    monkeypatch.setattr("kerasft.studies.tuning.oracle._MAX_CALLS", 0)
    random = make_proposer("random", MANY)
    assert len(points_of(random)) < 40
    assert random.stopped_because == NO_PROPOSAL


def test_hyperband_is_exhausted_by_a_small_space_and_done_by_its_brackets(make_proposer, tmp_path):
    proposer = make_proposer("hyperband", FOUR[:1], trials=99, epochs=3)
    assert len(points_of(proposer)) == 2
    assert proposer.stopped_because == EXHAUSTED
    (tmp_path / "journal.jsonl").unlink()
    proposer = make_proposer("hyperband", (RATE,), epochs=3)
    assert len(points_of(proposer)) > 3
    assert proposer.stopped_because == BRACKETS


def test_a_journal_of_an_earlier_version_with_a_point_twice_is_replayed(make_proposer, tmp_path):
    """A Gaussian process proposed points again until the space knew its size."""
    first = make_proposer("bayesian", FOUR)
    points_of(first)
    journal = Journal(tmp_path / "journal.jsonl")
    values = journal.of(STARTED)[0]["values"]
    journal.add(STARTED, job="trial-005", worker="w", values=values)
    journal.end("trial-005", JobResult("completed", 0.5, 1.0))
    again = make_proposer("bayesian", FOUR)
    assert again.create_trial("w").status == STOPPED
    assert again.stopped_because == EXHAUSTED

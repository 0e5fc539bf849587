"""The end of what can be proposed: no point is missed, none comes twice, and the reason is told."""

from __future__ import annotations

import pytest

from kerasft.recipe.space import Dimension
from kerasft.studies.tuning.ending import BRACKETS, EXHAUSTED, NO_PROPOSAL
from kerasft.studies.tuning.keras_tuner.journal import STARTED, JobResult, Journal
from kerasft.studies.tuning.keras_tuner.oracle import RUNNING, STOPPED

METRIC = "validation/accuracy"
RATE = Dimension("training.learning_rate", "log", (1e-5, 1e-3))
FOUR = (
    Dimension("training.batch_size", "choices", (8, 16)),
    Dimension("training.warmup_fraction", "choices", (0.0, 0.1)),
)
EIGHT = (*FOUR, Dimension("model.dropout", "choices", (0.0, 0.1)))
MANY = (Dimension("training.batch_size", "range", (8, 47)),)  # 40 points


def points_of(proposer, most=100):
    """Runs trials to the end; returns the settings of each."""
    found = []
    while (trial := proposer.create_trial("w")).status == RUNNING and len(found) < most:
        values = trial.hyperparameters.values
        found.append({k: v for k, v in values.items() if not k.startswith("tuner/")})
        proposer.end_trial(trial)
    assert trial.status == STOPPED
    return found


@pytest.mark.parametrize(
    ("method", "space", "count"),
    [("random", FOUR, 4), ("random", MANY, 40), ("bayesian", EIGHT, 8), ("grid", FOUR, 4)],
)
def test_each_point_is_proposed_once_then_all_are_exhausted(make_proposer, method, space, count):
    proposer = make_proposer(method, space)
    found = points_of(proposer)
    assert len({tuple(sorted(values.items())) for values in found}) == len(found) == count
    assert proposer.stopped_because == EXHAUSTED


def test_control_kerastuner_alone_misses_points_and_repeats_others(make_proposer):
    """The day it does not, `_adapted` has less to do."""
    random = make_proposer("random", MANY)
    random._oracle._max_collisions = 20
    assert len(points_of(random)) < 40
    assert random.stopped_because == NO_PROPOSAL


def test_hyperband_is_exhausted_by_a_small_space_and_done_by_its_brackets(make_proposer, tmp_path):
    proposer = make_proposer("hyperband", FOUR[:1], endless=True, max_epochs=3)
    assert len(points_of(proposer)) == 2
    assert proposer.stopped_because == EXHAUSTED
    (tmp_path / "journal.jsonl").unlink()
    proposer = make_proposer("hyperband", (RATE,), max_epochs=3)
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

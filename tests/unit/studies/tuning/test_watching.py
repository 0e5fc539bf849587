"""How far a run is, what time that leaves, and what is removed."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.budget import Budget
from kerasft.studies.tuning.watching import check_time_of_one, share_done
from kerasft.training.callbacks.history import STEP_COLUMNS


@pytest.fixture
def run_dir(tmp_path):
    """A run of which 20 steps are done, half an epoch."""
    rows = [",".join([str(step), str(step / 40), *["1"] * 8]) for step in range(1, 21)]
    (tmp_path / "history.csv").write_text("\n".join([",".join(STEP_COLUMNS), *rows, ""]))
    return RunDir(tmp_path)


@pytest.mark.parametrize(
    ("length", "share"),
    [({"epochs": 5}, 0.1), ({"steps": 80}, 0.25), ({"examples": 1280, "batch_size": 32}, 0.5)],
)
def test_how_far_a_run_is(run_dir, length, share):
    recipe = load_recipe("glue_mrpc", {f"training.{key}": value for key, value in length.items()})
    assert share_done(recipe, run_dir) == pytest.approx(share)
    assert share_done(recipe, RunDir(run_dir.path / "none")) == 0
    assert share_done(recipe, None) == 0


def test_a_budget_is_refused_as_soon_as_it_is_known_to_be_too_small(run_dir):
    recipe = load_recipe("glue_mrpc", {"training.steps": 80})
    early = Budget(1000.0, used=130.0, clock=lambda: 0.0)  # of 520 s, and a trial as long
    with pytest.raises(UserError, match=r"Received: '16m40s'.*17m20s or more.*at least 8m40s"):
        check_time_of_one(recipe, run_dir, early)
    check_time_of_one(recipe, run_dir, Budget(1100.0, used=130.0, clock=lambda: 0.0))
    check_time_of_one(recipe, None, early)  # how long it takes cannot be told yet
    check_time_of_one(recipe, run_dir, Budget(None, used=1e9))

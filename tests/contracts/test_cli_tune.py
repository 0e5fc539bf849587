"""The command line of `kerasft tune`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasft.run_dir import RunDir
from kerasft.studies.tuning.ending import Ending
from kerasft.studies.tuning.finals import Tried
from kerasft.studies.tuning.journal import JobResult
from kerasft.studies.tuning.plan import BASE
from kerasft.studies.tuning.report import Found, write_results

METRIC = "validation/accuracy"
VALUES = {"training.learning_rate": 3.14159e-5, "training.batch_size": 16}


def outcome(status, value, reason=""):
    return JobResult(status, value, 65.4, METRIC, "runs/x", reason)


@pytest.fixture
def study(monkeypatch):
    """Stands for the study itself; notes what it was asked for."""
    fake = SimpleNamespace(plans=[], changes={})

    def run_study(plan, *, log):
        print("a library's chatter")
        log("baseline begins")
        fake.plans.append(plan)
        folder = RunDir(Path("runs/study"))
        folder.write_text(BASE, plan.recipe.to_toml())
        own = Tried("baseline", {}, (outcome("completed", 0.8), outcome("completed", 0.81)))
        winner = Tried("trial-001", VALUES, (outcome("completed", 0.9), outcome("completed", 0.92)))
        found = Found(
            METRIC,
            (
                Tried("baseline", {}, (outcome("completed", 0.8),)),
                Tried("trial-001", VALUES, (outcome("completed", 0.9),)),
                Tried("trial-002", VALUES, (outcome("failed", None, "MemoryError: [red]"),)),
            ),
            (own, winner),
            winner,
            "The search beats the recipe.",
            Ending("exhausted", 2, 10, "The search ended after 2 of 10 trials: why."),
            "d",
            {"test/accuracy": 0.875},
        )
        found = dataclasses.replace(found, **fake.changes)
        write_results(folder, found)
        return found, folder

    monkeypatch.setattr("kerasft.studies.tuning.study.run_study", run_study)
    return fake


def test_it_takes_recipe_options_and_settings_in_any_order(command, study):
    argv = ["--trials", "7", "glue_mrpc", "model.dropout=0.2", "--budget", "1h30m"]
    more = ["--method", "bayesian", "--finalists", "2", "--workers", "2", "training.epochs=2"]
    assert command("tune", *argv, *more, "--no-pruning").code == 0
    (plan,) = study.plans
    assert (plan.recipe.name, plan.recipe.model.dropout) == ("glue_mrpc", 0.2)
    assert (plan.trials, plan.budget_seconds, plan.method) == (7, 5400, "bayesian")
    assert (plan.finals, plan.workers, plan.pruning) == ((2, 3), 2, False)
    assert "training.epochs" not in [dimension.name for dimension in plan.recipe.tuning]


def test_people_get_the_tables_the_conclusion_and_what_to_do_next(command, study, monkeypatch):
    monkeypatch.setattr("kerasft.cli.tune.program", lambda name: name)
    monkeypatch.setenv("COLUMNS", "120")
    result = command("tune", "glue_mrpc")
    rows = [line.split() for line in result.out.splitlines()]
    trials = [row for row in rows if row and row[0].startswith(("trial-0", "baseline"))]
    # The best one at the top, and one that failed at the end.
    assert [row[0] for row in trials[:3]] == ["trial-001", "baseline", "trial-002"]
    assert trials[0] == ["trial-001", "0.9000", "3.142e-05", "16", "5", "1m05s", "completed"]
    assert "trial-002 failed: MemoryError: [red]\n" in result.out
    assert ["trial-001", "0.9100", "0.0141", "0.9000", "0.9200"] in rows
    ended = "\nThe search ended after 2 of 10 trials: why.\nThe search beats the recipe.\n"
    assert f"{ended}Tested once: test/accuracy 0.8750.\n" in result.out
    assert "  kerasft run runs/study/best.toml\n  tensorboard --logdir runs/study\n" in result.out
    assert "chatter" not in result.out
    assert "baseline begins\n" in result.err


def test_with_json_stdout_is_exactly_one_object(command, study):
    result = command("tune", "glue_mrpc", "--json")
    found = json.loads(result.out)
    assert result.out.count("\n") == 1
    assert found["winner"] == "trial-001"
    assert found["trials"][1]["settings"] == VALUES
    assert found["finalists"][0]["mean"] == pytest.approx(0.805)
    assert found["test"] == {"test/accuracy": 0.875}
    assert (found["tested_run"], found["untested"]) == ("d", None)
    assert found["ending"] == {
        "reason": "exhausted",
        "trials": 2,
        "asked": 10,
        "message": "The search ended after 2 of 10 trials: why.",
    }
    assert found["best_recipe"] == "runs/study/best.toml"


def test_what_was_not_tested_is_not_said_to_be(command, study):
    study.changes = {"test": {}, "untested": "there is no test split"}
    result = command("tune", "glue_mrpc")
    assert "\nNot tested: there is no test split.\n" in result.out
    assert "Tested once" not in result.out
    found = json.loads(command("tune", "glue_mrpc", "--json").out)
    assert (found["test"], found["tested_run"]) == ({}, None)
    assert found["untested"] == "there is no test split"


def test_a_test_without_a_value_is_undefined(command, study):
    study.changes = {"test": {"test/accuracy": None}}
    assert "\nTested once: test/accuracy undefined.\n" in command("tune", "glue_mrpc").out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["glue_mrpk"], 'There is no such recipe. Did you mean "glue_mrpc"?'),
        (["glue_mrpc", "--trials", "none"], "invalid int value: 'none'"),
        (["glue_mrpc", "training.epoch=1"], 'Did you mean "epochs"?'),
    ],
)
def test_a_mistake_is_2_before_anything_runs(refused, study, argv, message):
    refused(message, "tune", *argv)
    assert study.plans == []

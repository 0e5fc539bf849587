"""Studies from the recipe as it is to the test, with trials that take no time."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs.resolved import Resolved
from kerasft.studies.tuning.journal import JOURNAL, Journal
from kerasft.training.loop.interrupt import InterruptRequested


def started(folder):
    """What was proposed, in order; the recipe as it is and the finals left out."""
    events = Journal(folder.path / "journal.jsonl").of("started")
    return [(e["job"], e["values"]) for e in events if e["job"].startswith("trial-")]


def result_of(folder):
    return json.loads((folder.path / "result.json").read_text())


def journaled_tests(folder):
    return Journal(folder.path / JOURNAL).of("tested")


def only_run():
    return next(Path("runs").iterdir())


def checkpoints(folder, pattern="*"):
    return {path.parent.parent.name for path in folder.path.glob(f"trials/{pattern}/*/checkpoints")}


def test_a_study_runs_the_recipe_the_trials_the_finals_and_tests_once(study, make_runner):
    runner = make_runner()
    found, folder, told = study(runner, trials=4, finalists=2, seeds=2)
    trials = [f"trial-{n:03d}" for n in range(1, 5)]
    finalists = [finalist.job for finalist in found.finalists]
    finals = [f"final-{job}-seed-{s}" for s in (2, 3) for job in finalists]
    assert runner.names == ["baseline", *trials, *finals]
    best = max(found.tried[1:], key=lambda trial: trial.outcome.value)
    assert finalists[:2] == ["baseline", found.winner.job] == ["baseline", best.job]
    final = folder.path / "trials" / f"final-{best.job}-seed-2"
    assert runner.tested == [final / "run-20260101-000000"]
    assert found.test == {"test/accuracy": 0.75}
    assert "trial-001 begins: training.learning_rate=" in "\n".join(told)
    # Weights are kept of the best trial and of the finals.
    assert checkpoints(folder) == {best.job, *finals}
    # No trial is tested or exported, and all have the headline of the first.
    for job in runner.jobs:
        assert job.changes["evaluation.test"] is job.changes["export.enabled"] is False
    headlines = [job.changes.get("evaluation.headline") for job in runner.jobs]
    assert headlines == [None, *["accuracy"] * 10]
    assert {job.changes.get("training.seed") for job in runner.jobs[:5]} == {None}


def test_recipe_tables_and_results_are_those_of_the_study(study, make_runner):
    found, folder, _ = study(make_runner(), trials=4, finalists=2, seeds=2)
    best, base = load_recipe(folder.path / "best.toml"), load_recipe("glue_mrpc")
    assert best.name == "glue_mrpc_tuned"
    assert found.winner.values.items() <= best.values().items()
    assert best.training.learning_rate != base.training.learning_rate
    assert (best.evaluation, best.export, best.data) == (base.evaluation, base.export, base.data)
    assert best.training.seed == base.training.seed
    with (folder.path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    result = result_of(folder)
    names = [[row["trial"] for row in each] for each in (rows, result["trials"])]
    assert names == [[trial.job for trial in found.tried]] * 2
    assert float(rows[1]["value"]) == pytest.approx(found.tried[1].outcome.value)
    assert float(rows[0]["training.learning_rate"]) == 1e-4  # the recipe's own
    assert (result["winner"], result["conclusion"]) == (found.winner.job, found.conclusion)


@pytest.mark.parametrize("earlier_version", [False, True])
def test_data_that_the_first_run_fell_back_on_is_that_of_all(study, make_runner, earlier_version):
    class OnSample(type(make_runner())):
        def run(self, job, **more):
            outcome = super().run(job, **more)
            path = job.run_dir().recipe_path
            if earlier_version:
                path.write_text(path.read_text().replace('"imdb_reviews"', '"builtin-sample"'))
            else:
                Resolved("float32", kernels=False, on_sample=True).write(job.run_dir())
            return outcome

    runner = OnSample(make_runner().score)
    _, folder, _ = study(runner, "imdb_quick", trials=1)
    datasets = [job.changes.get("data.dataset") for job in runner.jobs]
    assert datasets == [None, *["builtin-sample"] * 3]
    assert load_recipe(folder.path / "best.toml").data.dataset == "builtin-sample"


@pytest.mark.parametrize(
    ("method", "trials", "stops"),
    # The Gaussian process is asked from the sixth trial on, and costs seconds.
    [("random", 4, (1, 3, 6)), ("grid", 4, (4,)), ("hyperband", 5, (3, 5)), ("bayesian", 6, (7,))],
)
def test_a_study_that_is_interrupted_goes_on_as_if_it_had_not_been(
    study, make_runner, method, trials, stops
):
    options = {"method": method, "trials": trials, "pruning": False}
    whole = make_runner()
    expected, folder, _ = study(whole, "glue_mrpc", "training.epochs=3", **options)
    assert len(expected.tried) == trials + 1
    for stop_after in stops:
        cut, told = make_runner(stop_after=stop_after), []
        with pytest.raises(InterruptRequested):
            study(cut, "glue_mrpc", "training.epochs=3", told=told, **options)
        rest, again = make_runner(), told[0].removeprefix("The search is kept in ").rstrip(".")
        found, again, told = study(rest, None, resume=again)
        assert started(again) == started(folder)
        assert [t.outcome.value for t in found.tried] == [t.outcome.value for t in expected.tried]
        assert found.winner.values == expected.winner.values
        # What was finished is not repeated; what was cut off goes on in its own folder.
        assert cut.names[:-1] + rest.names == whole.names
        assert rest.resumed[0] == cut.names[-1]
        assert "goes on" in "\n".join(told)


def test_control_another_seed_proposes_other_trials(study, make_runner):
    _, ours, _ = study(make_runner(), trials=2)
    _, theirs, _ = study(make_runner(), "glue_mrpc", "training.seed=2", trials=2)
    assert started(ours) != started(theirs)


def test_more_trials_may_be_asked_for_on_the_way(study, make_runner):
    told = []
    with pytest.raises(InterruptRequested):
        study(make_runner(stop_after=3), trials=3, told=told)
    assert f"tune --resume {only_run()!s}" in told[-1]
    rest = make_runner()
    found, _, _ = study(rest, "glue_mrpc", resume=str(only_run()), trials=5)
    assert len(found.tried) == 6
    assert rest.names[0] == "trial-002"


def test_a_trial_that_crashes_costs_itself_alone(study, make_runner):
    runner = make_runner(fails=lambda job, recipe: job.name == "trial-002")
    found, _folder, told = study(runner, trials=3)
    statuses = [trial.outcome.status for trial in found.tried]
    assert statuses == ["completed", "completed", "failed", "completed"]
    assert found.tried[2].outcome.reason == "MemoryError: too large"
    assert any("trial-002 failed" in line and "MemoryError" in line for line in told)


def test_a_study_is_run_by_one_process_at_a_time(study, make_runner):
    with pytest.raises(InterruptRequested):
        study(make_runner(stop_after=2), trials=3)
    folder, runner = RunDir(only_run()), make_runner()
    before = (folder.path / "study.json").read_bytes()
    with folder.lock(), pytest.raises(UserError, match=r"in use by another run"):
        study(runner, None, resume=str(folder.path), trials=9)
    assert runner.names == []
    assert (folder.path / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("crashes", "runs", "message"),
    [
        (
            lambda job, recipe: job.name != "baseline",
            6,
            r"Of 5 trials all have failed.*MemoryError",
        ),
        (lambda job, recipe: True, 1, r"The recipe as it is does not run.*MemoryError"),
    ],
)
def test_a_search_ends_where_everything_crashes(study, make_runner, crashes, runs, message):
    runner, told = make_runner(fails=crashes), []
    with pytest.raises(UserError, match=message):
        study(runner, trials=30, told=told)
    assert len(runner.jobs) == runs
    ended = "The search ended after 5 of 30 trials: 5 of them failed one after the other."
    assert (told[-1] == ended) == (runs == 6)


@pytest.mark.parametrize(
    ("method", "trials", "reason", "said"),
    [
        ("random", 3, "trials", "after 3 trials: 3 were asked for."),
        ("random", 10, "exhausted", "after 4 of 10 trials: the space is exhausted, all of its 4"),
        ("bayesian", 10, "exhausted", "after 4 of 10 trials: the space is exhausted"),
        ("grid", None, "exhausted", "after 4 trials: the space is exhausted"),
        ("grid", 10, "exhausted", "after 4 of 10 trials: the space is exhausted"),
        ("hyperband", 10, "exhausted", "after 4 of 10 trials: the space is exhausted"),
    ],
)
def test_why_the_search_ended_is_told(study, make_runner, tmp_path, method, trials, reason, said):
    path = tmp_path / "mine.toml"
    path.write_text(
        "[training]\nepochs = 9\n[tuning]\n"
        '"training.batch_size" = {choices = [8, 16]}\n"model.dropout" = {choices = [0.1, 0.2]}\n'
    )
    found, folder, told = study(make_runner(), path, method=method, trials=trials)
    assert found.ending.reason == reason
    assert said in found.ending.message
    assert found.ending.message in told
    assert result_of(folder)["ending"]["message"] == found.ending.message


def test_settings_that_exclude_each_other_fail_without_a_process(study, make_runner, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[tuning]\n"adapter.method" = {choices = ["none", "lora"]}\n'
        '"adapter.rank" = {choices = [4, 16]}\n'
    )
    runner = make_runner()
    found, _, _ = study(runner, path, method="grid")
    failed = [trial for trial in found.tried if trial.outcome.status == "failed"]
    assert {trial.values["adapter.method"] for trial in failed} == {"none"}
    assert "adapter.rank" in failed[0].outcome.reason
    assert not {trial.job for trial in failed} & set(runner.names)


@pytest.mark.parametrize("failed", [None, "trial-001"])
def test_hyperband_goes_on_with_the_runs_of_the_lower_rungs(study, make_runner, failed):
    runner = make_runner(fails=lambda job, recipe: job.name == failed)
    found, _, _ = study(runner, "glue_mrpc", "training.epochs=3", method="hyperband")
    longer = [job for job in runner.jobs if job.continues is not None]
    assert [job.epochs for job in longer] == [3]
    lower = [t for t in found.tried if t.epochs == 1 and t.outcome.status == "completed"]
    best = max(lower, key=lambda trial: trial.outcome.value)
    assert str(longer[0].continues) == best.outcome.run_dir
    assert all(job.epochs is None for job in runner.jobs if job.name.startswith("final-"))


def test_trials_that_lag_behind_are_ended_and_never_finalists(study, make_runner):
    found, _, _ = study(make_runner(), trials=16, finalists=20, seeds=1)
    pruned = [trial for trial in found.tried if trial.outcome.status == "pruned"]
    assert pruned
    assert all("the median of" in trial.outcome.reason for trial in pruned)
    assert all(trial.outcome.value is not None for trial in pruned)
    assert not {trial.job for trial in pruned} & {finalist.job for finalist in found.finalists}
    found, _, _ = study(make_runner(), trials=16, pruning=False)
    assert {trial.outcome.status for trial in found.tried} == {"completed"}


WITHOUT_TEST = """
[data]
dataset = "files"
train_files = ["train.csv"]
[tuning]
"training.batch_size" = {choices = [8, 16, 32]}
"""


@pytest.mark.parametrize(
    ("recipe", "override", "reason"),
    [
        ("mine.toml", "training.seed=1", "there is no test split"),
        ("glue_mrpc", "evaluation.test=false", "evaluation.test=false"),
    ],
)
def test_what_is_not_tested_is_not_said_to_be_and_more_trials_may_follow(
    study, make_runner, recipe, override, reason
):
    runner = make_runner()
    Path("mine.toml").write_text(WITHOUT_TEST)
    found, folder, told = study(runner, recipe, override, trials=1)
    assert (runner.tested, found.test, journaled_tests(folder)) == ([], {}, [])
    assert found.untested == result_of(folder)["untested"] == reason
    assert result_of(folder)["tested_run"] is None
    assert not any("winner" in line for line in told)
    # What an earlier version noted of it keeps no one from going on.
    Journal(folder.path / JOURNAL).add("tested", run_dir="runs/x", metrics={})
    again = make_runner()
    found, _, _ = study(again, None, resume=str(folder.path), trials=3)
    assert again.names[:2] == ["trial-002", "trial-003"]
    assert "final-baseline-seed-2" not in again.names  # it was run before


def test_a_test_that_fails_is_not_noted_and_is_made_when_it_is_resumed(study, make_runner):
    runner, told = make_runner(), []

    def fail(run_dir, check):
        raise UserError("could not be tested")

    runner.test = fail
    with pytest.raises(UserError, match="could not be tested"):
        study(runner, trials=1, told=told)
    folder = RunDir(only_run())
    assert journaled_tests(folder) == []
    assert told[-1].startswith("Testing the winner: ")
    again = make_runner()
    found, _, _ = study(again, None, resume=str(folder.path))
    assert (len(again.tested), found.test) == (1, {"test/accuracy": 0.75})


def test_results_that_a_kill_kept_from_being_written_are_those_of_the_test(study, make_runner):
    """Whatever is left of the budget, nothing is tried after the test."""
    found, folder, _ = study(make_runner(), trials=2)
    before = result_of(folder)
    (folder.path / "result.json").unlink()
    plan = json.loads((folder.path / "study.json").read_text())
    folder.write_json("study.json", plan | {"trials": 9})
    again = make_runner()
    found, _, _ = study(again, None, resume=str(folder.path))
    assert again.names == again.tested == []
    assert found.ending.reason == "closed"
    same = ("trials", "finalists", "winner", "conclusion", "test", "tested_run")
    assert [result_of(folder)[name] for name in same] == [before[name] for name in same]


def test_hyperbands_runs_are_kept_until_the_search_is_closed(study, make_runner, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(WITHOUT_TEST.partition("[tuning]")[0])
    options = {"method": "hyperband", "trials": 3}
    _, folder, _ = study(make_runner(), path, "training.epochs=3", **options)
    assert checkpoints(folder, "trial-*") == {"trial-001", "trial-002", "trial-003"}
    runner = make_runner()
    _, folder, _ = study(runner, "glue_mrpc", "training.epochs=3", **options)
    assert runner.tested
    assert len(checkpoints(folder, "trial-*")) == 1


def test_several_workers_share_the_trials(study, make_runner):
    runner = make_runner()
    found, _, _ = study(runner, trials=6, workers=3, finalists=2, seeds=2)
    assert len(found.tried) == 7
    assert sorted(runner.names[1:7]) == [f"trial-{n:03d}" for n in range(1, 7)]
    assert len(runner.names) == 1 + 6 + 6


def test_a_worker_that_breaks_down_stops_the_others(study, make_runner):
    def score(recipe):
        if recipe.training.learning_rate != 1e-4:
            raise RuntimeError("a bug")
        return 0.5

    with pytest.raises(RuntimeError, match="a bug"):
        study(make_runner(score), trials=50, workers=2)


UNFIXED = {"finalists": None, "seeds": None}  # the budget decides


@pytest.fixture
def timed(study, make_runner, score):
    """Runs a study by a clock that each run moves on by a minute; returns found, runner, told."""

    def run(*recipe, **options):
        now = [0.0]

        def scored(recipe):
            now[0] += 60
            return score(recipe)

        runner, told = make_runner(scored, seconds=60.0), []
        runs.append(runner)
        found, _, _ = study(runner, *recipe, clock=lambda: now[0], told=told, **options)
        return found, runner, told, now[0]

    runs = run.runners = []
    return run


def finals(runner):
    return [name for name in runner.names if name.startswith("final-")]


def test_a_budget_ends_the_search_and_leaves_room_for_the_finals(timed):
    found, runner, told, used = timed(budget="20m", **UNFIXED)
    assert len(finals(runner)) == 9  # two finalists and the recipe, three seeds: at most half
    assert (len(found.tried) - 1, used) == (10, 20 * 60)
    assert any("room for 2 finalists with 3 seeds, not for 3 with 3" in line for line in told)
    ended = "The search ended after 10 trials: the budget of 20m00s has no room for more."
    assert (found.ending.reason, found.ending.message) == ("budget", ended)
    # Finals that are asked for are kept.
    assert len(finals(timed(budget="20m", finalists=2, seeds=4)[1])) == 12


def test_without_time_for_finals_nothing_is_concluded(timed):
    found, *_ = timed(budget="3m", **UNFIXED)
    assert (found.finalists, found.ending.reason, len(found.tried)) == ((), "budget", 3)
    assert "nothing is concluded" in found.conclusion
    assert found.test


def test_a_budget_too_small_for_one_trial_is_refused(timed):
    message = r"too small for one trial.*Received: '1m59s'.*2m00s or more.*at least 1m00s"
    with pytest.raises(UserError, match=message) as refused:
        timed(budget="1m59s", **UNFIXED)
    assert timed.runners[0].names == ["baseline"]
    # Followed to the letter it goes on, and the recipe is not run again.
    fix = f"tune --resume {only_run()} --budget "
    budget = str(refused.value).partition(fix)[2]
    _, runner, _, _ = timed(None, resume=str(only_run()), budget=budget)
    assert "baseline" not in runner.names

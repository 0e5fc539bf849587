"""The command line of GLUE: what is run, resumed and refused, and what is printed and written."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kerasft.benchmarks.glue import running, submission
from kerasft.benchmarks.glue.tasks import FILES, TASKS
from kerasft.errors import UserError
from kerasft.pipelines import glue
from kerasft.run_dir import RunDir, create_run_dir, open_run_dir
from kerasft.run_dir.result import Run
from kerasft.runs import export, train
from kerasft.training.loop.interrupt import Interrupted


class FakeSource:
    """A dataset of GLUE: how many examples its splits have, and in which order."""

    def __init__(self, name, splits):
        self.name = name
        self._splits = splits

    def has_split(self, split):
        return split in self._splits

    def num_examples(self, split):
        return self._splits[split]

    def read_column(self, split, name):
        assert name == "idx"
        return np.arange(self._splits[split])[::-1]


class FakeData:
    """Stands for `load_source`: all official test splits but QQP's, and whole train splits."""

    def __init__(self):
        self.splits = {task.dataset: {"train": task.num_train} for task in TASKS.values()}
        for file in FILES.values():
            if file.name != "QQP.tsv":
                self.splits.setdefault(file.dataset, {})[file.split] = file.num_examples

    def __call__(self, dataset, data_dir=None, allow_builtin_sample=False, log=print):
        if dataset not in self.splits:
            raise UserError(f"The dataset {dataset} is not prepared.", fix="prepare it.")
        return FakeSource(dataset, self.splits[dataset])


class FakeWorkflow:
    """Stands for runs: seed 2 is best on validation, seed 1 on what is reported."""

    def __init__(self):
        self.runs, self.exports, self.predictions, self.interrupt = [], [], [], None
        self.validation = lambda seed: 0.8 if seed == 2 else 0.5

    def run(self, recipe, *, resume=None, callbacks, runs_folder="runs", **options):
        print("a library's chatter")
        self.runs.append((recipe, resume))
        run_dir = resume or create_run_dir(recipe.name, runs_folder)
        run_dir.write_text("recipe.toml", recipe.to_toml())
        if len(self.runs) == self.interrupt:
            raise Interrupted(run_dir.path, 5)
        seed = recipe.training.seed
        task = TASKS[recipe.data.dataset.partition("/")[2]]
        metrics = {metric.name: 0.9 - 0.1 * seed for metric in task.metrics}
        headline = recipe.evaluation.headline or ("accuracy" if task.label_names else "pearson")
        metrics[f"validation/{headline}"] = self.validation(seed)
        model = Path(f"saved_models/{recipe.export.name}/1") if recipe.export.enabled else None
        run = Run(
            path=run_dir.path,
            metrics=metrics | {"test/support/a": 3, "test/f1/a": 0.5, "test/precision/a": 0.5},
            saved_model=model,
            history=[],
            train={"steps": 2},
            preset=recipe.model.preset,
            data=recipe.data.dataset,
            label_names=task.label_names,
            confusion=None,
        )
        run_dir.write_json("metrics.json", run.to_json() | {"task": {"headline": headline}})
        return run

    def export_run(self, run_dir, callbacks=(), name=None):
        self.exports.append(run_dir)
        return Path("saved_models") / run_dir.path.name.partition("-")[0] / "1"

    def predict_source(self, run_dir, source, split, callbacks=()):
        self.predictions.append((run_dir, source.name, split))
        count = source.num_examples(split)
        file = next(f for f in FILES.values() if (f.dataset, f.split) == (source.name, split))
        if not file.answers:
            return {"value": np.linspace(-1, 6, count)}
        labels = [name.encode() for name in file.answers]
        # The first in the official order, which comes last, is the last class.
        return {"label": np.array([labels[0]] * (count - 1) + [labels[-1]], object)}


@pytest.fixture
def data(monkeypatch):
    fake = FakeData()
    for module in (running, submission):
        monkeypatch.setattr(module, "load_source", fake)
    return fake


@pytest.fixture
def fake(monkeypatch):
    made = FakeWorkflow()
    monkeypatch.setattr("gc.collect", lambda: 0)  # a second each, with TensorFlow
    monkeypatch.setattr(train, "run", made.run)
    monkeypatch.setattr(export, "export_run", made.export_run)
    monkeypatch.setattr(submission, "predict_source", made.predict_source)
    return made


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, data, fake):
    """Runs the pipeline's command in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["glue", *argv])
        code = glue.main()
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def ran(fake):
    return [(recipe.name, recipe.training.seed) for recipe, _ in fake.runs]


def only_series():
    (folder,) = Path("runs").glob("glue-*")
    return folder


# --- one task


def test_a_task_runs_its_recipe_and_prints_its_row(command, fake):
    result = command("--task", "mrpc", "training.epochs=1")
    assert result.code == 0
    ((recipe, resume),) = fake.runs
    assert (recipe.name, recipe.training.epochs, resume) == ("glue_mrpc", 1.0, None)
    assert "MRPC   accuracy" in result.out
    assert "model      saved_models/glue_mrpc/1" in result.out
    assert "chatter" not in result.out
    assert not list(Path("runs").glob("glue-*"))


def test_with_json_stdout_is_one_object_with_the_run_and_its_table(command):
    result = command("--task", "mrpc", "--json")
    printed = json.loads(result.out)
    assert printed["metrics"]["test/accuracy"] == pytest.approx(0.8)
    assert printed["saved_model"] == "saved_models/glue_mrpc/1"
    assert printed["table"]["tasks"]["mrpc"]["score"]["mean"] == pytest.approx(80)
    assert (printed["submission"], printed["notes"]) == (None, [])


def test_a_recipe_of_ones_own_is_run_for_its_task(command, fake, tmp_path):
    text = '[data]\ndataset = "glue/rte"\ntest_splits = ["validation"]\n'
    (tmp_path / "mine.toml").write_text(text)
    result = command("--recipe", "mine.toml")
    assert result.code == 0
    assert ran(fake) == [("mine", 1)]
    assert "RTE    accuracy" in result.out
    assert command("--recipe", "mine.toml", "--seeds", "2").code == 0
    assert command("--recipe", "mine.toml", "--seeds", "2", "--resume").code == 0
    assert ran(fake)[1:] == [("mine", 1), ("mine", 2)]


def test_resume_goes_on_with_the_latest_run_of_the_task(command, fake):
    fake.interrupt = 1
    assert command("--task", "rte", "training.epochs=1").code == 130
    (path,) = Path("runs").glob("glue_rte-*")
    assert command("--task", "rte", "--resume").code == 0
    recipe, resume = fake.runs[1]
    assert (recipe.training.epochs, resume.path) == (1.0, path)
    (path / "metrics.json").unlink()
    assert command("--resume", str(path)).code == 0
    assert fake.runs[2] == (recipe, RunDir(path))


# --- several


def test_all_tasks_run_one_after_the_other_and_give_the_average(command, fake):
    result = command("--task", "all")
    assert result.code == 0
    assert [name for name, _ in ran(fake)] == [task.recipe for task in TASKS.values()]
    assert "Average of the 9 tasks: 80.0; without WNLI" in result.out
    assert "model      saved_models/glue_wnli/1" in result.out
    assert len(list(only_series().glob("glue_*/metrics.json"))) == 9


def test_several_seeds_print_mean_and_deviation_and_the_best_is_exported_and_answers(command, fake):
    result = command("--task", "rte,mrpc", "--seeds", "3", "--submission", "out")
    assert result.code == 0
    assert ran(fake) == [(name, s) for name in ("glue_mrpc", "glue_rte") for s in (1, 2, 3)]
    assert "70.0 ± 10.0" in result.out
    assert "Average of 2 of the 9 tasks: 70.0. It is not GLUE's: CoLA, SST-2," in result.out
    assert "RTE: seed 2 is the best on validation." in result.err  # seed 1 is so on test
    seeds = [open_run_dir(run_dir.path).recipe_path.read_text() for run_dir in fake.exports]
    assert len(seeds) == 2
    assert all("seed = 2" in text for text in seeds)
    assert [run_dir.path for run_dir, *_ in fake.predictions] == [d.path for d in fake.exports]
    assert "RTE.tsv: 3,000 answers with seed 2" in result.err


def test_several_runs_print_one_json_object(command):
    printed = json.loads(command("--task", "rte", "--seeds", "2", "--json").out)
    assert printed["metrics"]["rte/test/accuracy"] == pytest.approx(0.75)
    assert printed["best_seeds"] == {"rte": 2}
    assert printed["saved_models"] == {"rte": "saved_models/glue_rte/1"}
    assert Path(printed["run_dir"]) == only_series()
    assert len(printed["run_dirs"]["rte"]) == 2


def test_an_interrupted_series_says_how_to_go_on_and_does(command, fake):
    fake.interrupt = 3
    result = command("--task", "rte,mrpc", "--seeds", "2", "--submission", "out")
    assert result.code == 130
    folder = only_series()
    assert f"python -m kerasft.pipelines.glue --resume {folder}\n" in result.err
    assert "kerasft run --resume" not in result.err  # which would go on with one run alone
    fake.interrupt, fake.runs = None, []
    assert command("--resume", str(folder)).code == 0
    assert ran(fake) == [("glue_rte", 1), ("glue_rte", 2)]
    assert [resume is None for _, resume in fake.runs] == [False, True]


def test_a_finished_series_is_read_and_not_run_or_exported_again(command, fake):
    first = command("--task", "rte", "--seeds", "2")
    again = command("--task", "rte", "--seeds", "2", "--resume")
    assert (len(fake.runs), len(fake.exports)) == (2, 1)
    assert again.out == first.out


# --- refusals


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "Which task of GLUE? Expected: --task with one of cola, "),
        (["--resume"], "Which task of GLUE?"),
        (["--task", "mrcp"], 'There is no such GLUE task. Did you mean "mrpc"?'),
        (["--task", "rte", "--recipe", "glue_rte"], "--task and --recipe both say what to run."),
        (["--recipe", "imdb"], "not that of a GLUE task"),
        (["--task", "rte,mrpc", "data.dataset=imdb_reviews"], "not that of a GLUE task"),
        (
            ["--task", "rte", "evaluation.test=false"],
            "evaluation.test=false, which leaves them out",
        ),
        (["--task", "rte,mrpc", "evaluation.test=false"], "The GLUE table reports validation of"),
        (["--task", "rte", "--seeds", "2", "training.seed=4"], "and training.seed is given, too."),
        (["--task", "rte", "--seeds", "2", "--resume", "runs"], "is not that of several runs."),
    ],
)
def test_a_mistake_is_2_before_anything_runs(argv, message, command, fake):
    result = command(*argv)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert fake.runs == []
    assert not Path("runs").exists()


def test_missing_data_is_told_before_the_first_run_with_the_tasks_that_are_left(
    command, data, fake
):
    del data.splits["glue/mnli"], data.splits["glue/qqp"]
    result = command("--task", "all")
    assert result.code == 2
    assert "There is no data for qqp, mnli: The dataset glue/qqp is not prepared." in result.err
    assert "--task cola,sst2,mrpc,stsb,qnli,rte,wnli" in result.err
    assert command("--task", "qqp").err.startswith("error: The dataset glue/qqp is not prepared.")
    assert fake.runs == []


def test_what_keeps_figures_from_being_those_of_glue_is_said(command, data):
    data.splits["glue/mnli"]["train"] = 15130
    result = command("--task", "mnli,rte", "data.train_examples=64")
    truncated = "MNLI: the train split has 15,130 of 392,702 examples here."
    for text in (result.out, result.err):
        assert text.count(truncated) == 1
        assert text.count("data.train_examples=64: not all of GLUE's.") == 1
    assert "train split" not in command("--task", "rte").out


# --- submissions


def test_a_submission_holds_the_answers_in_the_official_order(command, fake):
    result = command("--task", "wnli", "--submission", "out")
    assert result.code == 0
    assert "submission out/submission.zip\n" in result.out
    lines = Path("out/WNLI.tsv").read_text().splitlines()
    assert lines[:3] == ["index\tprediction", "0\t1", "1\t0"]  # the last of the dataset is row 0
    assert "WNLI.tsv: 146 answers with seed 1" in result.err
    assert "The leaderboard wants these as well: CoLA.tsv, " in result.err


def test_all_tasks_give_all_files_but_that_without_data_which_is_said(command, fake):
    printed = json.loads(command("--task", "all", "--submission", "out", "--json").out)
    submission = printed["submission"]
    assert submission["missing"] == ["QQP.tsv"]
    with zipfile.ZipFile("out/submission.zip") as archive:
        assert set(archive.namelist()) == set(FILES) - {"QQP.tsv"} == set(submission["files"])
    answers = [line.split("\t")[1] for line in Path("out/STS-B.tsv").read_text().splitlines()[1:]]
    assert (answers[0], answers[-1]) == ("5.000", "0.000")  # predicted: 6 and -1
    result = command("--task", "qqp", "--submission", "out")
    told = "QQP.tsv cannot be written: glue/qqp, as it lies here, has no split test."
    assert result.err.index(told) < result.err.index("The leaderboard wants these")
    assert "Also in out/submission.zip, from before: CoLA.tsv, " in result.err
    assert result.code == 0


def test_ax_is_predicted_with_the_mnli_model(command, fake):
    command("--task", "mnli", "--submission", "out")
    assert ran(fake) == [("glue_mnli", 1)]
    (run_dir,) = Path("runs").glob("glue_mnli-*")
    assert fake.predictions == [
        (RunDir(run_dir), "glue/mnli", "test_matched"),
        (RunDir(run_dir), "glue/mnli", "test_mismatched"),
        (RunDir(run_dir), "glue/ax", "test"),
    ]
    assert Path("out/AX.tsv").read_text().splitlines()[1] == "0\tcontradiction"


@pytest.mark.parametrize("trouble", ["no dataset", "too few"])
def test_test_data_that_is_missing_is_told_and_not_fatal(trouble, command, data, fake):
    if trouble == "no dataset":
        del data.splits["glue/ax"]
        told = "AX.tsv cannot be written: The dataset glue/ax is not prepared."
    else:
        data.splits["glue/ax"]["test"] = 1000
        told = "AX.tsv cannot be written: the split test of glue/ax has 1,000 of 1,104 examples"
    result = command("--task", "mnli", "--submission", "out")
    assert result.code == 0
    assert told in result.err
    assert sorted(path.name for path in Path("out").glob("*.tsv")) == ["MNLI-m.tsv", "MNLI-mm.tsv"]


def test_a_submission_without_any_file_is_said(command, fake):
    result = command("--task", "qqp", "--submission", "out")
    assert result.code == 0
    assert "There is nothing to hand in: out holds none of the leaderboard's files." in result.err
    assert "submission" not in result.out
    assert list(Path("out").iterdir()) == []


@pytest.mark.parametrize("trouble", ["a file", "a faulty file"])
def test_a_folder_that_will_not_do_is_told_before_the_runs(trouble, command, fake):
    if trouble == "a file":
        Path("out").write_text("")
        told = "out cannot be written"
    else:
        Path("out").mkdir()
        Path("out/RTE.tsv").write_text("index,prediction\n")
        told = "The submission out has faults: RTE.tsv: line 1 is"
    result = command("--task", "wnli", "--submission", "out")
    assert result.code == 2
    assert told in result.err
    assert fake.runs == []

"""The pipeline from recipe to served model, with the recipe `imdb_sample`."""

from __future__ import annotations

import gc
import json
import tomllib

import numpy as np
import pytest
from safetensors.numpy import load_file

import kerasft
from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.data.sources.source import BUILTIN_SAMPLE
from kerasft.export import saved_model
from kerasft.export.layout import RECORD
from kerasft.export.saved_model import ExportOptions
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir, open_run_dir
from kerasft.runs.evaluate import evaluate_run
from kerasft.runs.export import export_run
from kerasft.runs.model import assembly
from kerasft.runs.resolved import load_run_recipe
from kerasft.training.callbacks.history import STEP_COLUMNS, read_history
from kerasft.training.callbacks.scalars import STEP_TAGS
from kerasft.training.checkpoints.checkpoint import BEST

NUM_TRAIN, NUM_VALIDATION, NUM_TEST = 2160, 240, 600
STEPS_PER_EPOCH, STEPS = 68, 136
TEST_METRICS = ("accuracy", "accuracy_lower", "accuracy_upper", "f1_macro", "f1/neg", "log_loss")


@pytest.fixture(scope="module")
def place(make_place):
    return make_place("imdb_sample")


@pytest.fixture(scope="module")
def run(place, run_at):
    """One run of the recipe as it is shipped."""
    return run_at(place)


@pytest.fixture
def folder(run, place, monkeypatch):
    """The run directory; the test stands in the folder that the run was started in."""
    monkeypatch.chdir(place.folder)
    return place.folder / run.path


@pytest.fixture(scope="module")
def test_texts():
    return [text for text, _ in iterate_builtin_sample("test")]


def best_weights(run, place):
    path = place.folder / run.path / "checkpoints" / BEST / "variables.safetensors"
    return {name: value.tobytes() for name, value in load_file(path).items()}


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# --- the run directory


def test_it_learns(run):
    """On unseen templates, far above chance: 600 texts decided by coin give 0.5 +- 0.02."""
    assert run.metrics["validation/accuracy"] > 0.8
    assert run.metrics["test/accuracy"] > 0.6
    assert run.history[-1]["loss"] < 0.5 < run.history[0]["loss"]


def test_what_a_run_leaves(folder):
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if 'dtype_policy = "float32"' not in (folder / "resolved.toml").read_text():
        names.remove("predictions-validation.npz")  # validated once more, in float32
    assert sorted(names) == [
        "checkpoints",
        "data.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "predictions-test.npz",
        "recipe.toml",
        "recipe_file.json",
        "report.md",
        "resolved.toml",
        "tensorboard",
    ]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "best",
        f"best-{STEPS_PER_EPOCH:08d}",  # where one goes back to the first checkpoint
        f"step-{STEPS_PER_EPOCH:08d}",
        f"step-{STEPS:08d}",
    ]


def test_the_recipe_reloads_to_what_was_run(folder):
    shipped, asked = load_recipe("imdb_sample"), load_recipe(folder / "recipe.toml")
    assert asked.name == shipped.name
    assert asked.values() == shipped.values()
    resolved = load_run_recipe(RunDir(folder)).values()
    changed = {k: v for k, v in resolved.items() if v != shipped.values()[k]}
    # The two settings that depend on the machine.
    assert changed.pop("training.dtype_policy") in ("float32", "mixed_bfloat16")
    assert changed.pop("performance.kernels") in (True, False)
    assert changed == {}


def test_metrics_json_is_what_json_prints_and_more(run, folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    assert run.to_json().items() <= metrics.items()
    assert metrics["data"] == BUILTIN_SAMPLE
    assert metrics["preset"] == "tiny_random"
    assert metrics["run_dir"] == str(run.path)
    assert metrics["saved_model"] == "saved_models/imdb_sample/1"
    assert {f"test/{name}" for name in TEST_METRICS} < metrics["metrics"].keys()
    assert "validation/log_loss" in metrics["metrics"]
    assert metrics["label_names"] == ["neg", "pos"]
    assert np.sum(metrics["confusion"]) == NUM_TEST
    assert metrics["train"]["steps"] == STEPS
    assert metrics["train"]["best_step"] in (STEPS_PER_EPOCH, STEPS)
    for name in ("examples_per_second", "tokens_per_second", "seconds"):
        assert metrics["train"][name] > 0


def test_the_metrics_are_those_of_the_predictions(run, folder):
    saved = np.load(folder / "predictions-test.npz")
    labels = [label for _, label in iterate_builtin_sample("test")]
    assert np.array_equal(saved["labels"], labels)
    accuracy = np.mean(saved["logits"].argmax(axis=1) == labels)
    assert run.metrics["test/accuracy"] == pytest.approx(accuracy)
    likelihood = softmax(saved["logits"].astype(np.float64))[np.arange(NUM_TEST), labels]
    assert run.metrics["test/log_loss"] == pytest.approx(-np.mean(np.log(likelihood)), abs=1e-6)
    assert run.metrics["test/accuracy_lower"] < accuracy < run.metrics["test/accuracy_upper"]


def test_history_has_a_row_a_step(run, folder):
    rows = read_history(folder / "history.csv")
    assert rows == run.history
    watched = ["validation/accuracy", "validation/f1_macro", "validation/log_loss"]
    assert list(rows[0]) == [*STEP_COLUMNS, *watched]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    evaluated = [row["step"] for row in rows if row["validation/accuracy"] is not None]
    assert evaluated == [STEPS_PER_EPOCH, STEPS]
    assert rows[-1]["epoch"] == 2


def test_environment_json_tells_the_versions(folder):
    environment = json.loads((folder / "environment.json").read_text())
    assert {"kerasft", "tensorflow", "keras", "keras-hub"} <= environment["packages"].keys()


def test_the_report_tells_the_result_and_real_paths(run, folder):
    report = (folder / "report.md").read_text()
    assert f"accuracy {run.metrics['test/accuracy']:.4f}" in report
    assert f"on {NUM_TEST} test examples" in report
    assert "kerasft predict saved_models/imdb_sample/1 " in report
    assert "tensorboard --logdir runs\n" in report
    for count in (f"{NUM_TRAIN:,}", f"{NUM_VALIDATION}", f"{NUM_TEST}"):
        assert f" {count} |" in report


def test_tensorboard_has_every_step_and_epoch(run, folder, read_scalars):
    scalars = read_scalars(folder / "tensorboard")
    steps, epochs = list(range(1, STEPS + 1)), [STEPS_PER_EPOCH, STEPS]
    for tag in STEP_TAGS:
        assert [step for step, _ in scalars[f"train/{tag}"]] == steps
    for tag in ("train/epoch/loss", "train/epoch/accuracy", "validation/epoch/loss"):
        assert [step for step, _ in scalars[tag]] == epochs
    for tag in ("weight_norm/head", "gradient_norm/layer_1", "update_ratio/embeddings"):
        assert [step for step, _ in scalars[f"train/{tag}"]] == [1, 50, 100]
    assert [step for step, _ in scalars["test/plots/confusion_matrix"]] == [STEPS]
    assert [step for step, _ in scalars["validation/pr_curve/neg/pr_curves"]] == epochs
    assert scalars["hparams/test/accuracy"] == scalars["test/epoch/accuracy"]
    assert "validation/per_class/f1/pos" in scalars
    ((step, accuracy),) = scalars["test/epoch/accuracy"]
    assert (step, accuracy) == (STEPS, pytest.approx(run.metrics["test/accuracy"]))
    ((_, text),) = scalars["train/recipe"]
    content = (text[0] if isinstance(text, list) else text).decode()
    toml = content.removeprefix("```toml\n").removesuffix("\n```")
    assert tomllib.loads(toml) == tomllib.loads((folder / "recipe.toml").read_text())


# --- the exported model


def test_the_sample_exports_under_a_name_of_its_own(run, folder):
    """A server that watches `saved_models/imdb` must never take it for the newest real model."""
    assert str(run.saved_model) == "saved_models/imdb_sample/1"
    assert not (folder.parents[1] / "saved_models/imdb").exists()


def test_the_exported_model_answers_as_it_was_evaluated(run, folder, test_texts):
    """Every test text, raw, in batches that have nothing to do with those of the evaluation."""
    logits = np.load(folder / "predictions-test.npz")["logits"]
    answers = kerasft.load(run.saved_model).predict(test_texts)
    probabilities = [
        [answer["probabilities"][name] for name in ("neg", "pos")] for answer in answers
    ]
    assert np.abs(np.array(probabilities) - softmax(logits)).max() < 1e-5
    labels = np.array(["neg", "pos"])[logits.argmax(axis=1)]
    assert [answer["text"] for answer in answers] == test_texts
    sure = np.abs(logits[:, 0] - logits[:, 1]) > 1e-4
    assert [a["label"] for a, s in zip(answers, sure, strict=True) if s] == list(labels[sure])


def test_a_fresh_process_gave_the_runs_own_answers_before_it_was_published(run, folder):
    verified = json.loads((folder.parents[1] / run.saved_model / RECORD).read_text())["verified"]
    assert verified.pop("largest_difference") < 1e-5
    assert verified == {
        "records": 48,  # four signatures, six batch sizes, two lengths
        "texts": 200,
        "compared_with": "the run, on 200 texts of test",
    }


def test_evaluating_again_gives_the_same_metrics(run, folder):
    again = evaluate_run(open_run_dir(folder))
    assert again == {k: v for k, v in run.metrics.items() if k.startswith("test/")}


def test_exporting_again_is_a_new_version_that_answers_alike(run, folder, test_texts, monkeypatch):
    presets, probes = [], []
    load = assembly.load_preset
    monkeypatch.setattr(
        assembly, "load_preset", lambda *a, **options: presets.append(a) or load(*a, **options)
    )
    monkeypatch.setattr(saved_model, "verify", lambda version, probe, dtype: probes.append(probe))
    again = export_run(open_run_dir(folder), name="again", options=ExportOptions(verify=True))
    assert str(again) == "saved_models/again_sample/1"
    assert len(presets) == 1  # large, and enough for the model and for its data
    assert probes[0].origin == "the run, on 200 texts of test"
    assert list(probes[0].columns[0]) == [text.encode() for text in test_texts[:200]]
    first, second = (
        kerasft.load(path).predict(test_texts[:20]) for path in (run.saved_model, again)
    )
    assert first == second


# --- the seed


def test_the_same_seed_is_the_same_run_and_another_is_not(make_place, run_at, quick):
    places = [make_place(f"seed_{index}") for index in range(3)]
    seeds = (1, 1, 2)
    runs, held = [], []
    for place, seed in zip(places, seeds, strict=True):
        settings = {**quick, "training.seed": seed, "export.enabled": False}
        runs.append(run_at(place, overrides=settings))
        gc.collect()
        held.append(sum(type(found).__name__ == "FuncGraph" for found in gc.get_objects()))
    assert held[1] == held[2]  # no graph of an earlier run, which would hold its weights
    weights = [best_weights(*pair) for pair in zip(runs, places, strict=True)]
    assert weights[0] == weights[1]
    assert runs[0].metrics == runs[1].metrics
    assert weights[0] != weights[2]
    assert runs[0].metrics != runs[2].metrics
    # Without export nothing is exported.
    assert [run.saved_model for run in runs] == [None] * 3
    assert [path.name for path in places[0].folder.iterdir()] == ["runs"]
    report = (places[0].folder / runs[0].path / "report.md").read_text()
    assert "kerasft predict" not in report
    assert "| set by hand | data.test" in report

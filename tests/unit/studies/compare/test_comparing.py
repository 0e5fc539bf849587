"""Comparing runs: what differs, which examples are the same, what the tests say in words."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import kerasft
from kerasft import __main__
from kerasft.errors import UserError
from kerasft.metrics.paired import Difference
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs.trained import split_notes
from kerasft.studies.compare.compared_runs import choose_split, differing_settings, open_runs
from kerasft.studies.compare.comparing import compare_runs
from kerasft.studies.compare.comparison import BOOTSTRAP, MCNEMAR, PairedTest
from kerasft.tasks.measuring import measure
from kerasft.tasks.task import build_task

NAMES = {"single": ("neg", "pos"), "multi": ("a", "b"), "number": ()}
TEXTS = np.arange(16, dtype=np.uint8)


def examples_of(kind, num_examples=200, *, skill=1.0, seed=0):
    """Labels, the same for all skills, and the logits of a model with some skill."""
    generator = np.random.default_rng(0)
    if kind == "number":
        labels = generator.normal(size=num_examples)
        right = labels[:, np.newaxis]
    elif kind == "multi":
        labels = (generator.random((num_examples, 2)) < 0.4).astype(np.int64)
        right = 2.0 * labels - 1
    else:
        labels = generator.integers(2, size=num_examples)
        right = 2 * np.eye(2)[labels] - 1
    noise = np.random.default_rng(seed).normal(size=right.shape)
    return labels, (skill * right + noise).astype(np.float32)


@pytest.fixture
def make_run(tmp_path):
    """Makes a finished run's directory of what a model answered."""

    def make(
        name,
        overrides=None,
        *,
        kind="single",
        skill=1.0,
        num_examples=200,
        splits=("test",),
        texts=TEXTS,
        label_names=None,
        headline=None,
        one_class=False,
    ):
        run_dir = RunDir(tmp_path / name)
        run_dir.path.mkdir()
        recipe = load_recipe("imdb_sample", overrides or {})
        run_dir.write_text("recipe.toml", recipe.to_toml())
        labels, logits = examples_of(kind, num_examples, skill=skill, seed=sum(name.encode()))
        if one_class:
            labels = np.ones_like(labels)
        names = NAMES[kind] if label_names is None else label_names
        task = build_task(kind, names, headline=headline)
        noted = {} if texts is None else {"texts": texts}
        metrics, notes = {}, []
        for split in splits:
            np.savez(
                run_dir.path / f"predictions-{split}.npz", labels=labels, logits=logits, **noted
            )
            facts = measure(task, split, labels, logits, bootstrap_resamples=10)
            metrics |= {f"{split}/{key}": value for key, value in facts.metrics.items()}
            notes += split_notes(facts)
            metrics |= {f"{split}/{task.headline}_{end}": 0.0 for end in ("lower", "upper")}
        result = {
            "metrics": metrics,
            "task": task.record(),
            "data": "builtin_sample",
            "notes": notes,
        }
        run_dir.write_json("metrics.json", result)
        return run_dir.path

    return make


def test_settings_and_metrics_that_differ(make_run):
    first = make_run("a", {"training.learning_rate": 1e-4, "model.dropout": 0.2})
    second = make_run("b", {"training.learning_rate": 2e-4, "model.dropout": 0.2}, skill=0.2)
    comparison = kerasft.compare(first, second)
    assert comparison.settings == {"training.learning_rate": [1e-4, 2e-4]}
    accuracy = comparison.metrics["accuracy"]
    assert accuracy == [run.result["metrics"]["test/accuracy"] for run in comparison.runs]
    assert accuracy[0] > accuracy[1]
    assert "roc_auc" in comparison.metrics
    assert not any("/" in name or name.endswith("_lower") for name in comparison.metrics)


def test_a_real_difference_and_noise(make_run):
    good, bad, alike = (make_run(n, skill=s) for n, s in (("a", 1.0), ("b", 0.2), ("c", 1.0)))
    comparison = compare_runs([good, bad, alike])
    tests = {(test.first, test.second): test for test in comparison.tests}
    assert {pair: test.is_noise for pair, test in tests.items()} == {
        ("A", "B"): False,
        ("A", "C"): True,
        ("B", "C"): False,
    }
    worst = tests["A", "B"]
    accuracy = comparison.metrics["accuracy"]
    assert worst.method == MCNEMAR
    assert worst.difference.estimate == pytest.approx(accuracy[1] - accuracy[0])
    assert worst.p_adjusted > worst.difference.p_value  # Holm: three tests
    assert compare_runs([good, bad]).tests[0].p_adjusted == worst.difference.p_value  # one test
    first, second, third = comparison.conclusions()
    assert first.startswith("A is better than B in accuracy by 0.")
    assert first.endswith("and that is more than noise: p < 0.001.")
    assert "on 200 examples that cannot be told from noise: p = " in second
    assert third.startswith("C is better than B in accuracy by 0.")


@pytest.mark.parametrize(
    ("kind", "metric", "method"),
    [
        ("single", "accuracy", MCNEMAR),
        ("single", "f1_macro", BOOTSTRAP),
        ("single", "f1/pos", BOOTSTRAP),
        ("single", "log_loss", BOOTSTRAP),
        ("multi", "f1_micro", BOOTSTRAP),
        ("multi", "subset_accuracy", MCNEMAR),
        ("number", "pearson", BOOTSTRAP),
        ("number", "mean_squared_error", BOOTSTRAP),
    ],
)
def test_metrics_of_each_kind(make_run, kind, metric, method):
    paths = [make_run(name, kind=kind, skill=s) for name, s in (("a", 0.2), ("b", 1.0))]
    comparison = compare_runs(paths, metrics=[f"test/{metric}"], num_resamples=500)
    (test,) = comparison.tests
    assert (test.metric, test.method, test.is_noise) == (metric, method, False)
    figures = [run.result["metrics"][f"test/{metric}"] for run in comparison.runs]
    assert test.difference.estimate == pytest.approx(figures[1] - figures[0], abs=1e-6)
    (conclusion,) = comparison.conclusions()
    assert conclusion.startswith(f"B is better than A in {metric} by ")  # lower or higher
    again = compare_runs(paths, metrics=[metric], num_resamples=500)
    assert again.tests == comparison.tests
    other = compare_runs(paths, metrics=[metric], num_resamples=500, seed=2)
    assert other.tests != comparison.tests


def test_the_headline_is_tested_unless_told(make_run):
    paths = [make_run(name, kind="number") for name in "ab"]
    assert [test.metric for test in compare_runs(paths).tests] == ["pearson"]
    chosen = compare_runs(paths, metrics=["spearman", "pearson", "spearman"])
    assert [test.metric for test in chosen.tests] == ["spearman", "pearson"]


@pytest.mark.parametrize(
    ("estimate", "p_value", "words"),
    [
        (0.0, 1.0, "X and Y are equally good in log_loss."),
        (0.01, 0.05, "X is ahead of Y in log_loss by 0.0100, but on 1,000 examples that cannot be"),
        (0.01, 0.0499, "X is better than Y in log_loss by 0.0100, and that is more than noise: p"),
        (-0.01, 0.002, "Y is better than X in log_loss by 0.0100, and that is more than noise: p"),
        (
            float("nan"),
            float("nan"),
            "No paired test of log_loss for X and Y: it is undefined on these examples.",
        ),
        (0.01, float("nan"), "No paired test of log_loss for X and Y: it is undefined on every re"),
    ],
)
def test_conclusions(estimate, p_value, words):
    difference = Difference(estimate, -1.0, 1.0, p_value)
    test = PairedTest("log_loss", "X", "Y", BOOTSTRAP, difference, p_value)
    assert test.conclude(1000).startswith(words)


# --- which examples


def test_other_texts_are_not_paired(make_run):
    paths = [make_run("a"), make_run("b", texts=TEXTS[::-1])]
    comparison = compare_runs(paths)
    assert comparison.tests == []
    assert comparison.conclusions() == ["No paired test: the runs have different examples of test."]
    assert comparison.metrics["accuracy"][0] > 0.5  # the rest is told all the same


def note_hashes(path, hashes, order=None, labels=None):
    """Rewrites a run's predictions as this version keeps them, their rows in some order."""
    with np.load(path / "predictions-test.npz") as file:
        found = dict(file)
    found.pop("texts", None)
    found |= {"text_hashes": hashes} | ({} if labels is None else {"labels": labels})
    order = np.arange(len(hashes)) if order is None else order
    np.savez(path / "predictions-test.npz", **{n: array[order] for n, array in found.items()})


def some_hashes(count=200):
    return np.random.default_rng(5).integers(256, size=(count, 16), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["single", "multi", "number"])
def test_examples_are_paired_in_any_order(make_run, kind):
    paths = [make_run(name, kind=kind, skill=s) for name, s in (("a", 0.2), ("b", 1.0))]
    hashes = some_hashes()
    for path in paths:
        note_hashes(path, hashes)
    expected = compare_runs(paths, num_resamples=200)
    note_hashes(paths[1], hashes, np.random.default_rng(1).permutation(200))
    found = compare_runs(paths, num_resamples=200)
    assert found.no_tests_because is None
    assert found.tests == expected.tests
    (test,) = found.tests
    assert test.is_noise is False  # unlike of rows that are paired at random


def test_equal_texts_are_paired_by_their_labels(make_run):
    paths = [make_run(name) for name in "ab"]
    hashes = some_hashes()
    hashes[:40] = hashes[0]  # one text forty times, under both labels
    order = np.random.default_rng(1).permutation(200)
    for path in paths:
        note_hashes(path, hashes)
    same = compare_runs([paths[0], paths[1]]).tests
    note_hashes(paths[1], hashes, order)
    (test,) = compare_runs(paths).tests
    accuracy = [run.result["metrics"]["test/accuracy"] for run in open_runs(paths)]
    assert test.difference.estimate == pytest.approx(accuracy[1] - accuracy[0])
    assert len(same) == 1


def test_other_examples_are_counted(make_run):
    paths = [make_run(name) for name in "abc"]
    hashes = some_hashes()
    labels = examples_of("single")[0]
    other = np.concatenate([hashes[:150], some_hashes(260)[210:]])
    changed = np.concatenate([labels[:190], 1 - labels[190:]])
    note_hashes(paths[0], hashes)
    note_hashes(paths[1], other)
    note_hashes(paths[2], hashes, labels=changed)
    assert compare_runs(paths[:2]).conclusions() == [
        "No paired test: the runs have different examples of test (A 200, B 200; they share 150 by "
        "text and label)."
    ]
    assert "they share 190 by" in compare_runs([paths[0], paths[2]]).no_tests_because
    assert "they share 150 by" in compare_runs(paths).no_tests_because
    note_hashes(paths[1], hashes, np.r_[0, :199])  # one example twice, another one missing
    assert "they share 199 by" in compare_runs(paths[:2]).no_tests_because


def test_a_run_of_an_earlier_version_is_compared_by_its_digest(make_run):
    hashes = some_hashes()
    digest = np.frombuffer(hashlib.blake2b(hashes.tobytes(), digest_size=16).digest(), np.uint8)
    paths = [make_run("a", texts=digest), make_run("b")]
    note_hashes(paths[1], hashes)
    assert compare_runs(paths).no_tests_because is None
    note_hashes(paths[1], hashes[::-1])
    assert "different examples" in compare_runs(paths).no_tests_because


def test_an_undefined_metric_has_no_test_and_a_reason(make_run):
    paths = [make_run(name, headline="roc_auc", one_class=True) for name in "ab"]
    comparison = compare_runs(paths, num_resamples=50)
    assert comparison.metrics["roc_auc"] == [None, None]
    assert comparison.conclusions() == [
        "No paired test of roc_auc for A and B: it is undefined on these examples."
    ]
    assert comparison.notes == ['A, B: All examples are "pos", so ROC-AUC is undefined.']
    both = compare_runs(paths, metrics=["roc_auc", "accuracy"], num_resamples=50)
    assert [test.is_noise is None for test in both.tests] == [True, False]
    assert len(both.notes) == 2


def test_an_undefined_headline_that_an_earlier_version_left_out(make_run):
    paths = [make_run(name, headline="roc_auc", one_class=True) for name in "ab"]
    for path in paths:
        result = RunDir(path).read_json("metrics.json")
        del result["metrics"]["test/roc_auc"], result["notes"]
        RunDir(path).write_json("metrics.json", result)
    (said,) = compare_runs(paths, num_resamples=50).conclusions()
    assert said.startswith("No paired test of roc_auc for A and B: it is undefined")


def test_fewer_examples_are_not_paired(make_run):
    comparison = compare_runs([make_run("a"), make_run("b", num_examples=150)])
    (said,) = comparison.conclusions()
    assert said == "No paired test: the runs have different examples of test (A 200, B 150)."


def test_other_labels_are_not_paired(make_run):
    paths = [make_run(name, texts=None) for name in "ab"]
    with np.load(paths[1] / "predictions-test.npz") as file:
        found = dict(file)
    np.savez(paths[1] / "predictions-test.npz", labels=1 - found["labels"], logits=found["logits"])
    assert "different examples" in compare_runs(paths).no_tests_because


@pytest.mark.parametrize(
    ("overrides", "paired"),
    [
        ({"training.learning_rate": 1e-3}, True),
        ({"training.seed": 7}, True),
        ({"data.train_examples": 50}, True),
        ({"data.test_examples": 50}, False),
        ({"data.test_examples": 200, "training.seed": 7}, False),
    ],
)
def test_runs_that_did_not_note_their_texts_are_judged_by_their_settings(
    make_run, overrides, paired
):
    before = {"data.test_examples": 200} if "data.test_examples" in overrides else {}
    paths = [make_run("a", before, texts=None), make_run("b", overrides)]
    reason = compare_runs(paths).no_tests_because
    assert (reason is None) == paired
    assert paired or "of an earlier version did not note which examples test holds" in reason


def test_notes(make_run):
    first, second = make_run("a", splits=("validation",)), make_run("b", splits=("validation",))
    comparison = compare_runs([first, second])
    assert comparison.split == "validation"
    fixed, flattered = comparison.notes
    assert "hold the models fixed" in fixed
    assert flattered.startswith("Validation has chosen")
    third = make_run("c", {"training.seed": 5}, splits=("validation", "test"))
    only_seed, _ = compare_runs([first, third]).notes
    assert only_seed.startswith("The runs differ in nothing but the seed")


def test_what_was_read_differs_where_the_sample_stood_in(make_run):
    paths = [make_run("a"), make_run("b")]
    run_dir = RunDir(paths[1])
    result = run_dir.read_json("metrics.json")
    run_dir.write_json("metrics.json", result | {"data": "imdb_reviews"})
    assert differing_settings(open_runs(paths)) == {"data": ["builtin_sample", "imdb_reviews"]}


# --- what cannot be compared


def test_too_few_and_the_same(make_run):
    path = make_run("a")
    with pytest.raises(UserError, match=r"between runs\. Received: '1 run'\. Expected: 2 to 26"):
        open_runs([path])
    with pytest.raises(UserError, match=r"cannot be compared with itself\. Received: '.*a/\.'"):
        open_runs([f"{path}/.", path])


def test_no_run_directory_and_an_unfinished_run(make_run, tmp_path):
    first, second = make_run("a"), make_run("b")
    with pytest.raises(UserError, match="This is not a run directory"):
        open_runs([first, tmp_path])
    (second / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"run .*/b is not finished\. Fix: wait .*--resume .*/b"):
        open_runs([first, second])
    (second / "metrics.json").write_text('{"metrics": {}}')
    with pytest.raises(UserError, match=r"does not say all .* Expected: data, task"):
        open_runs([first, second])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "multi"}, r"a: single \(neg, pos\); .*b: multi \(a, b\)"),
        ({"kind": "number"}, r"b: number'"),
        ({"label_names": ("pos", "neg")}, r"a: single \(neg, pos\); .*b: single \(pos, neg\)"),
    ],
)
def test_runs_of_different_tasks(make_run, options, said):
    paths = [make_run("a"), make_run("b", **options)]
    with pytest.raises(UserError, match=rf"learnt different things: .*Received: '.*{said}"):
        compare_runs(paths)


def test_splits(make_run):
    runs = open_runs([make_run("a", splits=("test", "validation")), make_run("b")])
    assert choose_split(runs, None) == "test"
    with pytest.raises(UserError, match=r"Not all .* Received: 'validation'\. Expected: one of te"):
        choose_split(runs, "validation")
    runs = open_runs([runs[1].run_dir.path, make_run("c", splits=("validation",))])
    with pytest.raises(UserError, match=r"no predictions of a common .*'A: test; B: validation'"):
        choose_split(runs, None)


def test_metrics_that_are_none(make_run):
    paths = [make_run("a"), make_run("b")]
    with pytest.raises(UserError, match=r'this metric of test\. Did you mean "accuracy"\?.*such'):
        compare_runs(paths, metrics=["acuracy"])
    with pytest.raises(UserError, match=r"no paired test\. Received: 'expected_calibration_error'"):
        compare_runs(paths, metrics=["expected_calibration_error"])


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_damaged_predictions(make_run, content):
    paths = [make_run("a"), make_run("b")]
    file = paths[1] / "predictions-test.npz"
    file.write_bytes(file.read_bytes()[:-40] if content is None else content)
    with pytest.raises(UserError, match=r"predictions-test.npz is damaged\. Fix: .*evaluate .*/b"):
        compare_runs(paths)


# --- the command


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `kerasft compare`; returns what it prints."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["kerasft", "compare", *map(str, arguments)])
        assert __main__.main() == 0
        return capsys.readouterr().out

    return run


def test_the_command_prints_tables_and_sentences(make_run, command):
    first, second = make_run("a", {"training.seed": 3}), make_run("b", skill=0.2)
    out = command(first, second)
    assert out.startswith(f"A  {first}\nB  {second}\n")
    assert [line.split() for line in out.splitlines() if "training.seed" in line] == [
        ["training.seed", "3", "1"]
    ]
    assert "accuracy, McNemar   B - A" in out
    assert "A is better than B in accuracy by 0." in out


def test_the_command_prints_no_row_of_an_undefined_test(make_run, command):
    out = command(*(make_run(name, headline="roc_auc", one_class=True) for name in "ab"))
    assert ["roc_auc", "undefined", "undefined"] in [line.split() for line in out.splitlines()]
    assert "95 % interval" not in out
    assert "No paired test of roc_auc for A and B" in out
    assert 'A, B: All examples are "pos", so ROC-AUC is undefined.' in out


def test_the_command_prints_json(make_run, command):
    paths = [str(make_run(name)) for name in "ab"]
    options = ["--json", "--metric", "f1_macro", "--metric", "accuracy"]
    found = json.loads(command(*paths, *options))
    assert found == compare_runs(paths, metrics=["f1_macro", "accuracy"]).to_json()
    assert found["runs"] == {"A": paths[0], "B": paths[1]}
    assert found["num_examples"] == {"A": 200, "B": 200}
    assert [test["method"] for test in found["tests"]] == [BOOTSTRAP, MCNEMAR]
    assert found["settings"] == {}

"""What a run writes for those who watch it, and which of its settings it is told apart by."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kerasft.console import tensorboard_command
from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.run_dir import RunDir
from kerasft.runs.callbacks import build_callbacks, chosen_settings
from kerasft.runs.train import run
from kerasft.runs.trained import open_trained
from kerasft.training.distribution.workers import Cluster, Workers

TINY = {"model.preset": "tiny_random", "export.enabled": False}


def test_settings_that_are_set_and_main_ones_tell_a_run_apart(make_recipe):
    chosen = {
        "adapter.method": "lora",
        "adapter.matrices": ["query", "key"],
        "training.beta_1": 0.9,
    }
    settings = chosen_settings(
        make_recipe({**TINY, **chosen, "logging.plots": False, "training.learning_rate": 1e-3})
    )
    assert settings["adapter.matrices"] == "query, key"
    assert settings["training.beta_1"] == 0.9  # as usual, but set by hand
    assert settings["training.learning_rate"] == 1e-3
    assert settings["training.seed"] == 1  # a main one
    assert settings["training.steps"] == 4
    left_out = {"training.beta_2", "training.epochs", "export.enabled", "logging.plots"}
    assert not left_out & settings.keys()
    assert all(isinstance(value, bool | int | float | str) for value in settings.values())


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture
def finished(make_context, told):
    """A run of four steps with all that can be watched."""

    class Listener:
        def __getattr__(self, name):
            return lambda *args, **_: told.append(args) if name == "on_message" else None

    wanted = {
        "logging.projector_texts": 5,
        "logging.norms_every_steps": 2,
        "logging.plots": True,
        "data.validation_fraction": 0.3,
    }
    context = make_context({**TINY, **wanted})
    return context, run(context.asked, callbacks=[Listener()])


def read(folder):
    """Returns `{tag: {step: value}}` of one of TensorBoard's folders."""
    values = {}
    for path in sorted(folder.glob("*tfevents*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                values.setdefault(value.tag, {})[event.step] = array
    return values


def test_a_run_writes_what_there_is_to_watch(finished, told):
    context, run = finished
    run_dir = RunDir(run.path)
    folder = run_dir.tensorboard_folder
    train, validation, test, hparams = (
        read(folder / name) for name in ("train", "validation", "test", "hparams")
    )
    norms = ["weight_norm/head", "gradient_norm/layer_0", "update_ratio/embeddings"]
    assert [list(train[name]) for name in norms] == [[1, 2, 4]] * 3
    for split, values in (("train", train), ("validation", validation), ("test", test)):
        store, indices = context.data.examples(split)
        assert values["tokens_per_text"][0][:, 2].sum() == len(indices)
        assert values["tokens_per_text"][0][0, 0] == min(store.lengths[indices])
    assert {"plots/confusion_matrix", "pr_curve/neg/pr_curves"} <= validation.keys() & test.keys()
    logits = np.load(run_dir.path / "predictions-test.npz")["logits"]
    predicted = logits[:, 1] > logits[:, 0]
    curve = test["pr_curve/pos/pr_curves"][4]
    assert curve[0, 100] + curve[1, 100] == predicted.sum()
    found = {name: values[4] for name, values in hparams.items() if 4 in values}
    for name in ("test/accuracy", "validation/log_loss"):
        assert found[name] == pytest.approx(run.metrics[name])
    assert (f"To watch it: {tensorboard_command(run.path.parent)}",) in told
    _check_projector(context, run_dir)


def _check_projector(context, run_dir):
    folder = run_dir.tensorboard_folder / "validation"
    rows = [
        line.split("\t")
        for line in (folder / "projector_texts.tsv").read_text("utf-8").splitlines()
    ]
    assert rows[0] == ["text", "label", "answer", "verdict"]
    labels = {text: ("neg", "pos")[label] for text, label in iterate_builtin_sample("train")}
    assert len(rows) == 6
    for text, label, answer, verdict in rows[1:]:
        [(_, true_label)] = [
            item for item in labels.items() if " ".join(item[0].split())[:299] == text[:299]
        ]
        assert label == true_label
        assert verdict == ("right" if label == answer else "wrong")
    vectors = np.loadtxt(folder / "projector_vectors.tsv")
    model = open_trained(context.recipe, run_dir).best_model(context.task)
    logits = model.head(tf.constant(vectors, tf.float32)).numpy()
    assert [("neg", "pos")[i] for i in logits.argmax(axis=1)] == [row[2] for row in rows[1:]]
    assert vectors.shape == (5, context.preset.backbone.hidden_dim)


def test_processes_that_are_not_the_chief_write_history_alone(make_context, make_run_dir):
    context = make_context(TINY)
    run_dir = make_run_dir(context)

    def names(**changes):
        callbacks = build_callbacks(dataclasses.replace(context, **changes), run_dir)
        return [type(callback).__name__ for callback in callbacks]

    assert names() == ["HistoryCallback", "TensorBoardCallback", "HParamsCallback"]
    assert names(workers=Workers(context.strategy, Cluster(2, 1))) == ["HistoryCallback"]
    training = dataclasses.replace(context.recipe.training, profile_steps="1-2")
    profiled = dataclasses.replace(context.recipe, training=training)
    assert names(recipe=profiled)[-1] == "ProfilerCallback"

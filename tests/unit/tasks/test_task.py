"""Which task a kind of label makes, and that a record of it makes the same one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from kerasft.data.example import LABEL_KINDS
from kerasft.errors import UserError
from kerasft.tasks.classification import Classification
from kerasft.tasks.multilabel import MultiLabel
from kerasft.tasks.regression import Regression
from kerasft.tasks.task import Task, build_task, task_from_record

NAMES = ("neg", "neutral", "pos")
TASKS = {
    "single": build_task("single", NAMES, headline="f1_macro"),
    "multi": build_task("multi", NAMES, thresholds=[0.1, 1 / 3, 0.7]),
    "number": build_task("number", (), headline="spearman", value_range=(0, None)),
}
LOGITS = {
    kind: np.random.default_rng(0).normal(size=(6, task.num_outputs)).astype(np.float32)
    for kind, task in TASKS.items()
}


def test_a_class_for_each_kind():
    assert set(TASKS) == set(LABEL_KINDS)
    classes = {kind: type(build_task(kind, NAMES)) for kind in LABEL_KINDS}
    assert classes == {"single": Classification, "multi": MultiLabel, "number": Regression}
    assert {kind: build_task(kind, NAMES).headline for kind in LABEL_KINDS} == {
        "single": "accuracy",
        "multi": "f1_micro",
        "number": "pearson",
    }


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_has_all_that_a_task_has(task):
    missing = [name for name in Task.__annotations__ if not hasattr(task, name)]
    methods = [name for name in vars(Task) if not name.startswith("_")]
    missing += [name for name in methods if not hasattr(task, name)]
    assert missing == []
    assert {"decode", "details", "perfect_logits"} <= set(methods)  # the list is not an empty one


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_bfloat16_logits_are_answered_in_float32(task):
    answer = task.decode(tf.zeros((2, task.num_outputs), tf.bfloat16))
    floats = {name: t.dtype for name, t in answer.items() if t.dtype.is_floating}
    assert len(floats) > 1
    assert set(floats.values()) == {tf.float32}


@pytest.mark.parametrize(("kind", "outputs"), [("single", 3), ("multi", 3), ("number", 1)])
def test_the_head_has_a_logit_for_each_label_or_one(kind, outputs):
    head = TASKS[kind].build_head(hidden_dim=5, dropout=0.25, seed=3)
    assert head(tf.zeros((2, 5))).shape == (2, TASKS[kind].num_outputs) == (2, outputs)
    assert head.dropout.rate == 0.25


@pytest.mark.parametrize(
    ("kind", "labels", "wrong", "best"),
    [
        ("single", [2, 0, 1, 2], [2, 1, 0, 2], {"accuracy": 1.0, "f1_macro": 1.0}),
        ("multi", [[1, 0, 1], [0, 1, 0]], [[0, 1, 0], [1, 0, 1]], {"f1_macro": 1.0}),
        ("multi", [[1, 0, 1], [0, 1, 0]], [[0, 1, 0], [1, 0, 1]], {"subset_accuracy": 1.0}),
        ("number", [0.0, 2.0, 5.0, 3.0], [3.0, 5.0, 2.0, 0.0], {"mean_squared_error": 0.0}),
    ],
)
def test_perfect_logits_are_right_and_wrong_ones_are_not(kind, labels, wrong, best):
    logits = TASKS[kind].perfect_logits(np.array(labels))
    assert logits.shape == (len(labels), TASKS[kind].num_outputs)
    assert logits.dtype == np.float32
    metrics = TASKS[kind].evaluate(np.array(labels), logits)
    assert metrics.items() >= best.items()
    assert metrics.get("log_loss", 0.0) < 1e-6
    others = TASKS[kind].evaluate(np.array(wrong), logits)
    assert not {name: others[name] for name in best}.items() & best.items()


def test_thresholds_are_those_of_several_labels():
    assert [kind for kind, task in TASKS.items() if task.has_thresholds] == ["multi"]
    for kind, labels in (("single", np.arange(6) % 3), ("number", np.arange(6.0))):
        assert TASKS[kind].with_tuned_thresholds(labels, LOGITS[kind]) is TASKS[kind]


def test_settings_are_passed_on():
    assert build_task("single", NAMES, label_smoothing=0.2).label_smoothing == 0.2
    assert TASKS["multi"].thresholds == (0.1, 1 / 3, 0.7)
    assert TASKS["number"].value_range == (0, None)


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_a_record_makes_the_task_that_decides_alike(kind):
    task, logits = TASKS[kind], LOGITS[kind]
    again = task_from_record(json.loads(json.dumps(task.record(), allow_nan=False)))
    assert (again.kind, again.label_names) == (task.kind, task.label_names)
    assert again.headline == task.headline
    assert again.record() == task.record()
    for name, tensor in task.decode(tf.constant(logits)).items():
        assert np.array_equal(tensor, again.decode(tf.constant(logits))[name])


@pytest.mark.parametrize(
    ("kind", "setting", "output"),
    [("multi", "thresholds", "selected"), ("number", "value_range", "value")],
)
def test_control_without_its_settings_a_record_decides_otherwise(kind, setting, output):
    task, logits = TASKS[kind], tf.constant(LOGITS[kind])
    other = task_from_record(task.record() | {setting: None})
    assert not np.array_equal(task.decode(logits)[output], other.decode(logits)[output])


def test_tuned_thresholds_survive_a_record_to_the_last_bit():
    labels = (LOGITS["multi"] + np.random.default_rng(1).normal(size=(6, 3)) > 0).astype(np.uint8)
    tuned = build_task("multi", NAMES).with_tuned_thresholds(labels, LOGITS["multi"])
    again = task_from_record(json.loads(json.dumps(tuned.record())))
    assert np.array_equal(np.float32(again.thresholds), np.float32(tuned.thresholds))


@pytest.mark.parametrize("record", [{}, {"kind": "span", "label_names": []}, {"kind": "single"}])
def test_a_record_that_is_not_known(record):
    with pytest.raises(UserError, match=r"cannot build.*Expected: a kind"):
        task_from_record(record)


def test_no_such_kind():
    with pytest.raises(ValueError, match=r"Received: 'several'\. Expected: one of single, multi"):
        build_task("several", NAMES)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("multi", {"label_smoothing": 0.1}),
        ("number", {"label_smoothing": 0.1}),
        ("single", {"thresholds": [0.5, 0.5, 0.5]}),
        ("number", {"thresholds": []}),
        ("single", {"value_range": (0, 5)}),
        ("multi", {"value_range": (None, 5)}),
        ("number", {"focal_gamma": 2.0}),
        ("single", {"huber_delta": 1.0}),
    ],
)
def test_settings_of_another_kind_are_refused(kind, setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"of the kind {kind} have no `{name}`"):
        build_task(kind, NAMES, **setting)

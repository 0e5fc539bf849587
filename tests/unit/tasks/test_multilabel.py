"""Several labels to a text: decoding, loss, metrics and thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.metrics.multilabel import multilabel_metrics
from kerasft.tasks.measuring import measure
from kerasft.tasks.multilabel import MultiLabel

NAMES = ("acting", "music", "plot")
LOGITS = np.array([[2.0, -1.0, 0.5], [-3.0, -2.0, -1.0], [-1.0, 4.0, 0.1]], "float32")
LABELS = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 0]], np.uint8)


@pytest.fixture
def task():
    return MultiLabel(list(NAMES))


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def texts(tensor):
    return [[name.decode() for name in row] for row in tensor.numpy()]


class TestDecode:
    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    def test_answer(self, task, wrap):
        answer = wrap(task.decode)(tf.constant(LOGITS))
        assert texts(answer["labels"]) == [["acting", "plot", ""], [""] * 3, ["music", "plot", ""]]
        np.testing.assert_allclose(answer["scores"], sigmoid(LOGITS), rtol=1e-6)
        assert answer["selected"].numpy().tolist() == (LOGITS > 0).tolist()
        assert np.array_equal(answer["logits"], LOGITS)
        assert tuple(answer) == ("labels", "scores", "selected", "logits")
        dtypes = [tensor.dtype for tensor in answer.values()]
        assert dtypes == [tf.string, tf.float32, tf.bool, tf.float32]

    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    def test_no_text_no_answer(self, task, wrap):
        answer = wrap(task.decode)(tf.zeros((0, 3)))
        assert {tuple(tensor.shape) for tensor in answer.values()} == {(0, 3)}

    def test_every_set_of_labels_comes_in_label_order(self):
        names = [f"l{i}" for i in range(6)]
        every = np.array([[i >> bit & 1 for bit in range(6)] for i in range(64)])
        answer = MultiLabel(names).decode(tf.constant(every * 2.0 - 1))
        for row, applies in zip(texts(answer["labels"]), every, strict=True):
            given = [name for name, one in zip(names, applies, strict=True) if one]
            assert row == given + [""] * (6 - len(given))

    def test_a_threshold_for_each_label(self):
        task = MultiLabel(NAMES, thresholds=[0.9, 0.5, 0.05])
        answer = task.decode(tf.constant(LOGITS))
        # sigmoid(2) = 0.88, sigmoid(-3) = 0.047, sigmoid(-1) = 0.27
        assert texts(answer["labels"]) == [
            ["plot", "", ""],
            ["plot", "", ""],
            ["music", "plot", ""],
        ]

    def test_a_score_on_the_threshold_is_given(self):
        answer = MultiLabel(["a", "b"], thresholds=[0.5, 0.5000001]).decode(tf.zeros((1, 2)))
        assert answer["selected"].numpy().tolist() == [[True, False]]

    def test_one_label(self):
        answer = MultiLabel(["größer"]).decode(tf.constant([[1.0], [-1.0]]))
        assert texts(answer["labels"]) == [["größer"], [""]]

    def test_extreme_logits_stay_finite(self, task):
        answer = task.decode(tf.constant([[1e4, -1e4, 0.0]]))
        assert answer["scores"].numpy().tolist() == [[1.0, 0.0, 0.5]]


class TestTraining:
    def test_loss_is_binary_cross_entropy_of_logits(self, task):
        scores = sigmoid(LOGITS)
        expected = -np.where(LABELS, np.log(scores), np.log(1 - scores)).mean(axis=1)
        loss = task.build_loss()
        for labels in (LABELS.astype(np.float32), LABELS):
            found = loss.call(tf.constant(labels), tf.constant(LOGITS))
            assert found.shape == (3,)
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        # Control: a softmax over the labels, as if there were one to a text.
        wrong = -(LABELS * np.log(np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True))).sum(1)
        assert np.abs(wrong - expected).max() > 0.1

    def test_loss_of_one_label_has_one_value_an_example(self):
        loss = MultiLabel(["a"]).build_loss().call(tf.constant([[1.0], [0.0]]), tf.zeros((2, 1)))
        np.testing.assert_allclose(loss, np.log([2, 2]), rtol=1e-6)

    def test_metric_is_the_share_of_right_decisions(self, task):
        (metric,) = task.build_metrics()
        metric.update_state(LABELS.astype(np.float32), LOGITS)
        assert (metric.name, float(metric.result())) == ("label_accuracy", pytest.approx(7 / 9))
        metric.reset_state()
        metric.update_state(LABELS.astype(np.float32), LOGITS, sample_weight=[1.0, 1.0, 0.0])
        assert float(metric.result()) == pytest.approx(5 / 6)


class TestEvaluate:
    def test_it_is_of_what_decode_answers(self, task):
        answer = task.decode(tf.constant(LOGITS))
        expected = multilabel_metrics(LABELS, answer["scores"], answer["selected"], NAMES)
        assert task.evaluate(LABELS, LOGITS) == expected
        assert task.headline in expected

    def test_thresholds_decide(self, task):
        strict = MultiLabel(NAMES, thresholds=[0.99] * 3).evaluate(LABELS, LOGITS)
        usual = task.evaluate(LABELS, LOGITS)
        assert strict["recall_micro"] == 0.0 < usual["recall_micro"]
        assert strict["average_precision_macro"] == usual["average_precision_macro"]


class TestFacts:
    def test_they_hold_what_evaluate_says_and_the_thresholds(self):
        task = MultiLabel(NAMES, thresholds=[0.5, 0.25, 0.7])
        facts = measure(task, "validation", LABELS, LOGITS)
        expected = task.evaluate(LABELS, LOGITS)
        thresholds = {"threshold/acting": 0.5, "threshold/music": 0.25, "threshold/plot": 0.7}
        assert facts.metrics == expected | thresholds
        assert (facts.split, facts.label_names, facts.num_examples) == ("validation", NAMES, 3)
        assert facts.confusion is None
        assert len(facts.bins) == 0

    @pytest.mark.parametrize("headline", [None, "f1_macro", "subset_accuracy", "f1/plot"])
    def test_the_interval_is_the_headlines(self, headline):
        facts = measure(MultiLabel(NAMES, headline=headline), "test", LABELS, LOGITS)
        name = headline or "f1_micro"
        assert list(facts.intervals) == [facts.headline] == [name]
        assert facts.intervals[name].estimate == pytest.approx(facts.metrics[name])

    def test_what_is_missing_is_told(self, task):
        facts = measure(task, "test", LABELS * [1, 0, 1], LOGITS)
        assert any('"music"' in note for note in facts.notes)


class TestThresholds:
    def test_tuning_raises_macro_f1_and_keeps_the_rest(self):
        generator = np.random.default_rng(0)
        labels = (generator.random((400, 3)) < [0.1, 0.3, 0.6]).astype(np.uint8)
        logits = (generator.normal(size=(400, 3)) + labels - 2).astype(np.float32)
        task = MultiLabel(NAMES, headline="f1_macro")
        tuned = task.with_tuned_thresholds(labels, logits)
        before, after = task.evaluate(labels, logits), tuned.evaluate(labels, logits)
        assert after["f1_macro"] > before["f1_macro"] + 0.1
        assert all(after[f"f1/{name}"] >= before[f"f1/{name}"] for name in NAMES)
        assert (tuned.label_names, tuned.headline) == (NAMES, "f1_macro")
        assert task.thresholds == (0.5, 0.5, 0.5)
        assert tuned.thresholds == task.with_tuned_thresholds(labels, logits).thresholds

    def test_a_label_without_examples_keeps_one_half(self, task):
        tuned = task.with_tuned_thresholds(LABELS * [1, 0, 1], LOGITS)
        assert tuned.thresholds[1] == 0.5
        assert tuned.thresholds[2] != 0.5

    @pytest.mark.parametrize("thresholds", [[0.5, 0.5], [0.5, 0.5, 1.5], [0.5, 0.5, float("nan")]])
    def test_thresholds_must_fit(self, thresholds):
        with pytest.raises(ValueError, match=r"`thresholds` do not fit.*for 3 labels"):
            MultiLabel(NAMES, thresholds=thresholds)

    def test_there_must_be_a_label(self):
        with pytest.raises(ValueError, match="Expected: at least one label"):
            MultiLabel([])

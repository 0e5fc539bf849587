"""Pictures of an evaluation, read back from the event files, against scikit-learn and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.projector import ProjectorConfig, projector_plugin

from kerasft.evaluation import pictures as evaluation_pictures
from kerasft.evaluation.pictures import EvaluationPictures, most_frequent, write_projector
from kerasft.tasks.classification import Classification
from kerasft.tasks.multilabel import MultiLabel
from kerasft.tasks.regression import Regression
from kerasft.training.callbacks.tensorboard import TensorBoardCallback

NAMES = ("bad", "good", "so $o$")
PLOTS = {"plots/confusion_matrix", "plots/reliability_diagram", "plots/roc_curves"}


def make_predictions(seed=0, num_examples=200):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num_examples)
    logits = random.normal(size=(num_examples, 3)) + 1.5 * np.eye(3)[labels]
    return labels, logits.astype(np.float32)


def write(folder, task, labels, logits, *, split="validation", best=True, step=7):
    events = TensorBoardCallback(folder, "", pictures=EvaluationPictures(task, 5))
    events.on_predictions(split, labels, logits)
    events.on_evaluation(split, step, {"accuracy": 0.5}, best=best)
    events.close()
    found = EventAccumulator(str(folder / split), {"tensors": 0})
    found.Reload()
    return {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def check_pr_curve(curve, targets, scores):
    """At thresholds that no score lies on, all six rows are what scikit-learn counts."""
    assert curve.shape == (6, 201)
    for place in (1, 60, 100, 150):
        chosen = scores >= place / 200
        matrix = confusion_matrix(targets, chosen, labels=[False, True])
        (true_negative, false_positive), (false_negative, true_positive) = matrix
        counts = (true_positive, false_positive, true_negative, false_negative)
        np.testing.assert_array_equal(curve[:4, place], counts)
        precision = precision_score(targets, chosen, zero_division=0.0)
        rates = precision, recall_score(targets, chosen)
        np.testing.assert_allclose(curve[4:, place], rates, atol=1e-6)


def test_pr_curves_are_those_of_scikit_learn(tmp_path):
    labels, logits = make_predictions()
    values = write(tmp_path, Classification(NAMES), labels, logits)
    scores = softmax(logits)
    for index, name in enumerate(NAMES):
        [(step, curve)] = values[f"pr_curve/{name}/pr_curves"]
        assert step == 7
        check_pr_curve(curve, labels == index, scores[:, index])
    with pytest.raises(AssertionError):  # a control: another label's curve
        check_pr_curve(curve, labels == 0, scores[:, 0])


def test_several_labels_have_curves_and_no_confusion(tmp_path):
    _, logits = make_predictions()
    labels = (logits + np.random.default_rng(1).normal(size=logits.shape) > 0.5).astype(np.uint8)
    values = write(tmp_path, MultiLabel(NAMES), labels, logits)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    for index, name in enumerate(NAMES):
        check_pr_curve(
            values[f"pr_curve/{name}/pr_curves"][0][1], labels[:, index], scores[:, index]
        )
    assert PLOTS & set(values) == {"plots/roc_curves"}


def test_what_is_plotted_is_what_scikit_learn_and_numpy_count(tmp_path, monkeypatch):
    labels, logits = make_predictions()
    given = {}
    for kind in ("confusion", "reliability", "roc"):
        plot = getattr(evaluation_pictures, f"plot_{kind}")

        def keep(*args, kind=kind, plot=plot, **options):
            given[kind] = args
            return plot(*args, **options)

        monkeypatch.setattr(evaluation_pictures, f"plot_{kind}", keep)
    values = write(tmp_path, Classification(NAMES), labels, logits)
    assert set(values) >= PLOTS
    probabilities = softmax(logits)
    predicted = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(given["confusion"][0], confusion_matrix(labels, predicted))
    confidence = probabilities.max(axis=1)
    counts, edges = np.histogram(confidence, bins=5, range=(0, 1))
    [bins] = given["reliability"]
    assert [b.num_examples for b in bins] == counts.tolist()
    for b, low, high in zip(bins, edges[:-1], edges[1:], strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            assert b.accuracy == pytest.approx((labels == predicted)[inside].mean())
            assert b.confidence == pytest.approx(confidence[inside].mean(), rel=1e-5)
    targets, scores, names = given["roc"]
    for index in range(3):
        area = roc_auc_score(labels == index, probabilities[:, index])
        assert roc_auc_score(targets[:, index], scores[:, index]) == pytest.approx(area)
    assert names == list(NAMES)


def test_images_are_pictures_of_their_numbers(tmp_path):
    labels, logits = make_predictions()
    runs = [
        write(tmp_path / str(number), Classification(NAMES), labels, one)
        for number, one in enumerate((logits, -logits))
    ]
    for tag in PLOTS:
        [(step, (width, height, png))] = runs[0][tag]
        image = tf.io.decode_png(png).numpy()
        assert image.shape == (int(height), int(width), 3)
        assert step == 7
        assert image.std() > 10  # something is drawn
        assert runs[1][tag][0][1][2] != png  # a control: other numbers, another picture


@pytest.mark.parametrize(
    ("split", "best", "drawn"),
    [("validation", True, True), ("validation", False, False), ("test", False, True)],
)
def test_images_of_the_best_evaluations_and_of_tests(tmp_path, split, best, drawn):
    values = write(tmp_path, Classification(NAMES), *make_predictions(), split=split, best=best)
    assert bool(PLOTS & set(values)) == drawn
    assert "pr_curve/bad/pr_curves" in values


def test_metrics_and_pictures_lie_in_one_file(tmp_path):
    """TensorBoard reads no file any more once it has seen a newer one beside it."""
    events = TensorBoardCallback(tmp_path, "", pictures=EvaluationPictures(Classification(NAMES)))
    for step in (3, 6):
        events.on_predictions("validation", *make_predictions())
        events.on_evaluation("validation", step, {"accuracy": 0.5}, best=step == 3)
        assert len(list((tmp_path / "validation").iterdir())) == 1
    events.close()


def test_numbers_have_no_pictures(tmp_path):
    values = write(tmp_path, Regression(), np.arange(4.0), np.arange(4.0)[:, None])
    assert set(values) == {"epoch/accuracy"}


def test_predictions_of_another_split_are_not_taken_for_its_own(tmp_path):
    events = TensorBoardCallback(tmp_path, "", pictures=EvaluationPictures(Classification(NAMES)))
    events.on_predictions("validation", *make_predictions())
    events.on_evaluation("test", 7, {"accuracy": 0.5}, best=False)
    events.close()
    assert b"pr_curve" not in next((tmp_path / "test").iterdir()).read_bytes()


def test_the_curves_of_many_labels_are_those_of_the_most_frequent():
    targets = np.zeros((30, 25), bool)
    for label in range(25):
        targets[: label + 1, label] = True
    assert most_frequent(targets) == list(range(5, 25))
    assert most_frequent(targets[:, :3]) == [0, 1, 2]


def test_a_label_without_examples_has_no_roc_curve():
    png = evaluation_pictures.plot_roc(
        np.zeros((4, 1), bool), np.linspace(0, 1, 4)[:, None], ["none"], title="empty"
    )
    assert png.startswith(b"\x89PNG")


def test_points_and_what_is_said_of_them(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    texts = ["one\ttext\nof two lines", "another\r\n", "long " * 100]
    write_projector(tmp_path, vectors, {"text": texts, "label": ["a", "b", "a"]})
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    [embedding] = config.embeddings
    read = projector_plugin._read_tensor_tsv_file(str(tmp_path / embedding.tensor_path))
    np.testing.assert_allclose(read, vectors, rtol=1e-5)
    assert np.abs(read[::-1] - vectors).max() > 0.1  # a control: another order
    lines = (tmp_path / embedding.metadata_path).read_text("utf-8").splitlines()
    assert lines[:3] == ["text\tlabel", "one text of two lines\ta", "another\tb"]
    text, label = lines[3].split("\t")
    assert (len(text), text[-1], label) == (300, "…", "a")
    assert len(lines) == 4

"""Plots: that they are PNG files of a sensible size which show what they are given."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tensorflow as tf

from kerasft.evaluation.figures import write_tensorboard_image
from kerasft.metrics.spread import spread
from kerasft.studies.learning_curve.curve import Curve, Point, plot_learning_curve
from kerasft.studies.lr_finder.curve import RateCurve
from kerasft.studies.lr_finder.plot import plot_rate_curve

ORANGE, BLUE = (0xD1, 0x60, 0x0A), (0x1F, 0x5F, 0xA8)
SIZES, VALUES = [100, 300, 1000], [[0.61, 0.66], [0.70, 0.72], [0.75, 0.76]]


@pytest.fixture(scope="module")
def curve():
    rates = np.geomspace(1e-7, 1e-2, 60)
    return RateCurve(rates, 0.7 - 0.4 / (1 + 1e-4 / rates), 100, diverged=True)


def plot_rates(curve, suggested=1e-4):
    return plot_rate_curve(curve, suggested, title="mine: learning-rate range test")


def plot_sizes(values=VALUES):
    points = [
        Point(size, spread(of_size), spread([1.0]), (1,), ("r",))
        for size, of_size in zip(SIZES, values, strict=True)
    ]
    return plot_learning_curve(Curve("mine", "test/accuracy", tuple(points)))


def size_of(png):
    """Width and height, out of the header."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    length, kind, width, height = struct.unpack(">I4sII", png[8:24])
    assert (length, kind) == (13, b"IHDR")
    return width, height


def count_pixels(png, color):
    pixels = tf.io.decode_png(png, channels=3).numpy()
    return int((pixels == color).all(axis=-1).sum())


@pytest.mark.parametrize("plot", ["rates", "sizes"])
def test_it_is_a_png_of_a_sensible_size(curve, plot):
    png = plot_rates(curve) if plot == "rates" else plot_sizes()
    assert size_of(png) == (960, 576)
    assert 10_000 < len(png) < 200_000
    assert count_pixels(png, BLUE) > 500


def test_the_suggestion_is_marked(curve):
    assert count_pixels(plot_rates(curve), ORANGE) > 200
    assert count_pixels(plot_rates(curve, None), ORANGE) == 0


def test_the_mark_is_where_the_rate_is(curve):
    def column(suggested):
        pixels = tf.io.decode_png(plot_rates(curve, suggested), channels=3).numpy()
        below = (pixels == ORANGE).all(axis=-1)[300:]  # where no legend is
        return np.flatnonzero(below.any(axis=0)).mean()

    assert column(1e-6) < column(1e-5) < column(1e-4)
    assert column(1e-5) - column(1e-6) == pytest.approx(column(1e-4) - column(1e-5), abs=2)


def test_what_leaves_the_plot_does_not_flatten_the_rest(curve):
    losses = curve.losses.copy()
    losses[-3:] = 1e6
    diverging = plot_rates(RateCurve(curve.rates, losses, 100, diverged=True))
    pixels = tf.io.decode_png(diverging, channels=3).numpy()
    rows = np.flatnonzero((pixels == BLUE).all(axis=-1)[:, 150:700].any(axis=1))
    assert np.ptp(rows) > 150


def test_equal_curves_are_equal_files_and_others_are_not(curve):
    assert plot_rates(curve) == plot_rates(curve)
    assert plot_sizes() == plot_sizes()
    assert plot_sizes() != plot_sizes([[0.61, 0.67], *VALUES[1:]])


@pytest.mark.parametrize("values", [[[0.6], [0.7], [0.8]], [[0.6, np.nan], [0.7, 0.8], [0.9, 0.9]]])
def test_one_seed_and_undefined_figures_are_drawn(values):
    assert size_of(plot_sizes(values)) == (960, 576)


def test_a_curve_of_two_steps_is_drawn():
    flat = RateCurve(np.array([1e-5, 1e-4]), np.array([0.5, 0.5]), 100, diverged=True)
    assert size_of(plot_rates(flat, None)) == (960, 576)


def test_settings_of_the_users_own_change_nothing_and_are_kept(curve):
    import matplotlib

    before = plot_rates(curve)
    with matplotlib.rc_context({"figure.facecolor": "black", "lines.linewidth": 9}):
        assert plot_rates(curve) == before
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_pyplot_knows_nothing_of_it(curve):
    from matplotlib import pyplot

    plot_rates(curve)
    assert pyplot.get_fignums() == []
    pyplot.figure()
    assert pyplot.get_fignums() == [1]  # the control
    pyplot.close("all")


def test_tensorboard_gets_the_image(tmp_path, curve):
    png = plot_rates(curve)
    write_tensorboard_image(tmp_path, "find_lr", png, step=60)
    (path,) = tmp_path.glob("*tfevents*")
    events = [
        tf.compat.v1.Event.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    (event,) = (event for event in events if event.summary.value)
    (value,) = event.summary.value
    assert (value.tag, event.step) == ("find_lr", 60)
    width, height, image = tf.make_ndarray(value.tensor)
    assert (width, height) == (b"960", b"576")
    shown, given = (tf.io.decode_png(data, channels=3).numpy() for data in (image, png))
    assert np.array_equal(shown, given)

"""Shared by all plots: one figure in one style, as a PNG file.

matplotlib is imported only when a plot is made, and used without pyplot: no global state, no
window, no user settings.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, PALE = "#1f5fa8", "#d1600a", "#5a6270", "#a9bdd6"
_INCHES = (8.0, 4.8)
_DOTS_PER_INCH = 120


@contextlib.contextmanager
def new_figure(
    title: str, *, inches: tuple[float, float] = _INCHES, dots_per_inch: int = _DOTS_PER_INCH
) -> Iterator[tuple[Figure, Axes]]:
    """Creates a figure with one plot, in matplotlib's default style."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=inches, dpi=dots_per_inch, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12, color="#20242c", pad=12)
        axes.grid(visible=True, color="#e6e8ec", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=GREY)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#c3c8d0")
        yield figure, axes


def to_png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file; equal plots give equal files."""
    buffer = io.BytesIO()
    # Omits the version of matplotlib.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def write_tensorboard_image(folder: Path, name: str, png: bytes, *, step: int) -> None:
    """Writes a plot for TensorBoard's tab "Images"."""
    writer = tf.summary.create_file_writer(str(folder))
    with contextlib.closing(writer), writer.as_default(step=step):
        tf.summary.image(name, tf.io.decode_png(png, channels=3)[None])

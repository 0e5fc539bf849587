"""TensorBoard's HParams tab: what the study searches, and within what bounds.

Each run writes its own settings; this is the frame around them, with names as people wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from kerasft.recipe import Dimension


def write_board(folder: Path, space: Sequence[Dimension], metrics: Sequence[str]) -> None:
    """Writes the domains of a study into a log folder.

    Without TensorFlow's own writer, which would take hold of a GPU that the trials need.

    Args:
        folder: The log folder; TensorBoard is to be started on one above it.
        space: What is searched.
        metrics: What is measured, such as `validation/accuracy`.
    """
    summary = hparams.hparams_config_pb(
        hparams=[hparams.HParam(d.name, _domain(d)) for d in space],
        metrics=[hparams.Metric(name, display_name=name) for name in metrics],
    )
    writer = EventFileWriter(str(folder))
    writer.add_event(Event(step=0, summary=summary))
    writer.close()


def _domain(dimension: Dimension) -> hparams.Domain:
    values = dimension.choices
    if values is not None:
        return hparams.Discrete([", ".join(v) if isinstance(v, tuple) else v for v in values])
    kind = hparams.IntInterval if dimension.setting.type is int else hparams.RealInterval
    return kind(*dimension.values)

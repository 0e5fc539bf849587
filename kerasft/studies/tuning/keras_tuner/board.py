"""TensorBoard's HParams tab: the searched settings and their domains.

Each run writes its own settings; this adds the domains, under the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from kerasft.recipe import Dimension


def write_board(folder: Path, space: Sequence[Dimension], metrics: Sequence[str]) -> None:
    """Writes the domains of a study into a log folder, below the one TensorBoard is started on.

    TensorFlow's own writer is avoided: it would take hold of a GPU that the trials need.
    `metrics` are the measured ones, such as `validation/accuracy`.
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

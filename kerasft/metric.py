"""The direction and unit of each metric, and where recipes may name it.

Imports no NumPy: recipes, command lines and clients import this module at start.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

SHARE = "share, 0 to 1"
CORRELATION = "correlation, -1 to 1"
EXPLAINED = "share of the variance, at most 1"
NATS = "nats"
OF_LABEL = "unit of the labels"
OF_LABEL_SQUARED = "unit of the labels, squared"
BY_LABEL = ("precision", "recall", "f1")  # available for each label
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class MetricSpec:
    """A metric that a task reports.

    Args:
        name: Its name, without the split.
        unit: One of this module's units.
        higher_is_better: Whether higher values are better. Defaults to yes.
        is_headline: Whether a recipe may name it as `evaluation.headline`. Defaults to no.
        is_watched: Whether it is shown while training. Defaults to no.
        is_loss: Whether it is the metric closest to the loss: it settles ties. Defaults to no.
        by_label: Whether there is one for each label: `f1/<label>`. Defaults to no.
    """

    name: str
    unit: str = SHARE
    higher_is_better: bool = True
    is_headline: bool = False
    is_watched: bool = False
    is_loss: bool = False
    by_label: bool = False


_F1_MACRO = MetricSpec("f1_macro", is_headline=True, is_watched=True)
_LOG_LOSS = MetricSpec("log_loss", NATS, higher_is_better=False, is_watched=True, is_loss=True)
_OF_A_LABEL = tuple(MetricSpec(name, by_label=True) for name in BY_LABEL)

# By task, as in `kerasft.data.example.LABEL_KINDS`. The first is the headline.
METRICS: Mapping[str, tuple[MetricSpec, ...]] = {
    "single": (
        MetricSpec("accuracy", is_headline=True, is_watched=True),
        MetricSpec("precision_macro"),
        MetricSpec("recall_macro"),
        _F1_MACRO,
        MetricSpec("matthews_correlation", CORRELATION, is_headline=True),
        MetricSpec("roc_auc", is_headline=True),
        _LOG_LOSS,
        MetricSpec("expected_calibration_error", higher_is_better=False),
        *_OF_A_LABEL,
    ),
    "multi": (
        MetricSpec("f1_micro", is_headline=True, is_watched=True),
        _F1_MACRO,
        MetricSpec("f1_samples", is_headline=True),
        MetricSpec("precision_micro"),
        MetricSpec("recall_micro"),
        MetricSpec("average_precision_macro", is_headline=True),
        MetricSpec("subset_accuracy", is_headline=True),
        MetricSpec("hamming_loss", higher_is_better=False),
        _LOG_LOSS,
        *_OF_A_LABEL,
    ),
    "number": (
        MetricSpec("pearson", CORRELATION, is_headline=True, is_watched=True),
        MetricSpec("spearman", CORRELATION, is_headline=True, is_watched=True),
        MetricSpec(
            "mean_squared_error",
            OF_LABEL_SQUARED,
            higher_is_better=False,
            is_watched=True,
            is_loss=True,
        ),
        MetricSpec("mean_absolute_error", OF_LABEL, higher_is_better=False),
        MetricSpec("r2", EXPLAINED, is_headline=True),
    ),
}
_BY_NAME = {spec.name: spec for specs in METRICS.values() for spec in specs}
_OVERALL = [spec for spec in _BY_NAME.values() if not spec.by_label]

# The metrics that a recipe may name: as headline, and as monitor of the best checkpoint.
HEADLINES = tuple(spec.name for spec in _OVERALL if spec.is_headline)
MONITORS = (
    "auto",
    *(
        f"validation/{spec.name}"
        for spec in sorted(_OVERALL, key=lambda s: (not s.is_headline, not s.higher_is_better))
    ),
)


def find_metric(name: str) -> MetricSpec | None:
    """Returns the spec of a metric; `None`: no task reports it.

    `name` may have a split and a label: `log_loss`, `test/f1/<label>`.
    """
    head, _, rest = name.partition("/")
    if head in _BY_NAME:
        spec = _BY_NAME[head]
        return spec if spec.by_label == bool(rest) else None
    return find_metric(rest) if head.partition("_")[0] in _SPLITS else None


def lower_is_better(name: str) -> bool:
    """Whether lower values of a metric are better.

    Raises:
        ValueError: No task reports it.
    """
    spec = find_metric(name)
    if spec is None:
        raise ValueError(
            f"There is no such metric. Received: {name!r}. Expected: such as {', '.join(_BY_NAME)}."
        )
    return not spec.higher_is_better


def merit(name: str, value: float) -> float:
    """Returns a metric's value, negated if lower is better: higher merit is better."""
    return -value if lower_is_better(name) else value


def rank(name: str, value: float | None, loss: float | None) -> tuple[bool, float, float]:
    """Returns the sort key of evaluations and runs: larger is better.

    An undefined metric (`None` or NaN) is below any value. Ties go to the lower loss on the same
    examples, an unknown one (`None` or NaN) last.
    """
    defined = is_defined(value)
    return (
        defined,
        merit(name, value) if defined else 0.0,
        -loss if is_defined(loss) else -math.inf,
    )


def is_defined(value: float | None) -> bool:
    """Whether a metric has a value: neither `None` nor NaN."""
    return value is not None and not math.isnan(value)


def loss_metric(names: Collection[str], split: str = "") -> str | None:
    """Returns which of some metrics is closest to the loss, or `None`.

    `split` is the prefix of the names, such as `validation/`.
    """
    losses = (f"{split}{spec.name}" for spec in _OVERALL if spec.is_loss)
    return next((name for name in losses if name in names), None)


def watched_metrics(
    names: Collection[str], headline: str | None = None, monitor: str | None = None
) -> tuple[str, ...]:
    """Returns the few metrics that are shown while training.

    Args:
        names: The existing metrics.
        headline: The headline metric, shown first. `None`: the task's default.
        monitor: The metric that chooses the best checkpoint, such as `validation/log_loss`, shown
            last. `None`: the headline.
    """
    rows = ([spec.name for spec in specs if spec.is_watched] for specs in METRICS.values())
    watched = next((row for row in rows if set(row) <= set(names)), tuple(names)[:3])
    first = () if headline is None or headline in watched else (headline,)
    last = () if monitor is None else (monitor.removeprefix("validation/"),)
    return tuple(dict.fromkeys((*first, *watched, *last)))

"""The differences between several runs, as data, as sentences and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from kerasft.metric import merit
from kerasft.metrics.paired import Difference
from kerasft.metrics.spread import show_figure
from kerasft.studies.compare.compared_runs import ComparedRun

SIGNIFICANT = 0.05
MCNEMAR, BOOTSTRAP = "McNemar, exact", "paired bootstrap"


class PairedTest(NamedTuple):
    """A test of one metric of two runs on the same examples.

    Attributes:
        metric: Its name.
        first: The first run's letter.
        second: The second run's letter.
        method: `MCNEMAR` or `BOOTSTRAP`.
        difference: The second run's metric minus the first's, with its p-value.
        p_adjusted: The p-value adjusted for the number of tests (Holm).
    """

    metric: str
    first: str
    second: str
    method: str
    difference: Difference
    p_adjusted: float

    @property
    def is_noise(self) -> bool | None:
        """Whether the difference may be chance; `None` if the test is undefined."""
        return None if math.isnan(self.p_adjusted) else self.p_adjusted >= SIGNIFICANT

    def conclude(self, num_examples: int) -> str:
        """Returns the test's conclusion in a sentence."""
        size, p = abs(self.difference.estimate), self.p_adjusted
        by = f"by {show_figure(size)}"
        if self.is_noise is None:
            where = "these examples" if math.isnan(self.difference.estimate) else "every resample"
            return (
                f"No paired test of {self.metric} for {self.first} and {self.second}: it is "
                f"undefined on {where}."
            )
        if size == 0:
            return f"{self.first} and {self.second} are equally good in {self.metric}."
        second_leads = merit(self.metric, self.difference.estimate) > 0
        better, worse = (self.second, self.first) if second_leads else (self.first, self.second)
        if not self.is_noise:
            return (
                f"{better} is better than {worse} in {self.metric} {by}, and that is more "
                f"than noise: {_show(p)}."
            )
        return (
            f"{better} is ahead of {worse} in {self.metric} {by}, but on {num_examples:,} "
            f"examples that cannot be told from noise: {_show(p)}."
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The differences between several runs.

    Args:
        runs: The runs.
        split: The split that they are compared on.
        settings: Settings that differ, one value per run.
        metrics: Metrics of the split without those per label, one value per run.
        num_examples: Number of examples of the split, for each run.
        tests: Paired tests of each pair of runs; empty if they cannot be made.
        no_tests_because: Why there are no tests.
        notes: Sentences on the limits of the comparison.
    """

    runs: Sequence[ComparedRun]
    split: str
    settings: dict[str, list[object]]
    metrics: dict[str, list[float | None]]
    num_examples: Sequence[int]
    tests: Sequence[PairedTest]
    no_tests_because: str | None
    notes: Sequence[str]

    def conclusions(self) -> list[str]:
        """Returns the conclusion of each test in a sentence, or why there are none."""
        if self.no_tests_because is not None:
            return [f"No paired test: {self.no_tests_because}"]
        return [test.conclude(self.num_examples[0]) for test in self.tests]

    def to_json(self) -> dict[str, Any]:
        """Returns the object that `--json` prints."""
        return {
            "runs": {run.name: str(run.run_dir.path) for run in self.runs},
            "split": self.split,
            "num_examples": dict(zip(self._names, self.num_examples, strict=True)),
            "settings": {name: self._by_run(values) for name, values in self.settings.items()},
            "metrics": {name: self._by_run(values) for name, values in self.metrics.items()},
            "tests": [
                {
                    "metric": test.metric,
                    "first": test.first,
                    "second": test.second,
                    "method": test.method,
                    "difference": test.difference.estimate,
                    "lower": test.difference.lower,
                    "upper": test.difference.upper,
                    "p_value": test.difference.p_value,
                    "p_adjusted": test.p_adjusted,
                    "is_noise": test.is_noise,
                }
                for test in self.tests
            ],
            "no_tests_because": self.no_tests_because,
            "conclusions": self.conclusions(),
            "notes": list(self.notes),
        }

    @property
    def _names(self) -> list[str]:
        return [run.name for run in self.runs]

    def _by_run(self, values: Sequence[object]) -> dict[str, object]:
        return dict(zip(self._names, values, strict=True))


def _show(p_value: float) -> str:
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.2f}" if p_value >= 0.1 else f"p = {p_value:.3f}"

"""Terminal progress: bars in a terminal or notebook, plain lines elsewhere."""

from __future__ import annotations

import importlib.util
import os
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from time import monotonic

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from kerasft.metric import watched_metrics
from kerasft.metrics.spread import show_figure
from kerasft.training.callbacks.callback import BatchStats, Callback, StepResult

_SKIPPED_STEPS = 2  # the first step traces the graph, the next length traces it again
_MEASURED_STEPS = 5
_WINDOW_STEPS = 200
_SPEED_WINDOW_STEPS = 20
_OUTLIER = 4.0  # times the median: a retraced graph, a laptop that slept
_LONG_RUN_SECONDS = 20 * 60
_SECONDS_BETWEEN_LINES = 10.0
_REFRESHES_PER_SECOND = 4  # leaves the cores to the computation
_TRAINING = "Training"


class DurationEstimate:
    """Estimates speed and remaining time; the first steps, which build the graph, are ignored."""

    def __init__(self):
        self.num_measured = 0
        self._steps_seen = 0
        self._latest: deque[tuple[float, int]] = deque(maxlen=_WINDOW_STEPS)

    def add(self, seconds: float, examples: int) -> None:
        """Adds a step."""
        self._steps_seen += 1
        if self._steps_seen > _SKIPPED_STEPS:
            self.num_measured += 1
            self._latest.appendleft((seconds, examples))

    def examples_per_second(self) -> float | None:
        """Returns the speed over the last 20 steps; `None` before the first counted step."""
        if not self._latest:
            return None
        seconds, examples = zip(*islice(self._latest, _SPEED_WINDOW_STEPS), strict=True)
        return sum(examples) / sum(seconds)

    def seconds_for(self, num_steps: int) -> float | None:
        """Returns the expected duration of `num_steps` steps; `None` before the first counted step.

        Uses the mean of the last 200 steps, since steps of long and short texts alternate.
        """
        if not self._latest:
            return None
        seconds = [seconds for seconds, _ in self._latest]
        limit = _OUTLIER * statistics.median(seconds)
        return num_steps * statistics.fmean(s for s in seconds if s <= limit)


def format_duration(seconds: float) -> str:
    """Formats a duration: `40 s`, `12 min`, `1 h 40 min`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


class ProgressCallback(Callback):
    """Shows the progress of a run.

    Args:
        console: Output, usually stderr. Bars are shown if it is interactive (a terminal outside CI)
            or a notebook, otherwise a line about every ten seconds. Create it with
            `force_interactive=False` for lines on a terminal.
        long_run_hint: A sentence added to the estimate of a run longer than 20 minutes.
        headline: Metric shown first for each evaluation. `None`: the task's default.
        monitor: Metric also shown for each evaluation, such as `validation/log_loss`.
    """

    def __init__(
        self,
        console: Console,
        *,
        long_run_hint: str | None = None,
        headline: str | None = None,
        monitor: str | None = None,
    ):
        self._display = _Bars(console) if _can_show_bars(console) else _Lines(console)
        self._long_run_hint = long_run_hint
        self._headline, self._monitor = headline, monitor
        self._estimate = DurationEstimate()
        self._total_steps = 0
        self._steps_per_epoch = 1
        self._start = monotonic()
        self._evaluation = ("", 0)  # evaluated split and its number of examples
        self._evaluated = 0
        self._evaluation_start = 0.0

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Shows the bar; the first step is slow."""
        self._total_steps, self._steps_per_epoch = total_steps, steps_per_epoch
        self._start = monotonic()
        self._estimate = DurationEstimate()
        self._display.update(_TRAINING, start_step, total_steps, notes=["building the graph"])

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Advances the bar; after a few steps prints the estimated duration."""
        self._estimate.add(result.seconds, stats.examples)
        left = self._total_steps - result.step
        seconds_left = self._estimate.seconds_for(left)
        if not left:
            time = f"took {format_duration(monotonic() - self._start)}"
        else:
            time = _time_left(seconds_left)
        self._display.update(
            _TRAINING, result.step, self._total_steps, time=time, notes=self._notes(result)
        )
        if not left:
            self._display.finish(_TRAINING)
        elif self._estimate.num_measured == _MEASURED_STEPS:
            self._announce_duration(left, seconds_left)

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Prints the epoch's training metrics."""
        self._display.say(f"Epoch {epoch:,}, training: {', '.join(_shown(metrics))}")

    def on_evaluation_start(self, split: str, num_examples: int) -> None:
        """Shows a second bar."""
        self._evaluation = (split.capitalize(), num_examples)
        self._evaluated, self._evaluation_start = 0, monotonic()
        self._display.update(*self._evaluation_state())

    def on_evaluation_batch(self, num_examples: int) -> None:
        """Advances the second bar; removes it when all examples are done."""
        self._evaluated += num_examples
        name, done, total = self._evaluation_state()
        seconds_left = (monotonic() - self._evaluation_start) / max(done, 1) * (total - done)
        self._display.update(name, done, total, time=_time_left(seconds_left))
        if done >= total:
            self._display.finish(name)

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Prints the main metrics, the headline and the monitored one included."""
        self._display.finish(split.capitalize())
        watched = watched_metrics(metrics, self._headline, self._monitor)
        said = ", ".join(f"{name} {show_figure(metrics.get(name))}" for name in watched)
        self._display.say(f"Step {step:,} {split}: {said}{' (best)' if best else ''}")

    def on_message(self, text: str) -> None:
        """Prints the message."""
        self._display.say(text)

    def close(self) -> None:
        """Restores the terminal."""
        self._display.close()

    def _evaluation_state(self) -> tuple[str, int, int]:
        name, total = self._evaluation
        return name, self._evaluated, total

    def _notes(self, result: StepResult) -> list[str]:
        epoch = result.step / self._steps_per_epoch
        epochs = self._total_steps / self._steps_per_epoch
        notes = [f"epoch {epoch:.2f} of {round(epochs, 2):g}", *_shown(result.running)]
        speed = self._estimate.examples_per_second()
        return notes if speed is None else [*notes, f"{speed:,.1f} examples/s"]

    def _announce_duration(self, steps_left: int, seconds_left: float) -> None:
        steps = steps_left + _SKIPPED_STEPS + _MEASURED_STEPS
        seconds = seconds_left + monotonic() - self._start
        rest = "" if steps == self._total_steps else "the remaining "
        text = f"About {format_duration(seconds)} for {rest}{steps:,} steps on this machine."
        if self._long_run_hint and seconds > _LONG_RUN_SECONDS:
            text = f"{text} {self._long_run_hint}"
        self._display.say(text)


class _Lines:
    """Prints progress as one line about every ten seconds."""

    def __init__(self, console: Console):
        self._console = console
        self._latest = monotonic()

    def say(self, text: str) -> None:
        # A terminal wraps between words; a log keeps the line whole.
        whole_line = not self._console.is_interactive
        self._console.print(text, markup=False, highlight=False, soft_wrap=whole_line)

    def update(
        self, name: str, done: int, total: int, *, time: str = "", notes: Iterable[str] = ()
    ) -> None:
        now = monotonic()
        if now - self._latest < _SECONDS_BETWEEN_LINES:
            return
        self._latest = now
        parts = [f"{name} {done:,}/{total:,}", *notes, *([time] if time else [])]
        self.say(", ".join(parts))

    def finish(self, name: str) -> None:
        pass

    def close(self) -> None:
        pass


class _Bars(_Lines):
    """One bar per activity; the display is open only while there is one."""

    def __init__(self, console: Console):
        super().__init__(console)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def update(
        self, name: str, done: int, total: int, *, time: str = "", notes: Iterable[str] = ()
    ) -> None:
        if self._progress is None:
            self._progress = _NotedProgress(console=self._console)
            self._progress.start()
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, time="", notes="")
        notes = "   ".join(notes)
        self._progress.update(self._tasks[name], completed=done, time=time, notes=notes)

    def finish(self, name: str) -> None:
        """Removes a bar; the training bar stays on screen after the others."""
        task = self._tasks.pop(name, None)
        if task is not None and name != _TRAINING:
            self._progress.remove_task(task)
        if not self._tasks:
            self.close()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = None
        self._tasks.clear()


class _NotedProgress(Progress):
    """Progress bars with a line of notes below, so that both fit into 80 columns."""

    def __init__(self, *, console: Console):
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}", justify="right"),
            TextColumn("{task.fields[time]}", justify="right"),
            console=console,
            expand=True,
            refresh_per_second=_REFRESHES_PER_SECOND,
            redirect_stdout=False,  # stdout may be a pipe and is reserved for results
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Returns the bars, then their notes."""
        if self.tasks:
            yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["notes"]:
                yield Text(task.fields["notes"], style="dim", no_wrap=True, overflow="ellipsis")


def _can_show_bars(console: Console) -> bool:
    if console.is_jupyter:  # rich needs a widget to redraw
        return importlib.util.find_spec("ipywidgets") is not None
    return console.is_interactive and not os.environ.get("CI")


def _shown(metrics: Mapping[str, float]) -> list[str]:
    return [f"{name} {show_figure(value)}" for name, value in metrics.items()]


def _time_left(seconds: float | None) -> str:
    return "" if seconds is None else f"{format_duration(seconds)} left"

"""What people see: lines in a log, bars in 80 columns, an estimate that tracing does not bend."""

import io
import re

import pytest
from rich.console import Console

from kerasft.training.callbacks import terminal as progress
from kerasft.training.callbacks.callback import BatchStats, StepResult
from kerasft.training.callbacks.terminal import DurationEstimate, ProgressCallback, format_duration

STATS = BatchStats(examples=32, tokens=3000, positions=4000)
HINT = "`--recipe quick` takes minutes."
METRICS = {"accuracy": 0.875, "roc_auc": 0.9, "log_loss": 0.25, "f1_macro": 0.87, "f1/neg": 0.8}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    return clock


@pytest.fixture(autouse=True)
def _outside_of_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


def step_result(step, seconds):
    return StepResult(step, 0.5, 1e-4, 2.5, seconds, {"loss": 0.6931, "accuracy": 0.5})


def in_a_log():
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def on_a_terminal(width=80):
    return Console(file=io.StringIO(), force_terminal=True, force_interactive=True, width=width)


def text_of(console):
    """Returns what was written, without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()).replace("\r", "\n")


def is_live(console):
    """Tells whether bars are being redrawn: the cursor is hidden as long as they are."""
    written = console.file.getvalue()
    return written.rfind("\x1b[?25l") > written.rfind("\x1b[?25h")


def run_steps(events, clock, seconds, *, total_steps, start_step=0, steps=None):
    """Trains: the first step takes 30 s longer."""
    events.on_start(start_step=start_step, total_steps=total_steps, steps_per_epoch=100)
    for step in range(start_step + 1, start_step + 1 + (steps or total_steps - start_step)):
        taken = seconds + 30 * (step == start_step + 1)
        clock.now += taken
        events.on_step(step_result(step, taken), STATS)


def test_the_estimate_ignores_tracing_and_waiting():
    estimate = DurationEstimate()
    estimate.add(40.0, 32)
    estimate.add(20.0, 32)
    assert estimate.num_measured == 0
    assert estimate.seconds_for(10) is None
    assert estimate.examples_per_second() is None
    for seconds in (1.0, 3.0, 2.0, 2.0, 600.0):
        estimate.add(seconds, 32)
    assert estimate.num_measured == 5
    assert estimate.seconds_for(10) == pytest.approx(20)


def test_the_speed_is_that_of_the_last_twenty_steps():
    estimate = DurationEstimate()
    for seconds in [8.0] * 50 + [2.0] * 20:
        estimate.add(seconds, 32)
    assert estimate.examples_per_second() == pytest.approx(16)
    assert estimate.seconds_for(1) == pytest.approx((48 * 8 + 20 * 2) / 68)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "1 h"),
        (6000, "1 h 40 min"),
        (400_000, "111 h 7 min"),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert format_duration(seconds) == text


def test_a_log_gets_a_line_every_ten_seconds(clock):
    console = in_a_log()
    run_steps(ProgressCallback(console), clock, 1.0, total_steps=50)
    lines = [line for line in text_of(console).splitlines() if line.startswith("Training")]
    assert [line.partition(",")[0] for line in lines] == [
        "Training 1/50",  # 31 s after the start
        "Training 11/50",
        "Training 21/50",
        "Training 31/50",
        "Training 41/50",
    ]
    assert lines[1] == (
        "Training 11/50, epoch 0.11 of 0.5, loss 0.6931, accuracy 0.5000, 32.0 examples/s, "
        "39 s left"
    )


def test_the_duration_is_told_once_after_a_few_steps(clock):
    console = in_a_log()
    run_steps(ProgressCallback(console, long_run_hint=HINT), clock, 4.0, total_steps=1407, steps=20)
    told = [line for line in text_of(console).splitlines() if line.startswith("About")]
    assert told == [f"About 1 h 34 min for 1,407 steps on this machine. {HINT}"]
    before_it = text_of(console).partition("About")[0]
    assert "Training 7/1,407" in before_it
    assert "Training 10/1,407" not in before_it


def test_a_short_run_gets_no_hint(clock):
    console = in_a_log()
    run_steps(ProgressCallback(console, long_run_hint=HINT), clock, 0.5, total_steps=1407, steps=20)
    assert "About 12 min for 1,407 steps on this machine.\n" in text_of(console)
    assert HINT not in text_of(console)


def test_a_resumed_run_tells_what_remains(clock):
    console = in_a_log()
    events = ProgressCallback(console)
    run_steps(events, clock, 1.0, total_steps=1000, start_step=400, steps=10)
    assert "About 10 min for the remaining 600 steps on this machine." in text_of(console)


def test_an_evaluation_shows_headline_and_monitored_metric():
    console = in_a_log()
    events = ProgressCallback(console, headline="roc_auc", monitor="validation/f1/neg")
    events.on_evaluation("validation", 3, METRICS, best=True)
    events.on_evaluation("test", 3, METRICS | {"roc_auc": float("nan")}, best=False)
    usual = "accuracy 0.8750, f1_macro 0.8700, log_loss 0.2500, f1/neg 0.8000"
    assert text_of(console).splitlines() == [
        f"Step 3 validation: roc_auc 0.9000, {usual} (best)",
        f"Step 3 test: roc_auc undefined, {usual}",
    ]


def test_a_log_tells_epochs_evaluations_and_messages(clock):
    console = in_a_log()
    events = ProgressCallback(console)
    events.on_message("Found the data in [bold]/some/folder[/bold]")
    events.on_epoch(1, 1407, {"loss": 0.5, "accuracy": 0.625})
    events.on_evaluation_start("validation", 100)
    for _ in range(4):
        clock.now += 6
        events.on_evaluation_batch(25)
    events.on_evaluation("validation", 1407, METRICS, best=True)
    events.on_evaluation("test", 1407, {"pearson": 0.5}, best=False)
    events.close()
    assert text_of(console).splitlines() == [
        "Found the data in [bold]/some/folder[/bold]",
        "Epoch 1, training: loss 0.5000, accuracy 0.6250",
        "Validation 50/100, 12 s left",
        "Validation 100/100, 0 s left",
        "Step 1,407 validation: accuracy 0.8750, f1_macro 0.8700, log_loss 0.2500 (best)",
        "Step 1,407 test: pearson 0.5000",
    ]


def test_a_log_keeps_a_long_line_whole():
    console = in_a_log()
    ProgressCallback(console).on_message("word " * 40)
    assert len(text_of(console).splitlines()) == 1


def test_a_terminal_shows_bars_within_80_columns(clock):
    console = on_a_terminal()
    events = ProgressCallback(console, long_run_hint=HINT)
    run_steps(events, clock, 4.0, total_steps=12_345, steps=150)
    events.on_evaluation_start("validation", 12_345)
    events.on_evaluation_batch(64)
    events.close()
    frame = text_of(console).rstrip().splitlines()[-3:]
    assert re.fullmatch(r"Training +[━╸╺]{15,} +150/12,345 13 h 33 min left", frame[0])
    assert re.fullmatch(r"Validation [━╸╺]{15,} +64/12,345 +0 s left", frame[1])
    assert frame[2].rstrip() == (
        "epoch 1.50 of 123.45   loss 0.6931   accuracy 0.5000   8.0 examples/s"
    )
    assert max(map(len, text_of(console).splitlines())) <= 80


def test_the_evaluation_bar_goes_and_the_training_bar_stays(clock):
    console = on_a_terminal()
    events = ProgressCallback(console)
    run_steps(events, clock, 1.0, total_steps=12)
    assert "12/12 took 42 s" in text_of(console)
    events.on_evaluation_start("test", 100)
    events.on_evaluation_batch(60)
    assert is_live(console)
    events.on_evaluation_batch(40)
    assert not is_live(console)  # also if nobody tells the result
    events.on_evaluation("test", 12, METRICS, best=False)
    assert text_of(console).rstrip().splitlines()[-1].startswith("Step 12 test: accuracy 0.8750")


def test_an_interrupted_run_gives_the_terminal_back(clock):
    console = on_a_terminal()
    events = ProgressCallback(console)
    run_steps(events, clock, 1.0, total_steps=100, steps=5)
    assert is_live(console)
    events.close()
    events.close()
    assert not is_live(console)


def test_ci_gets_lines_though_it_has_a_terminal(clock, monkeypatch):
    monkeypatch.setenv("CI", "true")
    console = on_a_terminal()
    run_steps(ProgressCallback(console), clock, 20.0, total_steps=10)
    assert "Training 2/10, epoch 0.02 of 0.1" in text_of(console)
    assert "━" not in text_of(console)


@pytest.mark.parametrize(("has_widgets", "bars"), [(True, True), (False, False)])
def test_a_notebook_gets_bars_if_it_can_redraw(monkeypatch, has_widgets, bars):
    monkeypatch.setattr(
        progress.importlib.util, "find_spec", lambda name: object() if has_widgets else None
    )
    console = Console(file=io.StringIO(), force_jupyter=True)
    assert progress._can_show_bars(console) is bars

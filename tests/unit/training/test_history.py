"""history.csv: whole rows whatever happens."""

import dataclasses
import subprocess
import sys

import pytest

from kerasft.errors import UserError
from kerasft.training.callbacks.callback import BatchStats, StepResult
from kerasft.training.callbacks.history import STEP_COLUMNS, HistoryCallback, read_history

METRICS = ("accuracy", "f1_macro", "log_loss")
WATCHED = [f"validation/{name}" for name in METRICS]
STATS = BatchStats(examples=32, tokens=3000, positions=4000, busy=4000, capacity=5000)
VALIDATION = {"accuracy": 0.875, "f1_macro": 0.8712345678, "log_loss": 0.3, "f1/neg": 0.9}


def step_result(step):
    return StepResult(step, 1 / step, 1e-4, 2.5, 0.5, {"loss": 0.7, "accuracy": 0.5})


def start(path, *, start_step=0):
    history = HistoryCallback(path, METRICS)
    history.on_start(start_step=start_step, total_steps=20, steps_per_epoch=4)
    return history


def write_steps(history, first, last):
    for step in range(first, last + 1):
        history.on_step(step_result(step), STATS)


def steps_in(path):
    return [row["step"] for row in read_history(path)]


def test_a_row_holds_the_step_its_speed_and_no_validation(tmp_path):
    path = tmp_path / "history.csv"
    history = start(path)
    write_steps(history, 1, 3)
    history.close()
    assert path.read_text().splitlines()[0] == ",".join([*STEP_COLUMNS, *WATCHED])
    row = read_history(path)[2]
    assert row == {
        "step": 3,
        "epoch": 0.75,
        "loss": pytest.approx(1 / 3, rel=1e-8),
        "learning_rate": 1e-4,
        "gradient_norm": 2.5,
        "seconds": 0.5,
        "examples_per_second": 64,
        "tokens_per_second": 6000,
        "padding_share": 0.25,
        "idle_share": pytest.approx(0.2),
        "validation/accuracy": None,
        "validation/f1_macro": None,
        "validation/log_loss": None,
    }
    assert isinstance(row["step"], int)


def test_the_altered_share_has_a_column_where_texts_are_altered(tmp_path):
    path = tmp_path / "history.csv"
    history = HistoryCallback(path, METRICS, augments=True)
    history.on_start(start_step=0, total_steps=2, steps_per_epoch=2)
    history.on_step(step_result(1), dataclasses.replace(STATS, altered=8))
    history.on_step(step_result(2), dataclasses.replace(STATS, altered=0))
    history.close()
    assert [row["altered_share"] for row in read_history(path)] == [0.25, 0.0]


def test_validation_stands_in_the_row_of_its_step(tmp_path):
    path = tmp_path / "history.csv"
    history = start(path)
    write_steps(history, 1, 2)
    history.on_evaluation("validation", 2, VALIDATION, best=True)
    write_steps(history, 3, 4)
    history.on_evaluation("test", 4, VALIDATION, best=False)
    history.on_evaluation("validation", 2, VALIDATION, best=False)  # of an earlier step
    history.close()
    history.on_evaluation("validation", 4, VALIDATION, best=False)  # after training
    accuracy = [row["validation/accuracy"] for row in read_history(path)]
    assert accuracy == [None, 0.875, None, None]
    assert read_history(path)[1]["validation/f1_macro"] == pytest.approx(0.8712345678, rel=1e-8)


def test_a_resumed_history_equals_an_undisturbed_one(tmp_path):
    undisturbed, resumed = tmp_path / "undisturbed.csv", tmp_path / "resumed.csv"
    history = start(undisturbed)
    write_steps(history, 1, 4)
    history.on_evaluation("validation", 4, VALIDATION, best=True)
    write_steps(history, 5, 8)
    history.close()

    history = start(resumed)
    write_steps(history, 1, 6)  # the checkpoint is that of step 4
    history.close()
    with resumed.open("a") as file:
        file.write("7,1.75,0.1")  # killed while writing
    history = start(resumed, start_step=4)
    history.on_evaluation("validation", 4, VALIDATION, best=True)  # it had been interrupted
    write_steps(history, 5, 8)
    history.close()
    assert resumed.read_bytes() == undisturbed.read_bytes()


def test_a_killed_process_leaves_every_step(tmp_path):
    path = tmp_path / "history.csv"
    script = """
import os, signal, sys, types
from pathlib import Path
from kerasft.training.callbacks.callback import BatchStats, StepResult
from kerasft.training.callbacks.history import HistoryCallback
history = HistoryCallback(Path(sys.argv[1]), ["accuracy"])
history.on_start(start_step=0, total_steps=9, steps_per_epoch=9)
for step in range(1, 6):
    result = types.SimpleNamespace(
        step=step, loss=0.5, learning_rate=0.1, gradient_norm=1.0, seconds=1.0
    )
    history.on_step(result, BatchStats(1, 1, 1))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -9
    assert steps_in(path) == [1, 2, 3, 4, 5]


def test_rewinding_drops_later_rows_and_a_torn_line(tmp_path):
    path = tmp_path / "history.csv"
    history = start(path)
    write_steps(history, 1, 5)
    history.on_evaluation("validation", 5, VALIDATION, best=True)
    history.close()
    before = path.read_text().splitlines(keepends=True)
    path.write_text("".join(before) + "6,1.5,0.")
    assert steps_in(path) == [1, 2, 3, 4, 5]
    for step, kept in ((5, before), (3, before[:4]), (0, before[:1])):
        start(path, start_step=step).close()
        assert path.read_text() == "".join(kept)


def test_reading_a_missing_history_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"history\.csv is missing\. .*Fix: put it back"):
        read_history(tmp_path / "history.csv")


@pytest.mark.parametrize(
    "damaged",
    [
        "2,0.5,abc\n",
        "2" + ",1" * 20 + "\n",
        "two" + ",1" * 11 + "\n",
        "2,0.5," + ",1" * 10 + "\n",  # a step without its loss
    ],
)
def test_a_damaged_line_is_named(tmp_path, damaged):
    path = tmp_path / "history.csv"
    history = start(path)
    write_steps(history, 1, 1)
    history.close()
    with path.open("a") as file:
        file.write(damaged)
    with pytest.raises(UserError, match=r"Line 3 of .*history\.csv is damaged.*Received"):
        read_history(path)


def test_columns_are_those_of_the_tasks_metrics_and_empty_without_one(tmp_path):
    path = tmp_path / "history.csv"
    history = HistoryCallback(path, ("pearson", "spearman"))
    history.on_start(start_step=0, total_steps=20, steps_per_epoch=4)
    write_steps(history, 1, 1)
    history.on_evaluation("validation", 1, {"pearson": 0.5, "accuracy": 0.25}, best=True)
    history.close()
    (row,) = read_history(path)
    assert (row["validation/pearson"], row["validation/spearman"]) == (0.5, None)
    assert "validation/accuracy" not in row


def test_a_history_of_an_earlier_version_is_gone_on_with(tmp_path):
    """It has no share of idle time, and a column that this version does not write."""
    path = tmp_path / "history.csv"
    columns = [*(name for name in STEP_COLUMNS if name != "idle_share"), "heat", *WATCHED]
    rows = [f"{step},{step}.5" + ",1" * 8 + ",0.5" * len(WATCHED) for step in (1, 2, 3)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    assert "idle_share" not in read_history(path)[0]
    history = start(path, start_step=2)
    write_steps(history, 3, 4)
    history.on_evaluation("validation", 4, VALIDATION, best=True)
    history.close()
    found = read_history(path)
    assert list(found[0]) == [*STEP_COLUMNS, *WATCHED, "heat"]
    assert [row["idle_share"] for row in found] == [None, None, *[pytest.approx(0.2)] * 2]
    assert [row["heat"] for row in found] == [1, 1, None, None]
    assert [row["validation/accuracy"] for row in found] == [0.5, 0.5, None, 0.875]
    assert [row["epoch"] for row in found] == [1.5, 2.5, 0.75, 1]
    start(path, start_step=3).close()  # resumed once more
    assert read_history(path) == found[:3]

"""TensorBoard's event files, read back; and the program itself, while the run is going on."""

import dataclasses
import json
import re
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.callbacks.callback import BatchStats, StepResult
from kerasft.training.callbacks.scalars import (
    ALTERED_TAG,
    DEVICE_MEMORY_TAG,
    STEP_TAGS,
    step_scalars,
)
from kerasft.training.callbacks.tensorboard import (
    LENGTHS_TAG,
    TensorBoardCallback,
    rewind_tensorboard,
)

STATS = BatchStats(examples=32, tokens=3000, positions=4000, busy=4000, capacity=5000)
MEMORY_TAG = "memory/resident_gigabytes"
VALIDATION = {"accuracy": 0.875, "log_loss": 0.25, "f1/neg": 0.75, "support/neg": 40.0}
RECIPE = 'name = "tiny"\n\n[training]\nepochs = 1\n'


def step_result(step):
    running, norms = {"loss": 0.7, "accuracy": 0.5}, {"weight_norm/head": 1.5} if step == 2 else {}
    return StepResult(step, 1 / step, 1e-4, 2.5, 0.5, running, 0.125, norms)


def start(folder, *, start_step=0):
    events = TensorBoardCallback(folder, RECIPE)
    events.on_start(start_step=start_step, total_steps=20, steps_per_epoch=4)
    return events


def write_epochs(events, first_epoch, last_epoch):
    for epoch in range(first_epoch, last_epoch + 1):
        for step in range(epoch * 4 - 3, epoch * 4 + 1):
            events.on_step(step_result(step), STATS)
        events.on_epoch(epoch, epoch * 4, {"loss": 0.5, "accuracy": 0.625})
        events.on_evaluation("validation", epoch * 4, VALIDATION, best=True)


def records_in(path):
    return list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())


def read_events(folder):
    return [
        tf.compat.v1.Event.FromString(record)
        for path in sorted(folder.glob("*tfevents*"))
        for record in records_in(path)
    ]


def read_values(folder):
    """Returns `{tag: {step: value}}`; a step that was written twice fails."""
    values = {}
    for event in read_events(folder):
        for value in event.summary.value:
            steps = values.setdefault(value.tag, {})
            assert event.step not in steps
            steps[event.step] = tf.make_ndarray(value.tensor).tolist()
    return values


def test_every_step_is_written(tmp_path):
    events = start(tmp_path)
    write_epochs(events, 1, 1)
    events.close()
    values = read_values(tmp_path / "train")
    assert values["step/loss"] == pytest.approx({1: 1, 2: 1 / 2, 3: 1 / 3, 4: 1 / 4})
    assert values.pop("weight_norm/head") == {2: 1.5}
    assert set(values) == {*STEP_TAGS, "epoch/loss", "epoch/accuracy", "recipe"}
    assert 0.05 < values.pop(MEMORY_TAG)[4] < 100  # TensorFlow alone takes hundreds of megabytes
    assert {tag: values[tag][4] for tag in STEP_TAGS[1:-1]} == pytest.approx(
        {
            "step/learning_rate": 1e-4,
            "step/gradient_norm": 2.5,
            "speed/examples_per_second": 64,
            "speed/tokens_per_second": 6000,
            "speed/padding_share": 0.25,
            "speed/idle_share": 0.2,
            "speed/data_wait_share": 0.25,
        }
    )


def test_the_share_that_was_altered_is_written_where_something_augments(tmp_path):
    events = start(tmp_path)
    for step, altered in ((1, 8), (2, 0), (3, None)):
        events.on_step(step_result(step), dataclasses.replace(STATS, altered=altered))
    events.close()
    assert read_values(tmp_path / "train")[ALTERED_TAG] == {1: 0.25, 2: 0.0}


def test_the_memory_of_a_gpu_is_told_where_norms_are(monkeypatch):
    assert DEVICE_MEMORY_TAG not in step_scalars(step_result(2), STATS)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"/{kind}:0"])
    told = {"GPU:0": {"current": 3_000_000_000, "peak": 4_000_000_000}}
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", told.get)
    assert step_scalars(step_result(2), STATS)[DEVICE_MEMORY_TAG] == 3.0
    assert DEVICE_MEMORY_TAG not in step_scalars(step_result(3), STATS)


def test_the_lengths_of_the_texts_are_a_histogram_once(tmp_path):
    lengths = np.array([3, 3, 5, 12])
    for start_step in (0, 4):
        events = TensorBoardCallback(tmp_path, RECIPE, lengths={"train": lengths})
        events.on_start(start_step=start_step, total_steps=20, steps_per_epoch=4)
        events.close()
    [(step, buckets)] = read_values(tmp_path / "train")[LENGTHS_TAG].items()
    assert step == 0
    buckets = np.array(buckets)  # left and right edge, and how many
    assert buckets[:, 2].sum() == 4
    assert (buckets[0, 0], buckets[-1, 1]) == (3, 12)
    held = [count for left, right, count in buckets if left <= 4 < right or right <= 4]
    assert sum(held) == 2


def test_training_and_validation_lie_in_the_same_chart(tmp_path):
    events = start(tmp_path)
    write_epochs(events, 1, 2)
    events.close()
    train, validation = read_values(tmp_path / "train"), read_values(tmp_path / "validation")
    assert train["epoch/loss"] == {4: 0.5, 8: 0.5}
    assert validation["epoch/loss"] == validation["epoch/log_loss"] == {4: 0.25, 8: 0.25}
    assert train["epoch/accuracy"] == {4: 0.625, 8: 0.625}
    assert validation["epoch/accuracy"] == {4: 0.875, 8: 0.875}
    assert validation["per_class/f1/neg"] == {4: 0.75, 8: 0.75}
    assert not [tag for tag in validation if "support" in tag]


def test_the_recipe_is_a_markdown_code_block_once(tmp_path):
    for start_step in (0, 4):
        start(tmp_path, start_step=start_step).close()
    [text] = read_values(tmp_path / "train")["recipe"].values()
    assert text.decode() == f"```toml\n{RECIPE.strip()}\n```"


def test_every_step_is_seen_while_the_run_goes_on(tmp_path):
    events = start(tmp_path)
    for step in (1, 2, 3):
        events.on_step(step_result(step), STATS)
        assert len(read_values(tmp_path / "train")["speed/padding_share"]) == step


def test_an_evaluation_after_the_end_is_written(tmp_path):
    events = start(tmp_path)
    events.close()
    events.on_evaluation("test", 4, VALIDATION, best=False)
    assert read_values(tmp_path / "test")["epoch/accuracy"] == {4: 0.875}
    events.close()
    events.close()


def test_rewinding_and_going_on_equals_an_undisturbed_run(tmp_path):
    undisturbed, resumed = tmp_path / "undisturbed", tmp_path / "resumed"
    events = start(undisturbed)
    write_epochs(events, 1, 3)
    events.close()

    events = start(resumed)
    write_epochs(events, 1, 2)
    events.close()
    rewind_tensorboard(resumed, 4)
    events = start(resumed, start_step=4)
    write_epochs(events, 2, 3)
    events.close()
    for name in ("train", "validation"):
        ours, theirs = read_values(resumed / name), read_values(undisturbed / name)
        for values in (ours, theirs):
            values.pop(MEMORY_TAG, None)
        assert ours == theirs


def test_rewinding_keeps_the_version_and_drops_what_is_later(tmp_path):
    events = start(tmp_path)
    write_epochs(events, 1, 1)
    events.close()
    rewind_tensorboard(tmp_path, 2)
    assert list(read_values(tmp_path / "train")["step/loss"]) == [1, 2]
    [version] = read_events(tmp_path / "validation")
    assert version.file_version == "brain.Event:2"
    assert len(list(tmp_path.rglob("*.*"))) == 2  # nothing left beside them


def test_rewinding_drops_a_test_which_is_done_again(tmp_path):
    """Killed after the test: the last checkpoint is of the same step, and was written before."""
    events = start(tmp_path)
    write_epochs(events, 1, 1)
    events.on_evaluation("test", 4, VALIDATION, best=False)
    events.close()
    assert len(read_events(tmp_path / "test")) > 1
    before = read_values(tmp_path / "validation")
    rewind_tensorboard(tmp_path, 4)
    assert len(read_events(tmp_path / "test")) == 1  # the version of the format
    assert read_values(tmp_path / "validation") == before


def test_rewinding_to_the_start_leaves_nothing(tmp_path):
    """A run that was killed before its first checkpoint writes its recipe once more."""
    folder = tmp_path / "tensorboard"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "events.out.tfevents.1.host").write_bytes(b"torn")
    rewind_tensorboard(folder, 0)
    assert not folder.exists()


def test_rewinding_drops_a_torn_record(tmp_path):
    events = start(tmp_path)
    write_epochs(events, 1, 1)
    events.close()
    [path] = (tmp_path / "train").glob("*tfevents*")
    whole = records_in(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(tf.errors.DataLossError):
        records_in(path)
    rewind_tensorboard(tmp_path, 4)
    assert records_in(path) == whole[:-1]


def test_rewinding_leaves_a_file_alone_that_has_nothing_later(tmp_path):
    events = start(tmp_path)
    write_epochs(events, 1, 1)
    events.close()
    [path] = (tmp_path / "train").glob("*tfevents*")
    before = path.stat().st_ino  # a TensorBoard that runs has the file open
    rewind_tensorboard(tmp_path, 4)
    assert path.stat().st_ino == before


def test_rewinding_without_a_folder_does_nothing(tmp_path):
    rewind_tensorboard(tmp_path / "tensorboard", 4)
    assert not list(tmp_path.iterdir())


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def wait_for(url, is_ready):
    deadline = time.monotonic() + 60
    while not is_ready(answer := fetch(url)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def test_tensorboard_itself_shows_a_run_that_goes_on(tmp_path):
    names = [f"{run}/tensorboard/{split}" for run in ("one", "two") for split in ("train", "test")]
    going_on = [start(tmp_path / run / "tensorboard") for run in ("one", "two")]
    for events in going_on:
        write_epochs(events, 1, 1)
        events.on_evaluation("test", 4, VALIDATION, best=False)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--host", "localhost"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output = []
        for line in process.stdout:
            output.append(line)
            if address := re.search(r"http://localhost:\d+", line):
                break
        else:
            pytest.fail(f"TensorBoard did not start: {''.join(output)}")
        data = f"{address[0]}/data/plugin"
        tags = wait_for(f"{data}/scalars/tags", lambda answer: set(names) <= set(answer))
        measured = {"epoch/loss", "epoch/accuracy", "weight_norm/head"}
        assert set(tags["one/tensorboard/train"]) == {*STEP_TAGS, *measured}
        assert {"epoch/loss", "epoch/accuracy"} <= set(tags["two/tensorboard/validation"])
        points = fetch(f"{data}/scalars/scalars?run=two/tensorboard/train&tag=step/loss")
        assert [[step, value] for _, step, value in points] == [
            [step, pytest.approx(1 / step)] for step in (1, 2, 3, 4)
        ]
        assert "recipe" in fetch(f"{data}/text/tags")["one/tensorboard/train"]
    finally:
        process.kill()
        process.communicate()
    for events in going_on:
        events.close()

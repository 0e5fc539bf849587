"""The journal: what is written is on the disk, and a torn line costs itself alone."""

from __future__ import annotations

import json

import pytest

from kerasft.errors import UserError
from kerasft.studies.tuning.journal import (
    ENDED,
    FAILED,
    OPENED,
    STARTED,
    JobResult,
    Journal,
)

GOOD = JobResult("completed", 0.8, 12.5, "validation/accuracy", "runs/a")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_it_reads_back_what_was_written(path):
    journal = Journal(path)
    journal.add(STARTED, job="trial-001", values={"training.learning_rate": 1 / 3})
    journal.end("trial-001", GOOD)
    journal.end("trial-002", JobResult(FAILED, float("nan"), 1.0, reason="x"))
    again = Journal(path)
    assert again.events == journal.events
    assert again.of(STARTED)[0]["values"] == {"training.learning_rate": 1 / 3}  # to the last bit
    assert list(again.outcomes()) == ["trial-001", "trial-002"]
    assert again.outcomes()["trial-001"] == GOOD
    assert again.outcomes()["trial-002"].value is None


def test_a_torn_last_line_is_dropped_and_the_next_one_is_whole(path):
    journal = Journal(path)
    journal.add(OPENED)
    with path.open("a") as file:
        file.write('{"event": "star')
    again = Journal(path)
    assert [event["event"] for event in again.events] == [OPENED]
    again.add(STARTED, job="trial-001")
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
        OPENED,
        STARTED,
    ]


@pytest.mark.parametrize("line", ["{", "3", '{"job": "a"}'])
def test_a_damaged_line_before_the_last_is_told(path, line):
    path.write_text(f'{{"event": "opened", "time": 1}}\n{line}\n')
    with pytest.raises(UserError, match=r"Line 2 of .*journal\.jsonl is damaged"):
        Journal(path)


def test_time_is_that_of_the_sessions_and_not_between_them(path):
    clock = Clock()
    for start, ends in ((100, (130, 160)), (5000, (5010,)), (9000, ())):
        journal = Journal(path, clock)
        clock.now = start
        journal.add(OPENED)
        for end in ends:
            clock.now = end
            journal.add(ENDED, job="x")
    assert Journal(path).used_seconds() == 70
    assert Journal(path.with_name("none")).used_seconds() == 0

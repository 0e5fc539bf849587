"""Windows of texts: how they grow, how they are cut into batches, and the order of the answers."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.serving import windows
from kerasft.serving.windows import TextError, answer_stream


@pytest.fixture
def asked():
    """The batches of each window, and a function that answers with each text's length."""
    windows = []

    def answer_batches(batches):
        windows.append([[row[0] for row in batch] for batch in batches])
        return [[{"length": len(row[0])} for row in batch] for batch in batches]

    answer_batches.windows = windows
    return answer_batches


def test_a_window_is_sorted_cut_and_put_into_order_again(asked):
    texts = ["first", "second", "four", "a", "longest", "", "three"]
    answers = list(answer_stream(texts, asked, has_pairs=False, batch_size=2))
    assert [answer["length"] for answer in answers] == [len(text) for text in texts]
    assert asked.windows == [
        [["first", "second"]],
        [["", "a"], ["four", "longest"]],
        [["three"]],
    ]


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [
        (64, [64, 128, 256, 512, 1024, 1024, 992]),
        (100, [100, 200, 400, 800, 1024, 1024, 452]),
        (2000, [2000, 2000]),
    ],
)
def test_windows_double_up_to_a_limit_or_a_batch(asked, batch_size, sizes):
    list(answer_stream(["x"] * 4000, asked, has_pairs=False, batch_size=batch_size))
    assert [sum(map(len, batches)) for batches in asked.windows] == sizes


def test_batches_and_windows_are_bounded_in_bytes(asked, monkeypatch):
    monkeypatch.setattr(windows, "BATCH_BYTES", 10)
    monkeypatch.setattr(windows, "_WINDOW_BYTES", 30)
    texts = ["éé", "a", "ééééééé", "éé", "bb", "éé", "cc", "d"] * 3
    answers = list(answer_stream(texts, asked, has_pairs=False, batch_size=16))
    assert [answer["length"] for answer in answers] == [len(text) for text in texts]
    sizes = [[sum(len(t.encode()) for t in b) for b in batches] for batches in asked.windows]
    assert all(sum(of_window) < 30 + 14 for of_window in sizes)
    assert all(size <= 10 or size == 14 for of_window in sizes for size in of_window)


def test_a_text_at_fault_gets_its_number(asked):
    def answer_batches(batches):
        for batch in batches:
            if ("bad",) in batch:
                raise TextError(("bad",), "too long")
        return asked(batches)

    stream = answer_stream(["a", "b", "c", "bad"], answer_batches, has_pairs=False, batch_size=2)
    with pytest.raises(TextError, match="Text number 4: too long") as caught:
        list(stream)
    assert caught.value.number == 4


def test_what_is_no_example_ends_the_stream_after_the_windows_before(asked):
    stream = answer_stream(["a", "b", "c", 3], asked, has_pairs=False, batch_size=2)
    assert [next(stream)["length"] for _ in range(2)] == [1, 1]
    with pytest.raises(UserError, match="Text number 4 is not a text"):
        next(stream)


def test_an_answer_too_few_is_an_error(asked):
    def answer_batches(batches):
        return [answers[1:] for answers in asked(batches)]

    with pytest.raises(ValueError, match="shorter"):
        list(answer_stream(["a", "b"], answer_batches, has_pairs=False))

"""Windows of texts: how they grow, how they are cut into batches, and the order of the answers."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.serving import windows
from kerasft.serving.windows import TextError, TextModel


class Lengths(TextModel):
    """Answers with each text's length; notes the batches of each window."""

    has_pairs = False

    def __init__(self, batch_size):
        self._batch_size = batch_size
        self.windows = []

    def _answer_batches(self, batches):
        self.windows.append([[row[0] for row in batch] for batch in batches])
        return super()._answer_batches(batches)

    def _answer_batch(self, rows):
        return [{"length": len(row[0])} for row in rows]

    def _outputs(self, rows):
        raise NotImplementedError


def test_a_window_is_sorted_cut_and_put_into_order_again():
    texts = ["first", "second", "four", "a", "longest", "", "three"]
    model = Lengths(2)
    assert [answer["length"] for answer in model.predict_stream(texts)] == list(map(len, texts))
    assert model.windows == [
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
def test_windows_double_up_to_a_limit_or_a_batch_and_no_more_is_read(batch_size, sizes):
    texts = iter(["x"] * 4000)
    model = Lengths(batch_size)
    for number, _ in enumerate(model.predict_stream(texts), start=1):
        read = 4000 - texts.__length_hint__()
        assert read - number < max(sizes)
    assert [sum(map(len, batches)) for batches in model.windows] == sizes


def test_a_stream_answers_at_once_when_no_line_waits():
    said = []

    def lines():
        for line in ("a", "bb", None, None, "ccc", None):
            said.append(line)
            yield line

    stream = Lengths(64).predict_stream(lines())
    assert next(stream)["length"] == 1
    assert said == ["a", "bb", None]
    assert [answer["length"] for answer in stream] == [2, 3]


def test_batches_and_windows_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(windows, "BATCH_BYTES", 10)
    monkeypatch.setattr(windows, "_WINDOW_BYTES", 30)
    texts = ["éé", "a", "ééééééé", "éé", "bb", "éé", "cc", "d"] * 3
    model = Lengths(16)
    assert [answer["length"] for answer in model.predict_stream(texts)] == list(map(len, texts))
    sizes = [[sum(len(t.encode()) for t in b) for b in batches] for batches in model.windows]
    assert all(sum(of_window) < 30 + 14 for of_window in sizes)
    assert all(size <= 10 or size == 14 for of_window in sizes for size in of_window)


def test_a_text_at_fault_gets_its_number(monkeypatch):
    def answer(self, rows):
        if ("bad",) in rows:
            raise TextError(("bad",), "too long")
        return [{}] * len(rows)

    monkeypatch.setattr(Lengths, "_answer_batch", answer)
    with pytest.raises(TextError, match="Text number 4: too long") as caught:
        list(Lengths(2).predict_stream(["a", "b", "c", "bad"]))
    assert caught.value.number == 4


def test_what_is_no_example_ends_the_stream_after_the_windows_before():
    stream = Lengths(2).predict_stream(["a", "b", "c", 3])
    assert [next(stream)["length"] for _ in range(2)] == [1, 1]
    with pytest.raises(UserError, match="Text number 4 is not a text"):
        next(stream)


def test_an_answer_too_few_is_an_error(monkeypatch):
    monkeypatch.setattr(Lengths, "_answer_batch", lambda self, rows: [{}] * (len(rows) - 1))
    with pytest.raises(ValueError, match="shorter"):
        list(Lengths(2).predict_stream(["a", "b"]))

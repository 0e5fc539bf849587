"""Requests that are computed together: who is merged with whom, who is refused, who is spared."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kerasft.serving.server.batching import Batcher
from kerasft.serving.server.batching_parameters import (
    UNBATCHED,
    BatchingParameters,
    load_batching_parameters,
)
from kerasft.serving.server.status import ServingError


class Model:
    """Computes twice the input; notes each batch; can be held up."""

    def __init__(self):
        self.batches: list[list[float]] = []
        self.names: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, name, inputs):
        self.gate.wait(20)
        self.names.append(name)
        self.batches.append(inputs["x"].ravel().tolist())
        if -1 in inputs["x"]:
            raise ServingError("INVALID_ARGUMENT", "a bad request")
        if name == "whole":
            return {"y": np.array(len(inputs["x"]))}
        return {"y": 2 * inputs["x"]}


def x(*values):
    return {"x": np.array(values, np.float32)}


def run(parameters, scenario):
    """Runs `scenario(batcher, model)` in a loop of its own."""
    model = Model()

    async def main():
        with ThreadPoolExecutor(8) as executor:
            try:
                return await asyncio.wait_for(
                    scenario(Batcher(model, parameters, executor), model), 20
                )
            finally:
                model.gate.set()

    return asyncio.run(main()), model


async def held_up(batcher, model, *requests):
    """Asks while the only thread is busy, and lets it go on."""
    model.gate.clear()
    first = asyncio.create_task(batcher.compute("f", x(0)))
    await asyncio.sleep(0.02)
    tasks = [asyncio.create_task(batcher.compute(name, inputs)) for name, inputs in requests]
    await asyncio.sleep(0.02)
    model.gate.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


ONE_THREAD = BatchingParameters(max_batch_size=4, max_enqueued_batches=2, num_batch_threads=1)


def together(*requests, parameters=ONE_THREAD):
    """Asks all while the only thread is busy; returns the answers and the model."""
    return run(parameters, lambda batcher, model: held_up(batcher, model, *requests))


@pytest.mark.parametrize(
    ("parameters", "batches"),
    [(ONE_THREAD, [[0], [1, 2, 3, 4]]), (UNBATCHED, [[0], [1], [2, 3], [4]])],
    ids=["batching", "control: without batching"],
)
def test_what_came_while_the_thread_was_busy_is_computed_together(parameters, batches):
    requests = [("f", x(1)), ("f", x(2, 3)), ("f", x(4))]
    answers, model = together(*requests, parameters=parameters)
    assert [answer["y"].tolist() for answer in answers] == [[2], [4, 6], [8]]
    assert sorted(model.batches) == batches


def test_a_batch_holds_no_more_than_it_may():
    _, model = together(("f", x(1, 2, 3)), ("f", x(4, 5)), ("f", x(6, 7)))
    assert model.batches == [[0], [1, 2, 3], [4, 5, 6, 7]]


def test_what_differs_in_kind_is_not_merged():
    other = {"x": np.array([2], np.int64)}
    wide = {"x": np.array([[3, 3]], np.float32)}
    answers, model = together(("f", x(1)), ("g", x(1)), ("f", other), ("f", wide))
    assert [answer["y"].tolist() for answer in answers] == [[2], [2], [4], [[6, 6]]]
    assert len(model.batches) == 5


def test_a_bad_request_does_not_spoil_its_batch():
    answers, model = together(("f", x(1)), ("f", x(-1)), ("f", x(3)))
    assert answers[0]["y"].tolist() == [2]
    assert answers[1].message == "a bad request"
    assert answers[2]["y"].tolist() == [6]
    assert model.batches == [[0], [1, -1, 3], [1], [-1], [3]]


def test_outputs_without_rows_are_not_torn_apart():
    answers, _ = together(("whole", x(1)), ("whole", x(2, 3)))
    assert [answer["y"].tolist() for answer in answers] == [1, 2]


def test_a_batch_waits_for_company_and_not_for_ever():
    patient = BatchingParameters(max_batch_size=3, batch_timeout_micros=10_000_000)

    async def scenario(batcher, model):
        tasks = [asyncio.create_task(batcher.compute("f", x(1)))]
        await asyncio.sleep(0.05)
        assert model.batches == []  # control: it does wait
        tasks += [asyncio.create_task(batcher.compute("f", x(n))) for n in (2, 3)]
        await asyncio.gather(*tasks)  # full, long before the time is over

    assert run(patient, scenario)[1].batches == [[1, 2, 3]]
    hasty = BatchingParameters(max_batch_size=3, batch_timeout_micros=30_000)
    assert run(hasty, lambda batcher, _: batcher.compute("f", x(1)))[1].batches == [[1]]


def test_nothing_is_kept_of_what_was_asked():
    async def scenario(batcher, model):
        for width in range(50):
            await batcher.compute("f", {"x": np.zeros([1, width + 1], np.float32)})
        await batcher.drain()
        assert not batcher._queues
        assert not batcher._running

    assert len(run(ONE_THREAD, scenario)[1].batches) == 50


@pytest.mark.parametrize("inputs", [{"x": np.float32(1)}, {"x": np.zeros(1), "z": np.zeros(2)}])
def test_inputs_must_go_together(inputs):
    with pytest.raises(ServingError, match="all inputs need a first dimension, and the same"):
        run(ONE_THREAD, lambda batcher, _: batcher.compute("f", inputs))


# --- batching_params.pbtxt


def test_parameters_are_read(tmp_path):
    assert load_batching_parameters(tmp_path) == BatchingParameters()
    (tmp_path / "batching_params.pbtxt").write_text(
        "max_batch_size { value: 32 }  # of examples\nbatch_timeout_micros { value: 500 }\n"
        'max_enqueued_batches { value: 7 } thread_pool_name { value: "pool" }\n'
        "allowed_batch_sizes: 8 allowed_batch_sizes: 32 pad_variable_length_inputs: false\n"
    )
    found = load_batching_parameters(tmp_path)
    assert (found.max_batch_size, found.batch_timeout_micros) == (32, 500)
    assert found.max_enqueued_batches == 7
    assert found.num_batch_threads == BatchingParameters().num_batch_threads


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: {", "batching_params.pbtxt cannot be read"),
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1, not 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be at least 0"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4]", r"ascend to .* 8, not \[4\]"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]", r"not \[4, 2, 8\]"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, text, message):
    (tmp_path / "batching_params.pbtxt").write_text(text)
    with pytest.raises(ServingError, match=message):
        load_batching_parameters(tmp_path)

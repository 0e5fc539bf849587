"""Batches concurrent requests.

One queue per signature and kind of input, as in the server's `SharedBatchScheduler`. When a thread
is free, it takes the requests at the head of the queue that has waited longest, as many as a batch
may hold, once they fill a batch or have waited long enough. All but the computation runs in the
event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from kerasft.serving.server.batching_parameters import BatchingParameters
from kerasft.serving.server.status import ServingError, as_serving_error, invalid

Arrays = Mapping[str, np.ndarray]


class _Task(NamedTuple):
    """A waiting request."""

    inputs: Arrays
    size: int  # examples
    arrived: float
    answer: asyncio.Future


class Batcher:
    """Computes requests in batches, by `run(signature_name, inputs)` in an executor's threads."""

    def __init__(
        self,
        run: Callable[[str, Arrays], dict[str, np.ndarray]],
        parameters: BatchingParameters,
        executor: Executor,
    ):
        self._run = run
        self._parameters = parameters
        self._executor = executor
        self._queues: dict[tuple, deque[_Task]] = {}
        self._running: set[asyncio.Task] = set()

    async def compute(self, signature_name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """Returns the outputs for a request's inputs; a cancelled caller leaves the queue.

        Raises:
            ServingError: If the inputs do not fit together, the queue is full, or computing failed.
        """
        size = self._size_of(inputs)
        kinds = sorted((name, a.dtype.str, a.shape[1:]) for name, a in inputs.items())
        key = (signature_name, *kinds)
        waiting = [task for task in self._queues.get(key, ()) if not task.answer.done()]
        most = self._parameters.max_enqueued_batches * self._parameters.max_batch_size
        if waiting and sum(task.size for task in waiting) + size > most:
            raise ServingError("UNAVAILABLE", "Too many requests wait for this model.")
        loop = asyncio.get_running_loop()
        task = _Task(inputs, size, loop.time(), loop.create_future())
        self._queues[key] = deque([*waiting, task])
        self._start_what_is_ready()
        if key in self._queues:
            wait = self._parameters.batch_timeout_micros / 1e6
            loop.call_later(wait, self._start_what_is_ready)
        return await task.answer

    async def drain(self) -> None:
        """Waits until no request is queued or running."""
        while self._running or self._queues:
            await asyncio.sleep(0.01)

    def _size_of(self, inputs: Arrays) -> int:
        if not self._parameters.merges:
            return 1
        sizes = {array.shape[:1] for array in inputs.values()}
        if len(sizes) > 1 or () in sizes:
            raise invalid("With batching, all inputs need a first dimension, and the same one.")
        return max(sizes, default=(1,))[0]

    def _start_what_is_ready(self) -> None:
        """Starts the batches that have waited longest in free threads."""
        loop = asyncio.get_running_loop()
        # A timer may be early by less than the clock's resolution.
        before = loop.time() + 1e-4 - self._parameters.batch_timeout_micros / 1e6
        while len(self._running) < self._parameters.num_batch_threads:
            ready = {
                key: queue[0].arrived
                for key, queue in self._queues.items()
                if queue[0].arrived <= before or self._is_full(queue)
            }
            if not ready:
                return
            key = min(ready, key=ready.get)
            running = loop.create_task(self._compute(key[0], self._take(key)))
            self._running.add(running)
            running.add_done_callback(self._finish)

    def _is_full(self, queue: deque[_Task]) -> bool:
        return sum(task.size for task in queue) >= self._parameters.max_batch_size

    def _take(self, key: tuple) -> list[_Task]:
        """Removes a batch from the head of a queue: at least one request."""
        queue = self._queues[key]
        taken = [queue.popleft()]
        left = self._parameters.max_batch_size - taken[0].size
        while self._parameters.merges and queue and queue[0].size <= left:
            taken.append(queue.popleft())
            left -= taken[-1].size
        if not queue:
            del self._queues[key]
        return taken

    def _finish(self, running: asyncio.Task) -> None:
        self._running.discard(running)
        self._start_what_is_ready()

    async def _compute(self, signature_name: str, tasks: list[_Task]) -> None:
        tasks = [task for task in tasks if not task.answer.done()]
        if not tasks:
            return
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(
                self._executor, self._compute_together, signature_name, tasks
            )
        except Exception as error:
            if len(tasks) > 1:  # one of them is invalid, and the others should not fail
                for task in tasks:
                    await self._compute(signature_name, [task])
            elif not tasks[0].answer.done():
                tasks[0].answer.set_exception(as_serving_error(error))
            return
        for task, answer in zip(tasks, answers, strict=True):
            if not task.answer.done():
                task.answer.set_result(answer)

    def _compute_together(self, signature_name: str, tasks: list[_Task]) -> list[dict]:
        """Returns the outputs of each request."""
        if len(tasks) == 1:
            return [self._run(signature_name, tasks[0].inputs)]
        names = tasks[0].inputs
        merged = {name: np.concatenate([task.inputs[name] for task in tasks]) for name in names}
        outputs = self._run(signature_name, merged)
        ends = np.cumsum([task.size for task in tasks])
        if any(array.shape[:1] != (ends[-1],) for array in outputs.values()):
            raise ServingError("FAILED_PRECONDITION", "The model does not give a row an example.")
        return [
            {name: array[end - task.size : end] for name, array in outputs.items()}
            for task, end in zip(tasks, ends, strict=True)
        ]

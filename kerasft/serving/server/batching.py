"""Batches concurrent requests.

One queue per signature and kind of input, as in the server's `SharedBatchScheduler`: a queue holds
batches, each filled until full; a batch is computed when a thread is free and it is full or has
waited long enough. All but the computation runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

import numpy as np

from kerasft.serving.server.batching_parameters import BatchingParameters, check_size
from kerasft.serving.server.status import ServingError, as_serving_error, invalid

Arrays = Mapping[str, np.ndarray]
_FULL = "The batch scheduling queue to which this task was submitted is full"


class _Task:
    """A waiting request."""

    def __init__(self, inputs: Arrays, size: int, answer: asyncio.Future):
        self.inputs = inputs
        self.size = size
        self.answer = answer


class _Batch:
    """Requests to compute together."""

    def __init__(self, opened: float):
        self.opened = opened
        self.tasks: list[_Task] = []

    @property
    def size(self) -> int:
        return sum(task.size for task in self.tasks)


class Batcher:
    """Computes requests in batches.

    Args:
        run: `run(signature_name, inputs)` returns the outputs; called in the executor.
        parameters: Batching parameters.
        executor: Threads for the computation.
    """

    def __init__(
        self,
        run: Callable[[str, Arrays], dict[str, np.ndarray]],
        parameters: BatchingParameters,
        executor: Executor,
    ):
        self._run = run
        self._parameters = parameters
        self._executor = executor
        self._queues: dict[tuple, deque[_Batch]] = {}
        self._running: set[asyncio.Task] = set()

    async def compute(self, signature_name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """Returns the outputs for a request's inputs; a cancelled caller leaves the queue.

        Raises:
            ServingError: If the inputs do not fit together, the queue is full, or computing failed.
        """
        size = self._size_of(inputs)
        check_size(self._parameters, size)
        kinds = sorted((name, a.dtype.str, a.shape[1:]) for name, a in inputs.items())
        queue = self._queues.setdefault((signature_name, *kinds), deque())
        loop = asyncio.get_running_loop()
        task = _Task(inputs, size, loop.create_future())
        self._open_batch(queue, size, loop.time()).tasks.append(task)
        self._start_what_is_ready()
        if not queue:
            self._queues.pop((signature_name, *kinds), None)
        else:
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
        if not all(array.ndim for array in inputs.values()):
            raise invalid("Batching Run() input tensors must have at least one dimension")
        sizes = {array.shape[0] for array in inputs.values()}
        if len(sizes) > 1:
            raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
        return max(sizes, default=1)

    def _open_batch(self, queue: deque[_Batch], size: int, now: float) -> _Batch:
        """Returns the batch that a request of `size` examples joins."""
        limit = self._parameters.max_batch_size
        for batch in list(queue):  # cancelled requests make room
            batch.tasks = [task for task in batch.tasks if not task.answer.done()]
            if not batch.tasks:
                queue.remove(batch)
        if queue and queue[-1].size + size <= limit:
            return queue[-1]
        if len(queue) >= self._parameters.max_enqueued_batches:
            raise ServingError("UNAVAILABLE", _FULL)
        queue.append(_Batch(now))
        return queue[-1]

    def _start_what_is_ready(self) -> None:
        """Starts the batches that have waited longest in free threads."""
        loop = asyncio.get_running_loop()
        while len(self._running) < self._parameters.num_batch_threads:
            oldest = time_of = None
            for key, queue in self._queues.items():
                if self._is_ready(queue, loop.time()) and (
                    oldest is None or queue[0].opened < time_of
                ):
                    oldest, time_of = key, queue[0].opened
            if oldest is None:
                return
            queue = self._queues[oldest]
            batch = queue.popleft()
            if not queue:
                del self._queues[oldest]
            running = loop.create_task(self._compute(oldest[0], batch.tasks))
            self._running.add(running)
            running.add_done_callback(self._finish)

    def _is_ready(self, queue: deque[_Batch], now: float) -> bool:
        if not queue:
            return False
        is_full = len(queue) > 1 or queue[0].size >= self._parameters.max_batch_size
        # A timer may be early by less than the clock's resolution.
        waited = now - queue[0].opened + 1e-4
        return is_full or waited >= self._parameters.batch_timeout_micros / 1e6

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
            if len(tasks) == 1:
                _refuse(tasks[0], as_serving_error(error))
                return
            for task in tasks:  # one of them is invalid, and the others should not fail
                await self._compute(signature_name, [task])
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
        total = sum(task.size for task in tasks)
        if any(not array.ndim or len(array) != total for array in outputs.values()):
            raise ServingError(
                "FAILED_PRECONDITION",
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
                "sizes of the input tensors",
            )
        ends = np.cumsum([task.size for task in tasks])
        return [
            {name: array[end - task.size : end] for name, array in outputs.items()}
            for task, end in zip(tasks, ends, strict=True)
        ]


def _refuse(task: _Task, error: ServingError) -> None:
    if not task.answer.done():
        task.answer.set_exception(error)

"""Starts and stops the processes of a multi-worker training."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NoReturn

from kerasft.console import LAUNCHED_WORKERS
from kerasft.errors import UserError
from kerasft.training.distribution.workers import VARIABLE, WorkerLostError, find_address_fault

_GRACE_SECONDS = 30.0  # to save a checkpoint, before a process is killed
_POLL_SECONDS = 0.05
_LAST_LINES = 15  # the end of a traceback
# Set by Kubernetes in an indexed Job and by Slurm in a task.
_INDEX_VARIABLES = ("JOB_COMPLETION_INDEX", "SLURM_PROCID")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def launch(command: Sequence[str], num_workers: int, *, grace: float = _GRACE_SECONDS) -> int:
    """Runs a command in several processes and waits for all of them.

    The chief's stdout passes through unchanged; all other output goes to stderr, prefixed with
    `[worker 1]`. When one process fails, the others are stopped, and its last lines are repeated at
    the end. SIGINT and SIGTERM are forwarded to all.

    Args:
        command: The command, its program first.
        num_workers: Number of processes.
        grace: Seconds between SIGTERM and SIGKILL.

    Returns:
        The exit code of the chief, or of the process whose failure stopped it; 128 plus the
        signal's number after a signal.
    """
    _check_program(command)
    processes, readers = [], []
    told: list[int] = []  # the forwarded signals
    last_lines = [collections.deque(maxlen=_LAST_LINES) for _ in range(num_workers)]
    addresses = [f"127.0.0.1:{port}" for port in free_ports(num_workers)]
    with _passing_signals(processes, told):
        for index in range(num_workers):
            variables = {LAUNCHED_WORKERS: str(num_workers)}
            process = _start(command, {**variables, VARIABLE: tf_config(addresses, index)})
            processes.append(process)
            readers += _start_readers(process, index, last_lines[index])
        failed = _wait(processes, grace, told)
    for reader in readers:
        reader.join()
    code = _code(processes[failed or 0])
    # A user error already says how to fix it, and signals come from the user.
    if failed is not None and code != UserError.exit_code and not told:
        sys.stderr.write(_describe_failure(failed, code, last_lines[failed]))
    return code


def join(command: Sequence[str], hosts: Sequence[str], index: int | None) -> NoReturn:
    """Replaces this process by the command, as one process of a multi-machine run.

    Args:
        command: The command, its program first.
        hosts: `host:port` of each process, the chief first; the same on all machines.
        index: Index of this process; `None`: as set by an indexed Job of Kubernetes or by Slurm.
    """
    _check_program(command)
    if index is None:
        index = _index_of_surroundings()
    fault = find_address_fault(hosts)
    if fault is not None:
        raise UserError(
            f"These hosts cannot train together: {fault}.",
            received=f"--hosts {','.join(hosts)}",
            expected="host:port of each process, with commas between",
            fix="give each process an address of its own.",
        )
    if not 0 <= index < len(hosts):
        raise UserError(
            "This process is none of the hosts.",
            received=f"--hosts {','.join(hosts)} --index {index}",
            expected=f"an index from 0 to {len(hosts) - 1}",
        )
    environment = {**os.environ, VARIABLE: tf_config(hosts, index)}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], list(command), environment)


def _index_of_surroundings() -> int:
    for name in _INDEX_VARIABLES:
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    raise UserError(
        "Which of the hosts is this?", expected=f"--index, or one of {', '.join(_INDEX_VARIABLES)}"
    )


def _check_program(command: Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise UserError("There is no such program.", received=command[0])


def tf_config(addresses: Sequence[str], index: int) -> str:
    """Returns `TF_CONFIG` for process `index`; `addresses` are `host:port`, the chief first."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def free_ports(count: int) -> list[int]:
    """Returns ports of this machine that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _start(command: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        env={**os.environ, **variables, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches only this process, which forwards it
    )


def _start_readers(
    process: subprocess.Popen, index: int, last_lines: collections.deque[str]
) -> list[threading.Thread]:
    prefix = f"[worker {index}] "
    out = (process.stdout, sys.stdout, "") if index == 0 else (process.stdout, sys.stderr, prefix)
    threads = []
    for source, target, before in (out, (process.stderr, sys.stderr, prefix)):
        arguments = (source, target, before, last_lines)
        thread = threading.Thread(target=_copy, args=arguments, daemon=True)
        thread.start()
        threads.append(thread)
    return threads


def _copy(
    source: IO[str], target: IO[str], prefix: str, last_lines: collections.deque[str]
) -> None:
    with source:
        for line in source:
            last_lines.append(line)
            with contextlib.suppress(BrokenPipeError):  # the process should continue anyway
                target.write(prefix + line)
                target.flush()


def _wait(processes: Sequence[subprocess.Popen], grace: float, told: Sequence[int]) -> int | None:
    """Waits until all have ended; returns the index of the first that failed, if any."""
    failed, deadline = None, None
    while any(process.poll() is None for process in processes):
        codes = [process.poll() for process in processes]
        if deadline is None and any(codes):
            failed = _first_to_fail(codes)
            if not told:  # a second signal would cut short a save after a forwarded one
                code = _code(processes[failed])
                sys.stderr.write(f"[launch] worker {failed} ended with {code}: ending all.\n")
                _send(processes, signal.SIGTERM)
            deadline = time.monotonic() + grace
        if deadline is not None and time.monotonic() > deadline:
            _send(processes, signal.SIGKILL)  # a no-op for those that have ended
        time.sleep(_POLL_SECONDS)
    if failed is None:
        failed = _first_to_fail([process.returncode for process in processes])
    return failed


def _first_to_fail(codes: Sequence[int | None]) -> int | None:
    """Returns which process failed, preferring one that did not just lose another."""
    failed = [index for index, code in enumerate(codes) if code]
    return min(failed, key=lambda i: (codes[i] == WorkerLostError.exit_code, i), default=None)


def _describe_failure(index: int, code: int, last_lines: Sequence[str]) -> str:
    """Returns lines for people: how a process ended, its last output, and how to resume."""
    how = f"worker {index} ended with {code}"
    if code == 128 + signal.SIGKILL:
        how += ": it was killed, as the system does where memory runs short"
    said = [f"    {line.rstrip()}" for line in last_lines] or ["    nothing"]
    lines = [
        f"{how}. Its last lines:",
        *said,
        "Once that is mended, the same command with --resume goes on from the last checkpoint.",
    ]
    return "".join(f"[launch] {line}\n" for line in lines)


def _send(processes: Sequence[subprocess.Popen], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


@contextlib.contextmanager
def _passing_signals(processes: Sequence[subprocess.Popen], told: list[int]) -> Iterator[None]:
    """Forwards signals to the processes, which save a checkpoint and end."""

    def pass_on(number, frame) -> None:
        told.append(number)
        _send(processes, number)

    before = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _code(process: subprocess.Popen) -> int:
    return process.returncode if process.returncode >= 0 else 128 - process.returncode

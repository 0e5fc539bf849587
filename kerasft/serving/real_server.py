"""Starts TensorFlow Serving from its program or Docker image. Imports no TensorFlow."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kerasft.errors import UserError
from kerasft.export.serving_files import IMAGE, models_config
from kerasft.serving.ports import in_address, take_port

PROGRAM = "tensorflow_model_server"
_CONFIG = "models.config"
_INSIDE = "/models"  # where the image looks for models
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DOCKER_SECONDS = 10  # for Docker to respond


@dataclass(frozen=True)
class RealSettings:
    """Settings of the server."""

    host: str  # Docker listens on it; the program always listens on all addresses
    port: int  # REST
    grpc_port: int
    batching: bool
    poll_seconds: float  # between checks for new versions, whole seconds
    timeout_seconds: float  # for a response


def find_real_server() -> str | None:
    """Returns `tensorflow_model_server` or `docker`, the first that works, else `None`."""
    if shutil.which(PROGRAM):
        return PROGRAM
    docker = shutil.which("docker")
    if docker is None:
        return None
    try:
        done = subprocess.run(
            [docker, "info"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_DOCKER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "docker" if done.returncode == 0 else None


def serve_real(
    server: str, folders: Mapping[str, Path], settings: RealSettings, log: Callable[[str], None]
) -> int:
    """Runs the server until it ends, forwarding signals.

    Returns its exit code, or 128 plus the number of the signal that ended it.

    Raises:
        UserError: If a port is in use, or the program cannot be started.
    """
    settings = _with_ports(settings)
    with tempfile.TemporaryDirectory(prefix="kerasft-serve-") as folder:
        config = Path(folder) / _CONFIG
        if server == PROGRAM:
            config.write_text(models_config(folders), encoding="utf-8")
            command = program_command(config, settings)
            if settings.host in LOOPBACK:
                log(
                    f"warning: {PROGRAM} has no option for the address, so it listens on every "
                    "address of this machine, not on loopback alone. --embedded does not."
                )
        else:
            inside = {name: Path(_INSIDE) / name for name in folders}
            config.write_text(models_config(inside), encoding="utf-8")
            os.chmod(folder, 0o755)  # the image may run as another user
            command = docker_command(config, folders, settings)
        host = in_address(settings.host)
        log(
            f"TensorFlow Serving ({server}) serves {', '.join(folders)}: REST "
            f"http://{host}:{settings.port}, gRPC {host}:{settings.grpc_port}."
        )
        return _run(command)


def program_command(config: Path, settings: RealSettings) -> list[str]:
    """Returns the command line of the server's program."""
    return [
        PROGRAM,
        f"--port={settings.grpc_port}",
        f"--rest_api_port={settings.port}",
        *_common_flags(str(config), settings),
    ]


def docker_command(config: Path, folders: Mapping[str, Path], settings: RealSettings) -> list[str]:
    """Returns the command line that runs the image, with models and config mounted read-only."""
    host = in_address(settings.host)
    mounts = [(config, f"{_INSIDE}/{_CONFIG}")]
    mounts += [(folder, f"{_INSIDE}/{name}") for name, folder in folders.items()]
    return [
        "docker",
        "run",
        "--rm",
        "--init",  # otherwise the server, as the first process, ignores SIGTERM
        f"--publish={host}:{settings.port}:8501",
        f"--publish={host}:{settings.grpc_port}:8500",
        *(
            f"--mount=type=bind,source={source},target={target},readonly"
            for source, target in mounts
        ),
        f"--entrypoint={PROGRAM}",
        IMAGE,
        "--port=8500",
        "--rest_api_port=8501",
        *_common_flags(f"{_INSIDE}/{_CONFIG}", settings),
    ]


def _common_flags(config: str, settings: RealSettings) -> list[str]:
    flags = [
        f"--model_config_file={config}",
        f"--file_system_poll_wait_seconds={max(1, round(settings.poll_seconds))}",
        f"--rest_api_timeout_in_ms={round(1000 * settings.timeout_seconds)}",
    ]
    if settings.batching:  # batching_params.pbtxt in the folder of each version
        flags += ["--enable_batching=true", "--enable_per_model_batching_parameters=true"]
    return flags


def _with_ports(settings: RealSettings) -> RealSettings:
    """Replaces port 0 by a free port; to the server 0 means no port."""
    with contextlib.ExitStack() as taken:
        ports = []
        for option, port in (("--port", settings.port), ("--grpc-port", settings.grpc_port)):
            listener = taken.enter_context(take_port(settings.host, port, option))
            ports.append(listener.getsockname()[1])
    return replace(settings, port=ports[0], grpc_port=ports[1])


def _run(command: Sequence[str]) -> int:
    with _handing_on() as start:
        try:
            process = start(command)
        except OSError as error:
            raise UserError(f"{command[0]} cannot be started: {error.strerror}.") from error
        code = process.wait()
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _handing_on() -> Iterator[Callable[[Sequence[str]], subprocess.Popen]]:
    """Forwards SIGINT and SIGTERM to a process, also while it starts; yields its starter."""
    processes: list[subprocess.Popen] = []
    early: list[int] = []

    def hand_on(number: int, _frame: object) -> None:
        if not processes:
            early.append(number)
        for process in processes:
            process.send_signal(number)

    def start(command: Sequence[str]) -> subprocess.Popen:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        processes.append(process)
        for number in early:
            process.send_signal(number)
        return process

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield start
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Starts TensorFlow Serving from its program or Docker image. Imports no TensorFlow."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kerasft.errors import UserError
from kerasft.export.serving_files import IMAGE, models_config
from kerasft.serving.ports import in_address, take_port
from kerasft.serving.server.settings import Settings

PROGRAM = "tensorflow_model_server"
_CONFIG = "models.config"
_INSIDE = "/models"  # where the image looks for models
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DOCKER_SECONDS = 10  # for Docker to respond


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
            capture_output=True,
            timeout=_DOCKER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "docker" if done.returncode == 0 else None


def serve_real(
    server: str, folders: Mapping[str, Path], settings: Settings, log: Callable[[str], None]
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
            command = _command(config, settings)
            if settings.host in LOOPBACK:
                log(
                    f"warning: {PROGRAM} has no option for the address, so it listens on every "
                    "address of this machine, not on loopback alone. --embedded does not."
                )
        else:
            inside = {name: Path(_INSIDE) / name for name in folders}
            config.write_text(models_config(inside), encoding="utf-8")
            os.chmod(folder, 0o755)  # the image may run as another user
            command = _docker_command(config, folders, settings)
        host = in_address(settings.host)
        log(
            f"TensorFlow Serving ({server}) serves {', '.join(folders)}: REST "
            f"http://{host}:{settings.port}, gRPC {host}:{settings.grpc_port}."
        )
        return _run(command)


def _command(config: Path, settings: Settings) -> list[str]:
    """Returns the command line of the server's program."""
    command = [
        PROGRAM,
        f"--port={settings.grpc_port}",
        f"--rest_api_port={settings.port}",
        f"--model_config_file={config}",
        f"--file_system_poll_wait_seconds={max(1, round(settings.poll_seconds))}",
        f"--rest_api_timeout_in_ms={round(1000 * settings.seconds)}",
    ]
    if settings.batching:  # batching_params.pbtxt in the folder of each version
        command += ["--enable_batching=true", "--enable_per_model_batching_parameters=true"]
    return command


def _docker_command(config: Path, folders: Mapping[str, Path], settings: Settings) -> list[str]:
    """Returns the command line that runs the image, with models and config mounted read-only."""
    host, inside = in_address(settings.host), Path(_INSIDE) / _CONFIG
    mounts = {config: inside} | {folder: f"{_INSIDE}/{name}" for name, folder in folders.items()}
    program, *flags = _command(inside, replace(settings, port=8501, grpc_port=8500))
    return [
        "docker",
        "run",
        "--rm",
        "--init",  # otherwise the server, as the first process, ignores SIGTERM
        f"--publish={host}:{settings.port}:8501",
        f"--publish={host}:{settings.grpc_port}:8500",
        *(f"--mount=type=bind,source={a},target={b},readonly" for a, b in mounts.items()),
        f"--entrypoint={program}",
        IMAGE,
        *flags,
    ]


def _with_ports(settings: Settings) -> Settings:
    """Replaces port 0 by a free port; to the server 0 means no port."""
    with contextlib.ExitStack() as taken:
        ports = []
        for option, port in (("--port", settings.port), ("--grpc-port", settings.grpc_port)):
            listener = taken.enter_context(take_port(settings.host, port, option))
            ports.append(listener.getsockname()[1])
    return replace(settings, port=ports[0], grpc_port=ports[1])


def _run(command: Sequence[str]) -> int:
    """Runs a command, to which SIGINT and SIGTERM are forwarded, also while it starts."""
    processes: list[subprocess.Popen] = []
    early: list[int] = []

    def hand_on(number: int, _frame: object) -> None:
        if not processes:
            early.append(number)
        for process in processes:
            process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        processes.append(process)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started: {error.strerror}.") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code

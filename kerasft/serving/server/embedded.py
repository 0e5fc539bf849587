"""Starts the embedded server, keeps it looking for new versions, and ends it in peace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import uvicorn
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from kerasft.errors import UserError
from kerasft.serving.server.grpc_services import ModelService, PredictionService
from kerasft.serving.server.http_protocol import protocol_with_patience
from kerasft.serving.server.limits import Limits
from kerasft.serving.server.models import Models
from kerasft.serving.server.rest import RestApp


@dataclass(frozen=True)
class Settings:
    """How the server runs.

    Attributes:
        host: The address that it listens on.
        port: Of REST; 0 takes a free one.
        grpc_port: Of gRPC; 0 takes a free one.
        batching: Whether requests are put together.
        poll_seconds: Between two looks for new versions.
        limits: What a request may take.
    """

    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int = 8500
    batching: bool = True
    poll_seconds: float = 1.0
    limits: Limits = field(default_factory=Limits)


class _Uvicorn(uvicorn.Server):
    """uvicorn, which leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


def serve_embedded(
    folders: Mapping[str, Path], settings: Settings, tell: Callable[[str], None]
) -> int:
    """Serves until a signal comes.

    Args:
        folders: Folder of versions of each model, by name.
        settings: How.
        tell: Takes lines for people.

    Returns:
        The signal's number.

    Raises:
        UserError: A port is taken, the address is not ours, or no model can be loaded.
    """
    return asyncio.run(_serve(folders, settings, tell))


async def _serve(folders: Mapping[str, Path], settings: Settings, tell: Callable) -> int:
    stop = _Stop()
    listener = _listen(settings.host, settings.port)
    threads = max(4, os.cpu_count() or 1)
    models = Models(folders, batching=settings.batching, threads=threads, tell=tell)
    grpc_server, grpc_port = _build_grpc_server(models, settings, tell)
    try:
        loading = asyncio.ensure_future(models.update())
        await asyncio.wait({loading, stop.task}, return_when=asyncio.FIRST_COMPLETED)
        if stop.task.done():
            return stop.task.result()
        await loading
        if not models.serving():
            raise UserError(
                "No model can be served: what is wrong with each stands above.",
                received=", ".join(sorted(folders)),
                fix="export them anew (kerasft export RUN_DIR).",
            )
        rest = _build_rest_server(models, settings, tell)
        serving_rest = asyncio.create_task(rest.serve([listener]))
        await grpc_server.start()
        polling = asyncio.create_task(_poll(models, settings.poll_seconds))
        tell(_start_line(models, settings, listener.getsockname()[1], grpc_port))
        signal_number = await stop.task
        polling.cancel()
        tell("Stopping: no new requests; what is in the house is answered.")
        await _drain(rest, serving_rest, grpc_server, settings.limits.drain_seconds)
        return signal_number
    finally:
        listener.close()
        await grpc_server.stop(0)
        models.close()
        stop.close()


class _Stop:
    """SIGINT and SIGTERM. The first ends the server in peace, the second at once."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._first = self._loop.create_future()
        self.task = asyncio.ensure_future(self._first)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._take, number)

    def _take(self, number: int) -> None:
        if self._first.done():
            os._exit(128 + number)
        self._first.set_result(number)

    def close(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(number)


async def _drain(
    rest: uvicorn.Server, serving_rest: asyncio.Task, grpc_server, seconds: float
) -> None:
    rest.should_exit = True  # closes the listener, waits for connections that are answered
    await asyncio.gather(grpc_server.stop(seconds), serving_rest)


async def _poll(models: Models, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await models.update()


def _listen(host: str, port: int) -> socket.socket:
    """Takes the port of REST.

    Raises:
        UserError: It is taken, or the address is not ours.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise _cannot_listen(host, port, "--port", error.strerror or str(error)) from error


def _build_grpc_server(models: Models, settings: Settings, tell: Callable):
    limits = settings.limits
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # else two servers share a port, and neither notices
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
        ],
        maximum_concurrent_rpcs=limits.connections,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models, limits, tell), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models, tell), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        why = "the port is taken, or the address is not of this machine"
        raise _cannot_listen(settings.host, settings.grpc_port, "--grpc-port", why) from error
    return server, port


def _cannot_listen(host: str, port: int, option: str, why: str) -> UserError:
    return UserError(
        f"The server cannot listen on {host}, port {port}: {why}.",
        received=f"{host}:{port}",
        fix=f"give another {option} (0 takes a free one) or --host.",
    )


def _build_rest_server(models: Models, settings: Settings, tell: Callable) -> _Uvicorn:
    limits = settings.limits
    config = uvicorn.Config(
        RestApp(models, limits, tell),
        http=protocol_with_patience(limits.head_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=int(limits.drain_seconds),
    )
    return _Uvicorn(config)


def _start_line(models: Models, settings: Settings, port: int, grpc_port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    served = ", ".join(f"{name} version {number}" for name, number in models.serving().items())
    return (
        f"Embedded server, for trying and for tests; TensorFlow Serving is the one for production."
        f"\nServing {served}: REST http://{host}:{port}, gRPC {host}:{grpc_port}. "
        "Ctrl-C stops it."
    )

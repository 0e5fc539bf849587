"""The embedded server: start, polling for new versions, graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import grpc
import uvicorn

from kerasft.errors import UserError
from kerasft.serving.ports import cannot_listen, in_address, take_port
from kerasft.serving.server.grpc_services import add_services
from kerasft.serving.server.http.http_protocol import protocol_with_patience
from kerasft.serving.server.http.rest import RestApp
from kerasft.serving.server.models import Models
from kerasft.serving.server.service import Service
from kerasft.serving.server.settings import Settings

_CLOSING_SECONDS = 2  # for connections to close once nothing is in flight
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EmbeddedServer:
    """The server, in a running event loop, at `port` (REST) and `grpc_port`.

    Raises `UserError` if a port is in use, or the address is not of this machine.
    """

    def __init__(self, folders: Mapping[str, Path], settings: Settings, log: Callable[[str], None]):
        self._folders = folders
        self._settings = settings
        self._log = log
        self._listener = take_port(settings.host, settings.port, "--port")
        self.port = self._listener.getsockname()[1]
        self._models = Models(folders, batching=settings.batching, log=log)
        self._service = Service(self._models, settings, log)
        try:
            self._grpc, self.grpc_port = _build_grpc_server(self._service)
        except UserError:
            self._listener.close()
            raise
        self._rest = _build_rest_server(self._service)
        self._tasks: list[asyncio.Task] = []

    async def start(self) -> None:
        """Loads the models, then listens; raises `UserError` if no model loads."""
        await self._models.update()
        serving = self._models.serving()
        if not serving:
            raise UserError(
                "No model can be served: what is wrong with each stands above.",
                received=", ".join(sorted(self._folders)),
                fix="export them anew (kerasft export RUN_DIR).",
            )
        await self._grpc.start()
        self._tasks = [
            asyncio.create_task(self._rest.serve([self._listener])),
            asyncio.create_task(self._poll()),
        ]
        await self._wait_for_rest()
        host = in_address(self._settings.host)
        served = ", ".join(f"{name} version {number}" for name, number in serving.items())
        self._log(
            "Embedded server, for trying and for tests; TensorFlow Serving is the one for "
            f"production.\nServing {served}: REST http://{host}:{self.port}, "
            f"gRPC {host}:{self.grpc_port}. Ctrl-C stops it."
        )

    async def stop(self, seconds: float) -> None:
        """Answers requests in flight, at most some seconds long, refuses new ones, and ends."""
        if self._tasks:
            serving_rest, polling = self._tasks
            for listening in getattr(self._rest, "servers", ()):
                listening.close()  # new connections are refused
            await self._service.gate.close(seconds)
            self._rest.should_exit = True
            polling.cancel()
            await self._grpc.stop(0)
            await asyncio.gather(serving_rest, polling, return_exceptions=True)
        self._listener.close()
        self._service.close()
        self._models.close()

    async def _wait_for_rest(self) -> None:
        while not self._rest.started:
            if self._tasks[0].done():  # another process listened on the port meanwhile
                fault = self._tasks[0].exception()
                raise cannot_listen(self._settings.host, self.port, "--port", str(fault))
            await asyncio.sleep(0.01)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await self._models.update()
            except Exception:  # a bug here must not end polling
                self._log(traceback.format_exc())


async def serve_until_signal(
    folders: Mapping[str, Path], settings: Settings, log: Callable[[str], None]
) -> int:
    """Serves until a signal, whose number it returns; a second signal stops it at once.

    `folders` are the folders of versions of each model, by name.

    Raises:
        UserError: If a port is in use, the address is not of this machine, or no model loads.
    """
    loop = asyncio.get_running_loop()
    stop = loop.create_future()

    def take(number: int) -> None:
        if stop.done():
            os._exit(128 + number)
        stop.set_result(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, take, number)
    server = EmbeddedServer(folders, settings, log)
    seconds = 0.0
    starting = asyncio.create_task(server.start())
    try:
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # raises its error
            await stop
            seconds = settings.seconds
            log("Stopping: new requests are refused, those in flight are answered.")
        return stop.result()
    finally:
        starting.cancel()
        await server.stop(seconds)


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


def _build_rest_server(service: Service) -> _Uvicorn:
    settings = service.settings
    config = uvicorn.Config(
        RestApp(service),
        http=protocol_with_patience(settings.head_seconds, settings.body_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=_CLOSING_SECONDS,
    )
    return _Uvicorn(config)


def _build_grpc_server(service: Service) -> tuple[grpc.aio.Server, int]:
    settings = service.settings
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # else two servers could share a port unnoticed
            ("grpc.max_receive_message_length", settings.body_bytes),
            ("grpc.max_send_message_length", -1),
        ],
        maximum_concurrent_rpcs=settings.connections,
    )
    add_services(server, service)
    try:
        address = f"{in_address(settings.host)}:{settings.grpc_port}"
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        why = "the port is taken, or the address is not of this machine"
        raise cannot_listen(settings.host, settings.grpc_port, "--grpc-port", why) from error
    return server, port

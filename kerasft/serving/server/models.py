"""The served models: their versions, which one is active, and how that changes.

The newest version of each model is active. As in the server (`AvailabilityPreservingPolicy`), a new
one is loaded before the old one is unloaded, which stays while the new one cannot be loaded.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from kerasft.export.layout import GRAPH, versions_in
from kerasft.serving.server.batching import Batcher
from kerasft.serving.server.batching_parameters import UNBATCHED, load_batching_parameters
from kerasft.serving.server.servable import Servable, load_servable
from kerasft.serving.server.status import CODES, ServingError, as_serving_error, invalid
from kerasft.serving.server.warmup import warm_up

_MOST_ENDED = 20  # unloaded versions whose status is still reported, per model
_States = get_model_status_pb2.ModelVersionStatus.State


@dataclass
class _State:
    """State of a version, with the `error` if it could not be loaded."""

    name: str
    error: ServingError | None = None


class Model:
    """One model: a folder of versions.

    Attributes:
        serving: The active version; `None` before the first and after the last.
        states: State of each version, by number.
    """

    def __init__(self, name: str, folder: Path):
        self.name = name
        self.folder = folder
        self.serving: Servable | None = None
        self.states: dict[int, _State] = {}
        self._failed: dict[int, tuple] = {}  # fingerprint of a version's files when it failed

    def find_change(self) -> tuple[bool, int | None]:
        """Checks the folder; returns whether to unload without a successor, and what to load."""
        if not self.folder.is_dir():
            return False, None  # a drive that is gone for a moment is no reason to stop
        versions = versions_in(self.folder)
        if not versions:
            return self.serving is not None, None
        # A version without its graph is still being written; the active one is already loaded.
        current = None if self.serving is None else self.serving.version
        whole = [n for n, path in versions.items() if n == current or (path / GRAPH).is_file()]
        newest = max(whole, default=None)
        if newest is None or newest == current:
            return False, None
        if self._failed.get(newest) == _fingerprint(versions[newest]):
            return False, None
        return False, newest

    def note_failure(self, version: int, error: ServingError, fingerprint: tuple) -> None:
        """Records that a version cannot be loaded until its files change."""
        self.states[version] = _State("END", error)
        self._failed = {version: fingerprint}


class Models:
    """All models, and the threads that load and compute.

    Args:
        folders: Folder of versions of each model, by name.
        batching: Whether to batch requests.
        threads: Number of computing threads.
        log: Called with lines for the log.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        batching: bool,
        threads: int,
        log: Callable[[str], None],
    ):
        self._models = {name: Model(name, folder) for name, folder in sorted(folders.items())}
        self._batching = batching
        self._log = log
        self._computing: Executor = ThreadPoolExecutor(threads, "compute")
        self._loading: Executor = ThreadPoolExecutor(1, "load")
        self._draining: set[asyncio.Task] = set()

    def serving(self) -> dict[str, int]:
        """Returns the active version of each model, by name."""
        return {
            name: model.serving.version
            for name, model in self._models.items()
            if model.serving is not None
        }

    def find(self, spec: model_pb2.ModelSpec) -> Servable:
        """Returns the servable for a request; `ServingError` for an unknown model or version."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if spec.version_label:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        model = self._models.get(spec.name)
        found = model.serving if model is not None else None
        wanted = spec.version.value if spec.HasField("version") else None
        if found is None or wanted not in (None, found.version):
            request = (
                f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
            )
            raise ServingError("NOT_FOUND", f"Servable not found for request: {request}")
        return found

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of a model's versions; raises `ServingError` as `find`."""
        model = self._models.get(spec.name)
        states = model.states if model is not None else {}
        if spec.HasField("version"):
            wanted = spec.version.value
            if wanted not in states:
                raise ServingError(
                    "NOT_FOUND", f"Could not find version {wanted} of model {spec.name}"
                )
            states = {wanted: states[wanted]}
        if not states:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state in sorted(states.items(), reverse=True):
            found = response.model_version_status.add(
                version=version, state=_States.Value(state.name)
            )
            error = state.error
            found.status.error_code = CODES.index(error.code) if error else 0
            found.status.error_message = error.message if error else ""
        return response

    async def update(self) -> None:
        """Checks every model's folder once, and loads and unloads what has changed."""
        for model in self._models.values():
            try:
                goes, version = model.find_change()
                if goes:
                    self._retire(model, None)
                if version is not None:
                    await self._load(model, version)
            except OSError as error:  # an unreadable folder may be readable later
                self._log(f"{model.name}: {error}")

    def close(self) -> None:
        """Stops the threads."""
        self._computing.shutdown(wait=False, cancel_futures=True)
        self._loading.shutdown(wait=False, cancel_futures=True)

    async def _load(self, model: Model, version: int) -> None:
        folder = versions_in(model.folder)[version]
        fingerprint = _fingerprint(folder)
        model.states[version] = _State("LOADING")
        loop = asyncio.get_running_loop()
        try:
            servable, num_records = await loop.run_in_executor(
                self._loading, self._build, model.name, version, folder
            )
        except Exception as error:
            known = as_serving_error(error)
            model.note_failure(version, known, fingerprint)
            stays = "" if model.serving is None else f"; version {model.serving.version} goes on"
            self._log(f"{model.name}: version {version} cannot be loaded: {known.message}{stays}")
            return
        model.states[version] = _State("AVAILABLE")
        self._retire(model, servable)
        self._log(f"{model.name}: version {version} answers, warmed up with {num_records} requests")

    def _build(self, name: str, version: int, folder: Path) -> tuple[Servable, int]:
        servable = load_servable(name, version, folder)
        parameters = load_batching_parameters(folder) if self._batching else UNBATCHED
        servable.batcher = Batcher(servable.run, parameters, self._computing)
        return servable, warm_up(servable, folder)

    def _retire(self, model: Model, successor: Servable | None) -> None:
        """Replaces the active version, and unloads it once its requests are done."""
        old, model.serving = model.serving, successor
        if old is None:
            return
        model.states[old.version] = _State("UNLOADING")
        if successor is None:
            self._log(f"{model.name}: version {old.version} is gone from the disk, nothing answers")
        draining = asyncio.create_task(self._drain(model, old))
        self._draining.add(draining)
        draining.add_done_callback(self._draining.discard)

    async def _drain(self, model: Model, old: Servable) -> None:
        await old.batcher.drain()
        if model.states.get(old.version, _State("")).name == "UNLOADING":
            model.states[old.version] = _State("END")
        ended = [number for number, state in model.states.items() if state.name == "END"]
        for number in sorted(ended)[:-_MOST_ENDED]:
            del model.states[number]
        del old
        await asyncio.get_running_loop().run_in_executor(self._loading, gc.collect)


def _fingerprint(folder: Path) -> tuple:
    """Returns a value that changes with the files of a version."""
    found = []
    for path in sorted(folder.rglob("*")):
        state = path.stat()
        found.append((str(path), state.st_size, state.st_mtime_ns))
    return tuple(found)

"""The served models: their versions, which one is active, and how that changes.

The newest version of each model is active. As in the server (`AvailabilityPreservingPolicy`), a new
one is loaded before the old one is unloaded, which stays while the new one cannot be loaded.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from kerasft.export.layout import GRAPH, versions_in
from kerasft.serving.server.batching import Batcher
from kerasft.serving.server.batching_parameters import UNBATCHED, load_batching_parameters
from kerasft.serving.server.servable import Servable, load_servable
from kerasft.serving.server.status import NUMBERS, ServingError, as_serving_error, invalid
from kerasft.serving.server.warmup import warm_up

_Status = get_model_status_pb2.ModelVersionStatus


class _Model:
    """One model: a folder of versions."""

    def __init__(self, name: str, folder: Path):
        self.name = name
        self.folder = folder
        self.serving: Servable | None = None  # the active version
        self.states: dict[int, _Status] = {}
        self.failed: tuple[int, tuple] | None = None  # a version, and the state of its files

    def note(self, version: int, state: int, error: ServingError | None = None) -> None:
        """Records the state of a version, with the error if it could not be loaded."""
        found = self.states[version] = _Status(version=version, state=state)
        found.status.error_code = NUMBERS[error.code] if error else 0
        found.status.error_message = error.message if error else ""

    def find_newest(self, versions: Mapping[int, Path]) -> int | None:
        """Returns the version to load, `None` if the active one stays."""
        # A version without its graph is still being written; the active one is already loaded.
        current = None if self.serving is None else self.serving.version
        whole = [n for n, path in versions.items() if n == current or (path / GRAPH).is_file()]
        newest = max(whole, default=None)
        if newest in (None, current) or self.failed == (newest, _fingerprint(versions[newest])):
            return None
        return newest


class Models:
    """All models, and the threads that load and compute.

    Args:
        folders: Folder of versions of each model, by name.
        batching: Whether to batch requests.
        log: Called with lines for people.
    """

    def __init__(self, folders: Mapping[str, Path], *, batching: bool, log: Callable[[str], None]):
        self._models = {name: _Model(name, folder) for name, folder in sorted(folders.items())}
        self._batching = batching
        self._log = log
        self._computing = ThreadPoolExecutor(max(4, os.cpu_count() or 1), "compute")
        self._loading = ThreadPoolExecutor(1, "load")
        self._draining: set[asyncio.Task] = set()

    def serving(self) -> dict[str, int]:
        """Returns the active version of each model, by name."""
        found = {name: model.serving for name, model in self._models.items()}
        return {name: servable.version for name, servable in found.items() if servable is not None}

    def find(self, spec: model_pb2.ModelSpec) -> Servable:
        """Returns the servable for a request; `ServingError` for an unknown model or version."""
        if not spec.name:
            raise invalid("The request names no model.")
        if spec.version_label:
            raise invalid(f"There are no labels here, so no version {spec.version_label}.")
        model = self._models.get(spec.name)
        found = model and model.serving
        if found is None or (spec.HasField("version") and spec.version.value != found.version):
            raise _not_found(spec)
        return found

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of a model's versions; raises `ServingError` as `find`."""
        model = self._models.get(spec.name)
        states = sorted(model.states.items(), reverse=True) if model is not None else []
        wanted = spec.version.value if spec.HasField("version") else None
        found = [state for version, state in states if wanted in (None, version)]
        if not found:
            raise _not_found(spec)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=found)

    async def update(self) -> None:
        """Checks every model's folder once, and loads and unloads what has changed."""
        for model in self._models.values():
            try:
                if not model.folder.is_dir():
                    continue  # a drive that is gone for a moment is no reason to stop
                versions = versions_in(model.folder)
                if not versions:
                    self._replace(model, None)
                elif (newest := model.find_newest(versions)) is not None:
                    await self._load(model, newest, versions[newest])
            except OSError as error:  # an unreadable folder may be readable later
                self._log(f"{model.name}: {error}")

    def close(self) -> None:
        """Stops the threads."""
        self._computing.shutdown(wait=False, cancel_futures=True)
        self._loading.shutdown(wait=False, cancel_futures=True)

    async def _load(self, model: _Model, version: int, folder: Path) -> None:
        fingerprint = _fingerprint(folder)
        model.note(version, _Status.LOADING)
        try:
            servable, num_records = await asyncio.get_running_loop().run_in_executor(
                self._loading, self._build, model.name, version, folder
            )
        except Exception as error:
            known = as_serving_error(error)
            model.note(version, _Status.END, known)
            model.failed = (version, fingerprint)  # it is tried again when its files change
            stays = "" if model.serving is None else f"; version {model.serving.version} goes on"
            self._log(f"{model.name}: version {version} cannot be loaded: {known.message}{stays}")
            return
        model.note(version, _Status.AVAILABLE)
        self._replace(model, servable)
        self._log(f"{model.name}: version {version} answers, warmed up with {num_records} requests")

    def _build(self, name: str, version: int, folder: Path) -> tuple[Servable, int]:
        servable = load_servable(name, version, folder)
        parameters = load_batching_parameters(folder) if self._batching else UNBATCHED
        servable.most_rows = parameters.max_batch_size
        servable.batcher = Batcher(servable.run, parameters, self._computing)
        return servable, warm_up(servable, folder)

    def _replace(self, model: _Model, successor: Servable | None) -> None:
        """Replaces the active version, and unloads it once its requests are done."""
        old, model.serving = model.serving, successor
        if old is None:
            return
        model.note(old.version, _Status.UNLOADING)
        if successor is None:
            self._log(f"{model.name}: version {old.version} is gone from the disk, nothing answers")
        draining = asyncio.create_task(self._drain(model, old))
        self._draining.add(draining)
        draining.add_done_callback(self._draining.discard)

    async def _drain(self, model: _Model, old: Servable) -> None:
        await old.batcher.drain()
        if model.states[old.version].state == _Status.UNLOADING:  # and not loaded anew
            model.note(old.version, _Status.END)
        del old
        await asyncio.get_running_loop().run_in_executor(self._loading, gc.collect)


def _not_found(spec: model_pb2.ModelSpec) -> ServingError:
    version = f" version {spec.version.value}" if spec.HasField("version") else ""
    return ServingError("NOT_FOUND", f"There is no model {spec.name}{version}.")


def _fingerprint(folder: Path) -> tuple:
    """Returns a value that changes with the files of a version."""
    states = ((path, path.stat()) for path in sorted(folder.rglob("*")))
    return tuple((str(path), state.st_size, state.st_mtime_ns) for path, state in states)

"""A server for tests: ours, in a thread of this process, or the one that the environment names."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import runpy
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
import urllib3
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from kerasft.export.quantization import compress_weights, dtype_policy_of
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset
from kerasft.serving.model_path import find_served_models
from kerasft.serving.server.embedded import EmbeddedServer
from kerasft.serving.server.settings import Settings
from kerasft.tasks.task import build_task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.step.fine_tuner import FineTuner

make_models = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("make_models.py"))))

LABEL_NAMES = {"single": ("neg", "neutral", "pos"), "multi": ("plot", "cast", "music")}
REAL = "KERASFT_TF_SERVING"  # HOST:PORT,HOST:PORT of REST and gRPC


class Server:
    """Where a server is, and ways to ask it."""

    def __init__(self, rest: str, grpc_address: str):
        self.rest = rest
        self.grpc_address = grpc_address
        self.pool = urllib3.PoolManager(maxsize=32, retries=False, timeout=60)
        self.channel = grpc.insecure_channel(grpc_address)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.lines: list[str] = []  # what ours has told
        self.is_real = REAL in os.environ  # whose messages are others

    def ask(self, method, path, body=None, **options):
        """Returns status and JSON of an answer; what is no bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        answer = self.pool.request(method, f"http://{self.rest}{path}", body=body, **options)
        return answer.status, json.loads(answer.data)

    def post(self, path, body, **options):
        return self.ask("POST", f"/v1/models/{path}", body, **options)

    def get(self, path):
        return self.ask("GET", f"/v1/models/{path}")

    def versions(self, name="demo"):
        """Returns the state of each version."""
        found = self.get(name)[1]["model_version_status"]
        return {int(version["version"]): version["state"] for version in found}

    def wait_for(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.lines
            time.sleep(0.02)

    def close(self):
        self.channel.close()
        self.pool.clear()


@contextlib.contextmanager
def _serving(folder, *, batching=True, poll_seconds=0.05, **limits):
    """Runs our server over a folder, in a thread."""
    lines: list[str] = []
    folders = folder if isinstance(folder, dict) else find_served_models(folder)
    settings = Settings(
        port=0,
        grpc_port=0,
        batching=batching,
        poll_seconds=poll_seconds,
        **limits,
    )
    ready, stop = threading.Event(), threading.Event()
    found = []

    async def main():
        server = EmbeddedServer(folders, settings, lines.append)
        try:
            await server.start()
            found.append(server)
            ready.set()
            await asyncio.to_thread(stop.wait)
        finally:
            ready.set()
            await server.stop(5)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(60)
        assert found, lines
        server = Server(f"127.0.0.1:{found[0].port}", f"127.0.0.1:{found[0].grpc_port}")
        server.lines = lines
        server.embedded = found[0]
        yield server
        server.close()
    finally:
        stop.set()
        thread.join(60)
    assert not [line for line in lines if "Traceback" in line], lines


@pytest.fixture(scope="session")
def serving():
    """`with serving(folder) as server:` runs our server over a folder of models."""
    return _serving


@pytest.fixture(scope="session")
def making():
    """The functions that write the models of these tests."""
    return make_models


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A folder of models that holds `demo`, version 1. To be copied by who changes it."""
    folder = tmp_path_factory.mktemp("models")
    make_models.save_demo(folder / "demo" / "1")
    return folder


@pytest.fixture(scope="session")
def contract(request):
    """The server that keeps to the contract: the real one where it is named, else ours."""
    if REAL in os.environ:
        server = Server(*os.environ[REAL].split(","))
        yield server
        server.close()
        return
    with _serving(request.getfixturevalue("demo")) as server:
        yield server


@pytest.fixture
def predict(contract):
    """`predict(body)` returns status and answer of the demo's predict."""
    return functools.partial(contract.post, "demo:predict")


@pytest.fixture(scope="session")
def later(tmp_path_factory):
    """A version's folder that adds 100 to every length: to be told from `demo`."""
    folder = tmp_path_factory.mktemp("later") / "version"
    make_models.save_demo(folder, offset=100.0)
    return folder


@pytest.fixture
def own_demo(demo, tmp_path):
    """A copy of `demo` that a test may change."""
    return Path(shutil.copytree(demo, tmp_path / "models"))


@pytest.fixture(scope="session")
def publish():
    """`publish(version, folder)` puts a copy of a version into place, whole from the start."""

    def put(version, folder):
        beside = folder.with_name(f".{folder.name}")
        shutil.copytree(version, beside)
        os.replace(beside, folder)
        return folder

    return put


def _export_tiny(folder, *, kind="single", has_pairs=False, quantize=None):
    """Exports an untrained model, with a head that tells texts apart."""
    preset = load_preset("tiny_random", dtype=dtype_policy_of(quantize))
    task = build_task(kind, LABEL_NAMES.get(kind, ()))
    encoder = Encoder(preset.backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.0, seed=1)
    head.logits.kernel.assign(30.0 * head.logits.kernel.value)
    preprocessor = WordPiecePreprocessor(preset.vocabulary, sequence_length=48)
    model = FineTuner(encoder, head)
    compressed = compress_weights(model, quantize) if quantize else ()
    return export_saved_model(
        model,
        task=task,
        preprocessor=preprocessor,
        folder=folder,
        metadata={},
        has_pairs=has_pairs,
        options=ExportOptions(verify=False, compressed=compressed),  # verifying starts a process
    )


@pytest.fixture(scope="session")
def export_tiny():
    return _export_tiny

"""What the benchmarks of models share: a model to serve, and a server."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

NAME = "benchmark"


def build_model(folder: Path, preset_name: str, quantize: str | None = None, **options) -> Path:
    """Exports an untrained classifier; returns its version folder.

    Its answers are worth nothing, and take as long as others. `quantize` is that of
    `kerasft export`, `options` are `ExportOptions`.
    Run in a process of its own (`python serving_process.py FOLDER PRESET`).
    """
    from kerasft.export.quantization import compress_weights, dtype_policy_of
    from kerasft.export.saved_model import ExportOptions, export_saved_model
    from kerasft.models.encoder import Encoder
    from kerasft.models.presets import load_preset
    from kerasft.tasks.task import build_task
    from kerasft.text.wordpiece import WordPiecePreprocessor
    from kerasft.training.step.fine_tuner import FineTuner

    preset = load_preset(preset_name, dropout=0.1, dtype=dtype_policy_of(quantize))
    task = build_task("single", ("neg", "pos"))
    encoder = Encoder(preset.backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.1, seed=1)
    model = FineTuner(encoder, head)
    if quantize is not None:
        options["compressed"] = compress_weights(model, quantize)
    return export_saved_model(
        model,
        task=task,
        preprocessor=WordPiecePreprocessor(preset.vocabulary, sequence_length=256),
        folder=folder / NAME,
        metadata={},
        options=ExportOptions(verify=False, **options),
    )


@contextlib.contextmanager
def serving(model: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen, str, str]]:
    """Serves a model's folder; yields the process and the addresses: REST's predict, gRPC."""
    command = [sys.executable, "-m", "kerasft", "serve", str(model), "--embedded"]
    ports = ["--port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(
        [*command, *ports, *arguments], stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        told = ""
        while "Ctrl-C" not in told:
            line = process.stderr.readline()
            if not line:
                raise SystemExit(told)
            told += line
        address, grpc_address = re.search(r"REST (http://\S+), gRPC (\S+)\. ", told).groups()
        # Nobody reads what else the server tells; a full pipe would stop it.
        reading = threading.Thread(target=process.stderr.read, daemon=True)
        reading.start()
        yield process, f"{address}/v1/models/{model.name}:predict", grpc_address
        process.terminate()
        reading.join()
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def exported_model(folder: Path, preset_name: str) -> Path:
    """Exports a model in a process of its own; returns the folder of its versions."""
    subprocess.run([sys.executable, __file__, str(folder), preset_name], check=True)
    return folder / NAME


if __name__ == "__main__":
    build_model(Path(sys.argv[1]), sys.argv[2])

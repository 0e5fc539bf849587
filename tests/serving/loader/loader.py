"""Builds the C loader, hands it requests and reads its answers."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_text
from google.protobuf.message import Message
from tensorflow.core.protobuf import saved_model_pb2

SOURCE = Path(__file__).with_name("c_loader.c")
WARMUP = "assets.extra/tf_serving_warmup_requests"
# Left out, it leaves what servers up to 2.19 have; see kerasft/export/server_ops.json.
NEW_TEXT_LIBRARIES = ("_trimmer_ops.so", "_utf8_binarize_op.so")


class RefusedError(Exception):
    """The loader did not load the SavedModel."""


class Request(NamedTuple):
    """What one signature is asked."""

    signature: str
    inputs: Mapping[str, np.ndarray]


class Answer(NamedTuple):
    """What came of a request: outputs by name, or an error; and how long each repeat took."""

    outputs: dict[str, np.ndarray]
    error: str
    milliseconds: list[float]


class Signature(NamedTuple):
    """A signature's tensors in the graph: `TensorInfo` by name."""

    inputs: dict[str, Message]
    outputs: dict[str, Message]


def build_loader(folder: Path) -> Path | None:
    """Compiles the loader against the installed TensorFlow; returns `None` where gcc is missing."""
    if shutil.which("gcc") is None:
        return None
    libraries, loader = tf.sysconfig.get_lib(), folder / "c_loader"
    command = ["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
    command += ["-I", tf.sysconfig.get_include(), str(SOURCE), "-o", str(loader), "-L", libraries]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    subprocess.run([*command, f"-Wl,-rpath,{libraries}"], check=True)
    return loader


def text_libraries(*, newest: bool = True) -> list[Path]:
    """Returns TF-Text's op libraries, all of them or those of servers up to 2.19."""
    folder = Path(tensorflow_text.__file__).parent / "python" / "ops"
    found = sorted(folder.glob("_*.so"))
    return [path for path in found if newest or path.name not in NEW_TEXT_LIBRARIES]


def read_signatures(version: Path) -> dict[str, Signature]:
    """Returns a SavedModel's signatures by name."""
    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    return {
        name: Signature(dict(definition.inputs), dict(definition.outputs))
        for name, definition in saved.meta_graphs[0].signature_def.items()
        if not name.startswith("__")
    }


def read_warmup(version: Path) -> list[Request]:
    """Returns the requests of a version's warm-up file."""
    from tensorflow_serving.apis import prediction_log_pb2

    records = tf.data.TFRecordDataset(str(version / WARMUP)).as_numpy_iterator()
    return [_to_request(prediction_log_pb2.PredictionLog.FromString(r)) for r in records]


def _to_request(log) -> Request:
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    name = request.model_spec.signature_name or "serving_default"
    if kind == "predict_log":
        return Request(name, {key: tf.make_ndarray(t) for key, t in request.inputs.items()})
    examples = [example.SerializeToString() for example in request.input.example_list.examples]
    return Request(name, {"inputs": np.array(examples, object)})


def ask(
    loader: Path,
    version: Path,
    requests: Sequence[Request],
    *,
    libraries: Iterable[Path],
    folder: Path,
    repeats: int = 1,
    warmup: int = 0,
    config: tf.compat.v1.ConfigProto | None = None,
    xla: bool = False,
) -> list[Answer]:
    """Loads a SavedModel in a process of its own and replays requests.

    Args:
        loader: The program that `build_loader` made.
        version: The SavedModel.
        requests: The requests.
        libraries: The op libraries there are besides TensorFlow's own ops.
        folder: Where the files lie that are handed over.
        repeats: How often each request is asked.
        warmup: How many requests at the start are asked once only.
        config: The session's threads; else as TensorFlow chooses.
        xla: Whether XLA may compile; in a stock server it may not.

    Raises:
        RefusedError: The SavedModel could not be loaded.
    """
    signatures = read_signatures(version) if requests else {}
    asked, answered = folder / "requests", folder / "answers"
    with asked.open("wb") as file:
        for request in requests:
            _write_request(file, request, signatures[request.signature])
    options = ["-n", str(repeats), "-w", str(warmup)]
    if config is not None:
        (folder / "config").write_bytes(config.SerializeToString())
        options += ["-c", str(folder / "config")]
    if xla:
        options.append("-x")
    paths = [version, asked, answered, *libraries]
    result = subprocess.run(
        [str(loader), *options, *map(str, paths)], capture_output=True, text=True, errors="replace"
    )
    if result.returncode == 1:
        raise RefusedError(result.stderr)
    if result.returncode:
        raise RuntimeError(f"exit code {result.returncode}: {result.stderr}")
    times: dict[int, list[float]] = {}
    for line in result.stdout.splitlines():
        number, _, microseconds = line.split()
        times.setdefault(int(number), []).append(float(microseconds) / 1000)
    file = io.BytesIO(answered.read_bytes())
    return [
        _read_answer(file, list(signatures[request.signature].outputs), times[number])
        for number, request in enumerate(requests)
    ]


def _write_request(file, request: Request, signature: Signature) -> None:
    file.write(struct.pack("=I", len(request.inputs)))
    for name, value in request.inputs.items():
        info = signature.inputs[name]
        _write_text(file, info.name.encode())
        _write_tensor(file, value, info.dtype)
    file.write(struct.pack("=I", len(signature.outputs)))
    for info in signature.outputs.values():
        _write_text(file, info.name.encode())


def _write_text(file, text: bytes) -> None:
    file.write(struct.pack("=Q", len(text)) + text)


def _write_tensor(file, value: np.ndarray, dtype: int) -> None:
    value = np.asarray(value)
    file.write(struct.pack(f"=ii{value.ndim}q", dtype, value.ndim, *value.shape))
    if dtype == tf.string.as_datatype_enum:
        for text in value.reshape(-1).tolist():
            _write_text(file, text if isinstance(text, bytes) else text.encode())
    else:
        file.write(np.ascontiguousarray(value, tf.DType(dtype).as_numpy_dtype).tobytes())


def _read_answer(file, names: Sequence[str], milliseconds: list[float]) -> Answer:
    (code,) = _unpack(file, "i")
    if code:
        return Answer({}, _read_text(file).decode(errors="replace"), milliseconds)
    return Answer({name: _read_tensor(file) for name in names}, "", milliseconds)


def _unpack(file, form: str) -> tuple[int, ...]:
    return struct.unpack(f"={form}", file.read(struct.calcsize(f"={form}")))


def _read_text(file) -> bytes:
    return file.read(_unpack(file, "Q")[0])


def _read_tensor(file) -> np.ndarray:
    dtype, rank = _unpack(file, "ii")
    shape = _unpack(file, f"{rank}q")
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == tf.string.as_datatype_enum:
        return np.array([_read_text(file) for _ in range(count)], object).reshape(shape)
    kind = np.dtype(tf.DType(dtype).as_numpy_dtype)
    return np.frombuffer(file.read(count * kind.itemsize), kind).reshape(shape)


def make_requests(version: Path, texts: Mapping[str, Sequence[bytes]]) -> Iterator[Request]:
    """Yields a request to each signature of a SavedModel: texts, examples of them, or token ids.

    Args:
        version: The SavedModel.
        texts: `text` and `text_pair`, as long as each other.
    """
    for name, signature in read_signatures(version).items():
        inputs = {}
        for key, info in signature.inputs.items():
            if info.dtype != tf.string.as_datatype_enum:
                ids = np.arange(5, 15).reshape(2, 5)  # two rows that differ
                values = ids if key == "token_ids" else np.ones_like(ids)
                inputs[key] = values.astype(tf.DType(info.dtype).as_numpy_dtype)
            else:
                inputs[key] = np.array(texts[key] if key in texts else _examples(texts), object)
        yield Request(name, inputs)


def _examples(texts: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    examples = []
    for row in zip(*texts.values(), strict=True):
        example = tf.train.Example()
        for name, text in zip(texts, row, strict=True):
            example.features.feature[name].bytes_list.value.append(text)
        examples.append(example.SerializeToString())
    return examples

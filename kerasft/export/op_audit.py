"""Reads which ops a SavedModel holds, and says which stock TensorFlow Serving can run it.

The file is read as a protocol buffer: no op library is loaded and nothing of the model is run.

Not checked: whether an op has a kernel for the CPU and for its types, and versions of an op's
behaviour. The C loader in `tests/serving/` tries what this module foretells.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kerasft.errors import UserError, first_line
from kerasft.export.layout import GRAPH
from kerasft.export.server_ops import (
    FOREST_OPS,
    NEW_ATTRIBUTES,
    NEW_OPS,
    NEWEST_SERVER,
    OLDEST_SERVER,
    PYTHON_OPS,
    SERVERS,
    TEXT_OPS,
)

TENSORFLOW, TEXT, FORESTS, UNKNOWN = (
    "TensorFlow",
    "TensorFlow Text",
    "Decision Forests",
    "in no server",
)
_MOST_PLACES = 3  # where an op is shown to stand
_FUNCTION_PREFIXES = ("__inference_", "__forward_", "__backward_")
_XLA_FLAG = "--xla_cpu_compilation_enabled"


class RefusedOp(NamedTuple):
    """An op, or an attribute of one, that some or all servers lack."""

    op: str  # "EagerPyFunc", or "VarHandleOp.debug_name" for an attribute
    count: int
    places: tuple[str, ...]  # a few of its nodes, as "function: node"
    brought_by: tuple[str, ...]  # the layers, scopes or Python functions that they come from
    since: str | None  # the oldest server that has it; None: none has

    def __str__(self) -> str:
        return f"{self.op} (brought by {', '.join(self.brought_by)})"


@dataclasses.dataclass(frozen=True)
class Audit:
    """What a SavedModel asks of a server.

    Attributes:
        ops: How many nodes each op has: all meta graphs, all functions; calls of functions of the
            graph's own are not ops.
        refused: What no stock server has.
        newer: What some servers have, and older ones have not.
        oldest_server: The oldest stock server that has everything; `None` if none has.
        producer: The TensorFlow version that wrote the SavedModel; `""` if it does not say.
        warnings: What a server's owner should know besides, a sentence each.
    """

    ops: dict[str, int]
    refused: tuple[RefusedOp, ...]
    newer: tuple[RefusedOp, ...]
    oldest_server: str | None
    producer: str
    warnings: tuple[str, ...]

    def by_family(self) -> dict[str, dict[str, int]]:
        """Returns the ops and how many nodes each has, by the part of a server they belong to."""
        families: dict[str, dict[str, int]] = {}
        for op, count in self.ops.items():
            families.setdefault(family_of(op), {})[op] = count
        return families

    def refused_by(self, server: str) -> tuple[RefusedOp, ...]:
        """Returns what a server lacks.

        Args:
            server: One of `SERVERS`.
        """
        index = SERVERS.index(server)
        return (*self.refused, *(op for op in self.newer if SERVERS.index(op.since) > index))


def audit_saved_model(version: str | os.PathLike[str]) -> Audit:
    """Audits a SavedModel against the ops of the stock TensorFlow Serving images.

    Args:
        version: The folder that holds `saved_model.pb`.

    Raises:
        UserError: There is no `saved_model.pb`, or it cannot be read.
    """
    saved_model = _read(Path(version) / GRAPH)
    nodes = list(_nodes(saved_model))
    ops: dict[str, int] = {}
    lacking: dict[tuple[str, str | None], list[tuple[str, str]]] = {}
    for function, node in nodes:
        ops[node.op] = ops.get(node.op, 0) + 1
        for name, since in _demands(node):
            lacking.setdefault((name, since), []).append((function, node.name))
    found = [
        _describe(name, since, places)
        for (name, since), places in sorted(lacking.items(), key=lambda item: item[0][0])
    ]
    refused = tuple(op for op in found if op.since is None)
    newer = tuple(op for op in found if op.since is not None)
    oldest = max((op.since for op in newer), key=SERVERS.index, default=OLDEST_SERVER)
    return Audit(
        ops=dict(sorted(ops.items())),
        refused=refused,
        newer=newer,
        oldest_server=None if refused else oldest,
        producer=_producer(saved_model),
        warnings=tuple(_find_warnings(saved_model)),
    )


def family_of(op: str) -> str:
    """Returns which part of a server an op belongs to; `"in no server"` for the others."""
    if op in _text_ops():
        return TEXT
    if op in FOREST_OPS.split():
        return FORESTS
    return TENSORFLOW if is_core_op(op) and op not in PYTHON_OPS else UNKNOWN


@functools.cache
def registered_ops() -> frozenset[str]:
    """Returns every op that this process has, those of libraries loaded so far included."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    listed = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return frozenset(op.name for op in op_def_pb2.OpList.FromString(listed).op)


def is_core_op(op: str) -> bool:
    """Returns whether the TensorFlow of this process has an op, without any library beside it.

    `tf.raw_ops` is made when TensorFlow is built, so that libraries loaded later are not in it. It
    leaves out XLA's ops, which every server links as well.
    """
    import tensorflow as tf

    public = hasattr(tf.raw_ops, op) and not op.startswith("_")
    return public or (op.startswith("Xla") and op in registered_ops())


@functools.cache
def _text_ops() -> dict[str, str]:
    return {op: since for since, ops in TEXT_OPS.items() for op in ops.split()}


@functools.cache
def _new_in_servers() -> dict[str, str]:
    """Returns the oldest server of each op and `Op.attribute` that not all have."""
    tables = (NEW_OPS, NEW_ATTRIBUTES)
    return {name: since for table in tables for since, ops in table.items() for name in ops.split()}


def _read(path: Path):
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    if not path.is_file():
        raise UserError(
            "There is no SavedModel in this folder.",
            received=os.fspath(path.parent),
            expected=f"a folder with {GRAPH}",
            fix="give the version's folder, such as saved_models/imdb/3.",
        )
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        raise _unreadable(path, first_line(error)) from error
    if not saved_model.meta_graphs:
        raise _unreadable(path, "it holds no graph")
    return saved_model


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} cannot be read: {reason}.",
        expected="the file that tf.saved_model.save wrote",
        fix="export the model anew, or copy it once more.",
    )


def _nodes(saved_model) -> Iterator[tuple[str, object]]:
    """Yields every node that is no call of the graph's own functions, and its function's name."""
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        own = {function.signature.name for function in graph.library.function}
        yield from (("", node) for node in graph.node if node.op not in own)
        for function in graph.library.function:
            name = function.signature.name
            yield from ((name, node) for node in function.node_def if node.op not in own)


def _demands(node) -> Iterator[tuple[str, str | None]]:
    """Yields what of a node not all servers have, with the oldest one that has."""
    family, new = family_of(node.op), _new_in_servers()
    if family == UNKNOWN:
        yield node.op, None
    elif family == TEXT and _text_ops()[node.op] != OLDEST_SERVER:
        yield node.op, _text_ops()[node.op]
    elif node.op in new:
        yield node.op, new[node.op]
    for attribute in node.attr:
        name = f"{node.op}.{attribute}"
        if name in new:
            yield name, new[name]


def _describe(name: str, since: str | None, places: list[tuple[str, str]]) -> RefusedOp:
    shown = [f"{function}: {node}" if function else node for function, node in places]
    origins = list(dict.fromkeys(_origin(function, node) for function, node in places))
    return RefusedOp(
        op=name,
        count=len(places),
        places=tuple(shown[:_MOST_PLACES]),
        brought_by=tuple(origins[:_MOST_PLACES]),
        since=since,
    )


def _origin(function: str, node: str) -> str:
    """Returns the layer or scope of a node; where it has none, the Python function traced."""
    scope = node.rpartition("/")[0]
    if scope:
        return scope
    for prefix in _FUNCTION_PREFIXES:
        if function.startswith(prefix):
            return function.removeprefix(prefix).rstrip("0123456789").rstrip("_")
    return function or node


def _producer(saved_model) -> str:
    return saved_model.meta_graphs[0].meta_info_def.tensorflow_version


def _find_warnings(saved_model) -> Iterator[str]:
    import tensorflow as tf

    producer = _producer(saved_model)
    if _minor(producer) > _minor(NEWEST_SERVER):
        yield (
            f"Written by TensorFlow {producer}, newer than the newest server, {NEWEST_SERVER}: no "
            "server promises to load it. Export it with TensorFlow "
            f"{'.'.join(NEWEST_SERVER.split('.')[:2])}."
        )
    if _minor(tf.__version__) > _minor(NEWEST_SERVER):
        yield (
            f"Audited with TensorFlow {tf.__version__}: which of its ops are newer than the server "
            f"{NEWEST_SERVER} is not known."
        )
    if any(_is_compiled(meta_graph.graph_def) for meta_graph in saved_model.meta_graphs):
        yield f"Parts are compiled with XLA: a server for CPUs answers only with {_XLA_FLAG}."


def _minor(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(map(str.isdecimal, parts)) else ()


def _is_compiled(graph) -> bool:
    """Returns whether a function, or a call of one, asks for XLA (`jit_compile=True`)."""
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    return any(
        owner.attr["_XlaMustCompile"].b
        for owner in (*functions, *nodes)
        if "_XlaMustCompile" in owner.attr
    )

"""Audits the ops of a SavedModel: which stock TensorFlow Serving can run it.

The file is read as a protocol buffer: no op library is loaded and nothing is run. Not checked: CPU
kernels, their types, and versions of an op's behaviour. The C loader in `tests/serving/` tests
these predictions.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kerasft.errors import UserError, first_line
from kerasft.export.layout import GRAPH
from kerasft.export.private import list_ops
from kerasft.export.server_ops import (
    FOREST_OPS,
    HARMLESS_ATTRIBUTES,
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
_MOST_PLACES = 3  # examples of nodes per op
_FUNCTION_PREFIXES = ("__inference_", "__forward_", "__backward_")
_WHY = "stock servers lack it, or the Python function that it calls"
_FIX = "use TensorFlow's and TensorFlow Text's own ops in its place."
_JIT_COMPILE, _JIT_SCOPE = "jit_compile=True", "jit_scope"
_XLA_WHY = "stock servers have XLA compilation off, so that its first request fails"
_XLA_FIX = (
    "compute it with TensorFlow's own ops (keras.ops.scatter_update in place of "
    "keras.ops.slice_update) and without jit_compile, or serve it where XLA may compile: "
    "tensorflow_model_server --xla_cpu_compilation_enabled."
)
_MUST_COMPILE, _MAY_COMPILE = "_XlaMustCompile", "_XlaCompile"


class RefusedOp(NamedTuple):
    """An op that some or all servers lack or refuse to run."""

    op: str
    count: int
    places: tuple[str, ...]  # some of its nodes, as "function: node"
    brought_by: tuple[str, ...]  # the layers, scopes or Python functions of these nodes
    since: str | None  # the oldest server that runs it; None: none does
    why: str  # a clause: why servers refuse it
    fix: str  # a sentence: how to fix it

    def __str__(self) -> str:
        return f"{self.op} (brought by {', '.join(self.brought_by)})"


@dataclasses.dataclass(frozen=True)
class Audit:
    """What a SavedModel requires of a server.

    Attributes:
        ops: Nodes per op in all meta graphs and functions; calls of the graph's own functions are
            not ops.
        refused: Ops that no stock server has or runs.
        newer: Ops that only newer servers have.
        oldest_server: The oldest stock server that runs the model; `None` if none does.
        producer: TensorFlow version that wrote the SavedModel; `""` if unknown.
        warnings: Further advice for a server's owner, one sentence each.
    """

    ops: dict[str, int]
    refused: tuple[RefusedOp, ...]
    newer: tuple[RefusedOp, ...]
    oldest_server: str | None
    producer: str
    warnings: tuple[str, ...]

    def by_family(self) -> dict[str, dict[str, int]]:
        """Returns the number of nodes per op, grouped by the part of a server that provides it."""
        families: dict[str, dict[str, int]] = {}
        for op, count in self.ops.items():
            families.setdefault(family_of(op), {})[op] = count
        return families

    def refused_by(self, server: str) -> tuple[RefusedOp, ...]:
        """Returns the ops that a server, one of `SERVERS`, lacks."""
        index = SERVERS.index(server)
        return (*self.refused, *(op for op in self.newer if SERVERS.index(op.since) > index))


def audit_saved_model(version: str | os.PathLike[str]) -> Audit:
    """Audits a SavedModel against the ops of the stock TensorFlow Serving images.

    Args:
        version: The folder that holds `saved_model.pb`.

    Raises:
        UserError: If `saved_model.pb` is missing or unreadable.
    """
    saved_model = _read(Path(version) / GRAPH)
    nodes = list(_nodes(saved_model))
    ops = Counter(node.op for _, node in nodes)
    places: dict[str, list[tuple[str, str]]] = {}
    for function, node in nodes:
        places.setdefault(node.op, []).append((function, node.name))
    compiled = _find_compiled(saved_model)
    since = {op: _oldest_server_of(op) for op in sorted(ops.keys() - compiled.keys())}
    found = [_describe(op, since[op], places[op]) for op in since if since[op] != OLDEST_SERVER]
    found += [_describe(op, None, places, _XLA_WHY, _XLA_FIX) for op, places in compiled.items()]
    refused = tuple(op for op in found if op.since is None)
    newer = tuple(op for op in found if op.since is not None)
    oldest = max((op.since for op in newer), key=SERVERS.index, default=OLDEST_SERVER)
    return Audit(
        ops=dict(sorted(ops.items())),
        refused=refused,
        newer=newer,
        oldest_server=None if refused else oldest,
        producer=_producer(saved_model),
        warnings=(*_find_warnings(saved_model), *_find_ignored_attributes(nodes)),
    )


def family_of(op: str) -> str:
    """Returns the part of a server that provides an op, or `"in no server"`."""
    if op in TEXT_OPS:
        return TEXT
    if op in FOREST_OPS:
        return FORESTS
    return TENSORFLOW if is_core_op(op) and op not in PYTHON_OPS else UNKNOWN


@functools.cache
def registered_ops() -> frozenset[str]:
    """Returns every op of this process, including those of libraries loaded so far."""
    from tensorflow.core.framework import op_def_pb2

    return frozenset(op.name for op in op_def_pb2.OpList.FromString(list_ops()).op)


def is_core_op(op: str) -> bool:
    """Returns whether this process's TensorFlow has an op without any other library.

    `tf.raw_ops` is generated when TensorFlow is built, so it excludes ops of libraries loaded
    later. It also lacks XLA's ops, which every server links.
    """
    import tensorflow as tf

    public = hasattr(tf.raw_ops, op) and not op.startswith("_")
    return public or (op.startswith("Xla") and op in registered_ops())


def _oldest_server_of(op: str) -> str | None:
    family = family_of(op)
    if family == UNKNOWN:
        return None
    return (TEXT_OPS if family == TEXT else NEW_OPS).get(op, OLDEST_SERVER)


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
    """Yields every node except calls of the graph's own functions, and its function's name."""
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        own = {function.signature.name for function in graph.library.function}
        yield from (("", node) for node in graph.node if node.op not in own)
        for function in graph.library.function:
            name = function.signature.name
            yield from ((name, node) for node in function.node_def if node.op not in own)


def _describe(
    name: str, since: str | None, places: list[tuple[str, str]], why: str = _WHY, fix: str = _FIX
) -> RefusedOp:
    if since is not None:
        why, fix = f"it is new in {since}", f"use the server {since} or newer."
    shown = [": ".join(filter(None, place)) for place in places]
    origins = list(dict.fromkeys(_origin(function, node) for function, node in places))
    return RefusedOp(
        op=name,
        count=len(places),
        places=tuple(shown[:_MOST_PLACES]),
        brought_by=tuple(origins[:_MOST_PLACES]),
        since=since,
        why=why,
        fix=fix,
    )


def _origin(function: str, node: str) -> str:
    """Returns the layer or scope of a node, else the Python function traced."""
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


def _find_ignored_attributes(nodes) -> Iterator[str]:
    """Yields warnings for attributes that older servers do not know: they log and ignore them."""
    counts: Counter[str] = Counter()
    for _, node in nodes:
        counts.update(f"{node.op}.{name}" for name in node.attr if name not in HARMLESS_ATTRIBUTES)
    for name in sorted(counts.keys() & NEW_ATTRIBUTES.keys()):
        op, _, attribute = name.partition(".")
        yield (
            f"Servers older than {NEW_ATTRIBUTES[name]} ignore `{attribute}` of {op} (nodes: "
            f"{counts[name]}): they may answer otherwise."
        )


def _minor(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(map(str.isdecimal, parts)) else ()


def _find_compiled(saved_model) -> dict[str, list[tuple[str, str]]]:
    """Returns the places (function and node) that need XLA, by op.

    A stock TensorFlow Serving disables XLA at start (`DisableXlaCompilation` in its
    `model_servers/main.cc`, all versions of `SERVERS`). A model that needs XLA loads there, and its
    first request fails with "XLA compilation disabled". Three things need XLA:

    - Ops named `Xla...`. Their kernels compile when they run (TensorFlow's
      `compiler/jit/xla_ops_on_regular_devices.cc`), or do not exist for CPUs.
    - Functions with `jit_compile=True`.
    - Nodes under `tf.xla.experimental.jit_scope`.

    Functions that nothing calls are skipped: a server loads them but never runs them.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for meta_graph in saved_model.meta_graphs:
        for op, function, node in sorted(set(_compiled_places(meta_graph.graph_def))):
            found.setdefault(op, []).append((function, node))
    return found


def _compiled_places(graph) -> Iterator[tuple[str, str, str]]:
    """Yields op, function and node, for the main graph and all called functions."""
    functions = {function.signature.name: function for function in graph.library.function}
    called, waiting = set(), [""]
    while waiting:
        name = waiting.pop()
        if name and _is_marked(functions[name], _MUST_COMPILE):
            yield _JIT_COMPILE, name, ""
        for node in functions[name].node_def if name else graph.node:
            callees = {callee for callee in _called(node) if callee in functions}
            waiting += callees - called
            called |= callees
            if node.op.startswith("Xla"):
                yield node.op, name, node.name
            if _is_marked(node, _MAY_COMPILE):
                yield _JIT_SCOPE, name, node.name
            if _is_marked(node, _MUST_COMPILE):
                yield from ((_JIT_COMPILE, callee, "") for callee in callees)


def _called(node) -> Iterator[str]:
    """Yields the names of the functions that a node may call."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def _is_marked(owner, attribute: str) -> bool:
    return attribute in owner.attr and owner.attr[attribute].b

"""Finds what a SavedModel runs only where XLA may compile.

A stock TensorFlow Serving turns XLA compilation off when it starts (`DisableXlaCompilation` in its
`model_servers/main.cc`, all versions of `SERVERS`). A model that needs XLA loads there, and its
first request fails with "XLA compilation disabled". Three things need XLA:

- Ops whose name begins with `Xla`. Their kernels compile when they run (TensorFlow's
  `compiler/jit/xla_ops_on_regular_devices.cc`); the others have no kernel for CPUs at all.
- Functions with `jit_compile=True`.
- Nodes under `tf.xla.experimental.jit_scope`.
"""

from __future__ import annotations

from collections.abc import Iterator

JIT_COMPILE, JIT_SCOPE = "jit_compile=True", "jit_scope"
WHY = "stock servers have XLA compilation off, so that its first request fails"
FIX = (
    "compute it with TensorFlow's own ops (keras.ops.scatter_update in place of "
    "keras.ops.slice_update) and without jit_compile, or serve it where XLA may compile: "
    "tensorflow_model_server --xla_cpu_compilation_enabled."
)
_MUST_COMPILE, _MAY_COMPILE = "_XlaMustCompile", "_XlaCompile"


def find_compiled(saved_model) -> dict[str, list[tuple[str, str]]]:
    """Returns what needs XLA by its op, each with its places: a function and a node in it.

    Functions that nothing calls are left out: a server loads them and never runs them.

    Args:
        saved_model: A `SavedModel`, as a protocol buffer.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for meta_graph in saved_model.meta_graphs:
        for op, function, node in sorted(set(_compiled_places(meta_graph.graph_def))):
            found.setdefault(op, []).append((function, node))
    return found


def _compiled_places(graph) -> Iterator[tuple[str, str, str]]:
    """Yields op, function and node, from the main graph on through all functions called."""
    functions = {function.signature.name: function for function in graph.library.function}
    called, waiting = set(), [""]
    while waiting:
        name = waiting.pop()
        if name and _is_marked(functions[name], _MUST_COMPILE):
            yield JIT_COMPILE, name, ""
        for node in functions[name].node_def if name else graph.node:
            callees = {callee for callee in _called(node) if callee in functions}
            waiting += callees - called
            called |= callees
            if node.op.startswith("Xla"):
                yield node.op, name, node.name
            if _is_marked(node, _MAY_COMPILE):
                yield JIT_SCOPE, name, node.name
            if _is_marked(node, _MUST_COMPILE):
                yield from ((JIT_COMPILE, callee, "") for callee in callees)


def _called(node) -> Iterator[str]:
    """Yields the names of the functions that a node may call."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def _is_marked(owner, attribute: str) -> bool:
    return attribute in owner.attr and owner.attr[attribute].b

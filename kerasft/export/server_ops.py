"""Which graph ops the stock images of TensorFlow Serving have: read from `server_ops.json`.

A server links TensorFlow's ops, `tensorflow_text:ops_lib` and the inference ops of Decision
Forests 1.3.0 (`SUPPORTED_TENSORFLOW_OPS` in its `tensorflow_serving/model_servers/BUILD`).
TensorFlow's are not listed: they are those of `tf.raw_ops`, less what a server's older TensorFlow
has not. That part, `new_ops` and `new_attributes`, was read out of TensorFlow's wheels of each
minor version with `tests/serving/loader/list_new_ops.py`. TF-Text's list is the server's column:
2.12.1 is linked up to 2.19.1, 2.20.0 by 2.20.0. (TensorFlow 2.16.2 was read for 2.16.1.)
"""

from __future__ import annotations

import importlib.resources
import json

_TABLES = json.loads(
    (importlib.resources.files("kerasft.export") / "server_ops.json").read_text(encoding="utf-8")
)


def _by_name(table: str) -> dict[str, str]:
    """The first server that has each op, or knows each attribute."""
    return {name: server for server, names in _TABLES[table].items() for name in names}


# One image of each minor version, the oldest first.
SERVERS = tuple(_TABLES["servers"])
OLDEST_SERVER, NEWEST_SERVER = SERVERS[0], SERVERS[-1]
# Registered in every TensorFlow, but they call into the Python process that made the graph.
PYTHON_OPS = frozenset(_TABLES["python_ops"])
# Decision Forests' training ops are in no server.
FOREST_OPS = frozenset(_TABLES["forest_ops"])
TEXT_OPS = _by_name("text_ops")
# TensorFlow's ops, each with the oldest server that has it; what all have is not listed.
NEW_OPS = _by_name("new_ops")
# `Op.attribute`, likewise. Older servers load the node all the same, log the attribute and ignore
# it (tried with TensorFlow 2.12.1).
NEW_ATTRIBUTES = _by_name("new_attributes")
# Names and hints: without them a node answers the same.
HARMLESS_ATTRIBUTES = frozenset(_TABLES["harmless_attributes"])

"""The graph ops of the stock TensorFlow Serving images, read from `server_ops.json`.

A server links TensorFlow's ops, `tensorflow_text:ops_lib` and the inference ops of Decision Forests
1.3.0 (`SUPPORTED_TENSORFLOW_OPS` in its `tensorflow_serving/model_servers/BUILD`). TensorFlow's are
not listed: they are those of `tf.raw_ops`, except those newer than the server. `new_ops` and
`new_attributes` were read from TensorFlow's wheels of each minor version with
`tests/serving/loader/list_new_ops.py` (2.16.2 for 2.16.1). TF-Text's list is by server: 2.12.1 is
linked up to 2.19.1, 2.20.0 by 2.20.0.
"""

from __future__ import annotations

import importlib.resources
import json

_TABLES = json.loads(
    (importlib.resources.files("kerasft.export") / "server_ops.json").read_text(encoding="utf-8")
)


def _by_name(table: str) -> dict[str, str]:
    """Returns the first server that has each op, or knows each attribute."""
    return {name: server for server, names in _TABLES[table].items() for name in names}


# One image of each minor version, oldest first.
SERVERS = tuple(_TABLES["servers"])
OLDEST_SERVER, NEWEST_SERVER = SERVERS[0], SERVERS[-1]
# Registered in every TensorFlow, but call into the Python process that created the graph.
PYTHON_OPS = frozenset(_TABLES["python_ops"])
# No server has Decision Forests' training ops.
FOREST_OPS = frozenset(_TABLES["forest_ops"])
TEXT_OPS = _by_name("text_ops")
# TensorFlow's ops, each with the oldest server that has it; ops that all have are not listed.
NEW_OPS = _by_name("new_ops")
# `Op.attribute`, likewise. Older servers load the node, log the attribute and ignore it (tested
# with TensorFlow 2.12.1).
NEW_ATTRIBUTES = _by_name("new_attributes")
# Names and hints, which do not change a node's output.
HARMLESS_ATTRIBUTES = frozenset(_TABLES["harmless_attributes"])

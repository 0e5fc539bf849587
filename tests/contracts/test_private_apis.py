"""Private parts of third-party libraries are read in one file a layer, and nowhere else.

The package is parsed. What each of these files expects of a library has a test in `test_private.py`
beside the tests of its layer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kerasft

PACKAGE = Path(kerasft.__file__).parent
READ_HERE = (
    "processor.py",  # oneDNN, of TensorFlow
    "models/private.py",
    "training/step/private.py",
    "export/private.py",
    "studies/tuning/private.py",
    "serving/server/http/http_protocol.py",  # uvicorn's protocol, which a class is derived from
)
PRIVATE_MODULES = ("tensorflow.python", "uvicorn.protocols")
NAMED_TUPLES = {"_asdict", "_replace", "_fields", "_make"}
PUBLIC = {*NAMED_TUPLES, "_exit"}  # `os._exit`


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def find_faults(source: str, foreign: frozenset[str] = frozenset()) -> list[str]:
    """Lists what a file reads that is private to another library.

    Args:
        source: The file's text.
        foreign: Names that are known to be private to a library: they may not occur at all, not
            even as a method that overrides one or as the text of a `getattr`.
    """
    tree = ast.parse(source)
    own = set(_own_names(tree)) | PUBLIC
    faults = []
    for node in ast.walk(tree):
        for name, is_read_of_another in _names(node):
            if name in foreign or (is_read_of_another and is_private(name) and name not in own):
                faults.append(f"{node.lineno}: {name}")
        faults += [f"{node.lineno}: {module}" for module in _private_imports(node)]
    return faults


def _names(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yields the names in a node, and whether each is read of an object that is not `self`."""
    if isinstance(node, ast.Attribute):
        of = node.value
        is_self = isinstance(of, ast.Name) and of.id in ("self", "cls")
        yield node.attr, not is_self
    elif isinstance(node, ast.FunctionDef):
        yield node.name, False
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, False
    elif isinstance(node, ast.Call) and len(node.args) > 1:
        name = node.args[1]
        is_getattr = isinstance(node.func, ast.Name) and node.func.id.endswith("attr")
        if is_getattr and isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value, True


def _private_imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        modules = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    else:
        return
    for module in modules:
        parts = module.split(".")
        is_inside = "src" in parts or any(map(is_private, parts))
        if module.startswith(PRIVATE_MODULES) or (is_inside and parts[0] != "kerasft"):
            yield module


def _own_names(tree: ast.AST) -> Iterator[str]:
    """Yields the names that a file itself gives to attributes, methods and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if ast.unparse(node.value) == "self" else []


def foreign_names() -> frozenset[str]:
    """The private names that the files of `READ_HERE` read of a library or override in one."""
    names = set()
    for path in READ_HERE:
        if Path(path).name == "private.py":
            tree = ast.parse((PACKAGE / path).read_text())
            names |= {name for node in ast.walk(tree) for name, _ in _names(node)}
    return frozenset(filter(is_private, names))


def test_what_is_private_to_a_library_is_read_in_one_file_a_layer():
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    assert set(READ_HERE) <= files.keys()
    foreign = foreign_names()
    faults = {
        name: found
        for name, path in sorted(files.items())
        if name not in READ_HERE and (found := find_faults(path.read_text(), foreign))
    }
    assert faults == {}


@pytest.mark.parametrize("path", READ_HERE)
def test_each_of_these_files_reads_something_private(path):
    assert find_faults((PACKAGE / path).read_text(), foreign_names())


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("layer._self_attention_layer", "_self_attention_layer"),
        ("def f(optimizer):\n    return optimizer._momentums[0]", "_momentums"),
        ("self.backbone._layers", "_layers"),
        ("super()._save_trial(1)", "_save_trial"),
        ("getattr(layer, '_dropout', 0)", "_dropout"),
        ("setattr(layer, '_dropout', 0)", "_dropout"),
        ("class A(B):\n    def _known(self): pass", "_known"),
        ("class A(B):\n    def f(self): self._known()", "_known"),
        ("PATH = ('_known', 'x')", "_known"),
        ("from keras_tuner.src import protos", "keras_tuner.src.protos"),
        ("import keras.src.backend", "keras.src.backend"),
        ("def f():\n    from tensorflow.python.framework import ops", "tensorflow.python"),
        ("from sklearn.utils._testing import x", "sklearn.utils._testing.x"),
        ("from uvicorn.protocols.http.h11_impl import H11Protocol", "uvicorn.protocols"),
    ],
)
def test_a_read_that_is_not_allowed_is_seen(source, fault):
    faults = find_faults(source, frozenset({"_known"}))
    assert faults
    assert fault in faults[0]


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def f(self, other):\n        self._x = 1\n        return other._x",
        "class A:\n    def _g(self): pass\nTABLE = {'g': A._g}",
        "row._asdict()",
        "import os\nos._exit(1)",
        "from __future__ import annotations\nx.__name__",
        "from kerasft.client import _something",
        "self._anything",
    ],
)
def test_a_read_of_what_is_our_own_passes(source):
    assert find_faults(source) == []

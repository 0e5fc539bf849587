"""Programs of XLA: kept in the cache folder, a folder for each kind of machine, found again."""

import subprocess
import sys

import pytest

from kerasft.training.loop import compile_cache
from kerasft.training.loop.compile_cache import VARIABLE, keep_compiled_programs

PROGRAM = """
import sys
import tensorflow as tf
if sys.argv[1] == "keep":
    from kerasft.training.loop.compile_cache import keep_compiled_programs
    keep_compiled_programs()

@tf.function(jit_compile=True)
def compute(x):
    for index in range(3):
        x = tf.nn.softmax(tf.matmul(x, x)) + index
    return x

print(float(tf.reduce_sum(compute(tf.ones((8, 8))))))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "cache"


def run_program(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_second_process_finds_what_the_first_compiled(cache):
    run_program("leave")
    assert not cache.exists()  # control
    first = run_program("keep")
    (program,) = cache.glob("xla/*/*")
    made = program.stat().st_mtime_ns
    assert run_program("keep") == first
    assert [path.stat().st_mtime_ns for path in cache.glob("xla/*/*")] == [made]


def test_another_kind_of_machine_has_another_folder(cache, monkeypatch):
    here = keep_compiled_programs()
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(compile_cache, "cpu_flags", lambda: frozenset({"sse2"}))
    assert keep_compiled_programs() != here
    assert {path.parent for path in cache.glob("xla/*")} == {cache / "xla"}
    assert len(list(cache.glob("xla/*"))) == 2


def test_a_folder_of_the_users_own_stays(cache, monkeypatch):
    own = "--tf_xla_persistent_cache_directory=mine"
    monkeypatch.setenv(VARIABLE, own)
    assert keep_compiled_programs() is None
    assert compile_cache.os.environ[VARIABLE] == own


def test_other_flags_stay(cache, monkeypatch):
    monkeypatch.setenv(VARIABLE, "--tf_xla_auto_jit=2")
    folder = keep_compiled_programs()
    given = f"--tf_xla_auto_jit=2 --tf_xla_persistent_cache_directory={folder}"
    assert compile_cache.os.environ[VARIABLE] == given


@pytest.mark.parametrize("name", ["a file", "file"])
def test_a_cache_folder_that_cannot_be_had(cache, tmp_path, monkeypatch, name):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KERASFT_CACHE", str(tmp_path / name))
    assert keep_compiled_programs() is None
    assert not (tmp_path / "a file").exists()
    assert VARIABLE not in compile_cache.os.environ

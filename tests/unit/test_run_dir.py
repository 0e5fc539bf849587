"""Run directories: names, locks, and files that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasft import run_dir as run_dir_package
from kerasft.errors import UserError
from kerasft.run_dir import (
    RunDir,
    check_disk_space,
    create_run_dir,
    describe_environment,
    latest_run_dir,
    open_run_dir,
    telling_os_errors,
    to_json,
    write_atomically,
)

ROOT = Path(run_dir_package.__file__).parents[2]


def make_run(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "recipe.toml").touch()
    return folder / name


# --- folders


def test_runs_of_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda pattern: "20260102-030405")
    names = [create_run_dir("imdb", tmp_path / "runs").path.name for _ in range(3)]
    assert names == ["imdb-20260102-030405", "imdb-20260102-030405-2", "imdb-20260102-030405-3"]


def test_the_latest_run_of_a_name(tmp_path):
    for name in (
        "imdb-20260101-000000",
        "imdb-20260102-000000-2",
        "imdb-20260102-000000-10",
        "imdb-20260102-000000",
        "imdb_quick-20260105-000000",
        "imdb-of-mine",
    ):
        make_run(tmp_path, name)
    (tmp_path / "imdb-20260109-000000").mkdir()  # died before it wrote its recipe
    assert latest_run_dir("imdb", tmp_path).path.name == "imdb-20260102-000000-10"


def test_no_run_of_a_name(tmp_path):
    with pytest.raises(UserError, match="there is none at all"):
        latest_run_dir("imdb", tmp_path / "missing")
    make_run(tmp_path, "imdb_quick-20260105-000000")
    with pytest.raises(UserError, match=r'no run.*Did you mean "imdb_quick".*Received: .imdb_quik'):
        latest_run_dir("imdb_quik", tmp_path)


def test_open_run_dir(tmp_path):
    path = make_run(tmp_path, "imdb-20260102-000000")
    assert open_run_dir(path) == RunDir(path)
    with pytest.raises(
        UserError, match=r'not a run directory. Did you mean "imdb-20260102-000000"'
    ):
        open_run_dir(tmp_path / "imdb-20260102-00000")


def test_a_runs_folder_that_is_a_file(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match=r"cannot be written: .*Fix: "):
        create_run_dir("imdb", tmp_path / "runs")


# --- lock


def test_a_locked_directory_is_refused_and_free_again_afterwards(tmp_path):
    run_dir = RunDir(tmp_path)
    with run_dir.lock():
        with (
            pytest.raises(UserError, match=f"in use by another run.*process {os.getpid()} on"),
            RunDir(tmp_path).lock(),
        ):
            pytest.fail("two runs in one directory")
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()  # the loser left it alone
    with run_dir.lock():
        pass
    assert (tmp_path / ".lock").read_text() == ""


def test_the_lock_dies_with_its_process(tmp_path):
    code = (
        "import sys, pathlib; from kerasft.run_dir import RunDir\n"
        "with RunDir(pathlib.Path(sys.argv[1])).lock():\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match=f"process {process.pid} on"), RunDir(tmp_path).lock():
            pytest.fail("two runs in one directory")
        process.kill()
    with RunDir(tmp_path).lock():
        pass


def test_the_lock_removes_what_a_killed_process_left_half_written(tmp_path):
    half_written = tmp_path / ".history.csv.0123abcd.tmp"
    kept = [tmp_path / name for name in ("history.csv", "notes.tmp", ".hidden", ".cache/.a.tmp")]
    kept[-1].parent.mkdir()
    for path in (half_written, *kept):
        path.write_text("step")
    with RunDir(tmp_path).lock():
        assert not half_written.exists()
        assert all(path.exists() for path in kept)


def test_a_refused_lock_removes_nothing(tmp_path):
    """What is half written then is what the other process is at work on."""
    with RunDir(tmp_path).lock():
        half_written = tmp_path / ".history.csv.0123abcd.tmp"
        half_written.write_text("step")
        with pytest.raises(UserError, match="in use by another run"), RunDir(tmp_path).lock():
            pass
        assert half_written.exists()


def test_errors_of_the_run_itself_pass_the_lock_unchanged(tmp_path):
    with pytest.raises(PermissionError), RunDir(tmp_path).lock():
        raise PermissionError(errno.EACCES, "of the run")


# --- whole or not at all


@settings(deadline=None)  # the machine is shared
@given(content=st.binary() | st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_is_read(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("write") / "new folder" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_other_users_may_read_as_usual(tmp_path):
    write_atomically(tmp_path / "ours", "x")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.fixture
def fail(monkeypatch):
    """Makes a function of `os` fail."""

    def fail(call, error):
        monkeypatch.setattr(os, call, mock.Mock(side_effect=error))

    return fail


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, fail, call, number):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    fail(call, OSError(number, os.strerror(number)))
    with pytest.raises(UserError, match=r"disk is full: .*metrics.json.* free.*at least 3 kB"):
        write_atomically(path, "x" * 3000)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken disk")])
def test_other_failures_pass_unchanged_and_leave_nothing(tmp_path, fail, error):
    fail("replace", error)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "file", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_forbidden_place(tmp_path, fail):
    fail("replace", OSError(errno.EROFS, "Read-only file system"))
    with pytest.raises(UserError, match="cannot be written: Read-only file system"):
        write_atomically(tmp_path / "file", "x")


def test_a_folder_that_is_removed_meanwhile(tmp_path):
    told = r"/version cannot be written: .*/version/file is gone\..*Fix: Put them back"
    with pytest.raises(UserError, match=told), telling_os_errors(tmp_path / "version"):
        (tmp_path / "version" / "file").write_text("")


def test_check_disk_space(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(9, 0, 1_500_000_000))
    check_disk_space(tmp_path / "not" / "yet", 1_500_000_000, "the token store")
    with pytest.raises(
        UserError, match=r"space for the token store in .*1.5 GB free.*at least 2.0 GB"
    ):
        check_disk_space(tmp_path / "not" / "yet", 2_000_000_000, "the token store")


# --- JSON


def test_json_files_of_a_run(tmp_path):
    run_dir = RunDir(tmp_path)
    run_dir.write_json("metrics.json", {"test/accuracy": np.float32(0.5), "where": tmp_path})
    assert run_dir.read_json("metrics.json") == {"test/accuracy": 0.5, "where": str(tmp_path)}
    with pytest.raises(UserError, match=r"report.json is missing"):
        run_dir.read_json("report.json")
    run_dir.write_text("metrics.json", "{")
    with pytest.raises(UserError, match=r"metrics.json is damaged: .*line 1.*Fix: put back"):
        run_dir.read_json("metrics.json")


def test_json_is_strict():
    value = {"nan": float("nan"), "inf": np.float32("inf"), 1: np.arange(2), "ok": (True, "é")}
    assert to_json(value) == '{"nan": null, "inf": null, "1": [0, 1], "ok": [true, "é"]}'


# --- environment


def test_the_environment_is_described_without_tensorflow():
    code = (
        "import json, sys; from kerasft.run_dir import describe_environment;"
        "value = describe_environment();"
        "print(json.dumps([value, 'tensorflow' in sys.modules, 'numpy' in sys.modules]))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    environment, has_tensorflow, has_numpy = json.loads(output)
    assert (has_tensorflow, has_numpy) == (False, False)
    assert environment["packages"]["keras"]
    assert environment["cpu_count"] >= environment["usable_cpu_count"] >= 1
    assert environment["argv"][0] == "-c"


def test_only_named_variables_are_recorded(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--test")
    monkeypatch.setenv("SECRET_TOKEN", "do not tell")
    environment = describe_environment()
    assert environment["variables"]["XLA_FLAGS"] == "--test"
    assert "do not tell" not in to_json(environment)


def test_looking_whether_a_run_is_at_work_leaves_no_trace(tmp_path):
    run_dir = RunDir(tmp_path)
    assert not run_dir.is_in_use()
    assert list(tmp_path.iterdir()) == []
    with run_dir.lock():
        before = (tmp_path / ".lock").read_text()
        assert run_dir.is_in_use()
        assert (tmp_path / ".lock").read_text() == before
    assert not run_dir.is_in_use()
    assert before.startswith("process ")

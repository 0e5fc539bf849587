"""The console: which exit code and which words an exception becomes, and what closed streams do."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerasft import console
from kerasft.console import print_json, program, results_only, run_guarded
from kerasft.errors import UserError


def raising(error: BaseException):
    def function():
        raise error

    return function


def run_script(script: str, shell_part: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Runs a guarded function in a Python of its own, with redirections of the shell."""
    code = f"import sys\nfrom kerasft.console import *\n{script}"
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {shell_part}', sys.executable, code],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        timeout=60,
        check=False,
    )


# --- exit codes


def test_success_is_0_and_says_nothing(capsys):
    assert run_guarded(lambda: "whatever") == 0
    assert capsys.readouterr() == ("", "")


def test_a_user_error_is_2_one_message_and_no_traceback(capsys):
    error = UserError("The moon is missing.", received="sun", fix="wait for the night.")
    assert run_guarded(raising(error)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: The moon is missing. Received: 'sun'. Fix: wait for the night.\n"


def test_a_bug_is_1_and_shows_the_traceback(capsys):
    assert run_guarded(raising(ZeroDivisionError("by nothing"))) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "ZeroDivisionError: by nothing" in err


def test_an_error_of_the_disk_that_is_no_lack_of_space_is_a_bug(capsys):
    assert run_guarded(raising(OSError(errno.EIO, "broken"))) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("raised", "code"), [(0, 0), (2, 2), (None, 0), ("words", 1)])
def test_the_exits_of_argparse_pass(raised, code):
    assert run_guarded(raising(SystemExit(raised))) == code


def test_an_interrupt_is_130(capsys):
    assert run_guarded(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_an_interrupted_run_is_130_and_says_how_to_go_on(capsys, monkeypatch):
    from kerasft.training.loop.interrupt import Interrupted

    monkeypatch.setattr(console, "program", lambda name: name)
    assert run_guarded(raising(Interrupted(Path("runs/my imdb-1"), 7))) == 130
    err = capsys.readouterr().err
    assert "step 7" in err
    assert "kerasft run --resume 'runs/my imdb-1'\n" in err
    assert "Traceback" not in err


# --- TensorFlow's log


@pytest.mark.parametrize(
    ("own", "device", "level"),
    [
        (None, None, "3"),
        (None, "/dev/nvidiactl", "2"),  # errors of a GPU are still told
        ("0", None, "0"),  # the user's own stands
    ],
)
def test_tensorflow_is_told_to_be_quiet(monkeypatch, own, device, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    if own is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", own)
    monkeypatch.setattr(os.path, "exists", lambda path: path == device)
    run_guarded(lambda: None)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == level


# --- streams


MANY_LINES = "code = run_guarded(lambda: [print('line') for _ in range(100_000)])"


def test_a_reader_that_leaves_early_gets_no_complaint():
    script = f"{MANY_LINES}\nprint(code, file=sys.stderr)"
    result = run_script(script, "| head -n 1")
    assert result.stdout == "line\n"
    assert result.stderr == "141\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("writing", ["print('line')", "print_json({'a': 1})"])
def test_a_full_disk_under_stdout_is_told_once(writing):
    script = f"sys.exit(run_guarded(lambda: {writing}))"
    result = run_script(script, "> /dev/full")
    assert result.returncode == 2
    assert result.stderr == "error: The disk is full: not all of the output was written.\n"


def test_a_closed_stdout_is_nowhere_and_not_the_next_file(tmp_path):
    path = tmp_path / "precious"
    script = f"""
import os
def function():
    file = open({str(path)!r}, "w")
    print("lost")
    os.write(1, b"lost")
    file.write("kept")
    file.close()
sys.exit(run_guarded(function))
"""
    result = run_script(script, ">&-")
    assert (result.returncode, result.stderr) == (0, "")
    assert path.read_text() == "kept"


def test_closed_stdin_and_stderr_are_empty():
    script = "sys.exit(run_guarded(lambda: print(repr(sys.stdin.read()), file=sys.stderr)))"
    assert run_script(script, "<&-").stderr == "''\n"
    assert run_script(script, "2>&-").returncode == 0


def test_json_is_one_line_of_utf_8_whatever_the_locale():
    script = r"run_guarded(lambda: print_json({'text': 'caf\u00e9\nnoir', 'nan': float('nan')}))"
    code = f"from kerasft.console import *\n{script}"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert result.stdout.count(b"\n") == 1
    assert json.loads(result.stdout.decode()) == {"text": "café\nnoir", "nan": None}


def test_libraries_print_to_stderr_while_results_are_computed(capsys):
    with results_only():
        print("chatter")
    print_json({"result": 1})
    assert capsys.readouterr() == ('{"result": 1}\n', "chatter\n")


# --- how to call a program


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A virtual environment with a `kerasft`, below the working directory, not on PATH."""
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "kerasft").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    return scripts


def test_a_program_is_called_by_its_path_where_path_does_not_lead_to_it(environment, monkeypatch):
    assert program("kerasft") == ".venv/bin/kerasft"
    monkeypatch.chdir("/usr")
    assert program("kerasft") == str(environment / "kerasft")


def test_a_program_is_called_by_its_name_where_that_is_enough(environment, monkeypatch):
    assert program("not-installed") == "not-installed"
    monkeypatch.setenv("PATH", str(environment))
    assert program("kerasft") == "kerasft"


def test_another_environments_program_is_not_the_one(environment, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "kerasft").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(other))
    assert program("kerasft") == ".venv/bin/kerasft"


def test_where_matplotlib_keeps_its_fonts_is_no_news():
    logger = logging.getLogger("matplotlib")
    logger.setLevel(logging.NOTSET)
    run_guarded(lambda: None)
    assert logger.level == logging.ERROR

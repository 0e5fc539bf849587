"""Exit codes, stdout and stderr, and a quiet TensorFlow for the command line."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from kerasft.errors import UserError
from kerasft.run_dir import to_json

EXIT_BUG = 1
_SIGNALLED = 128  # plus the signal's number, as in shells
LAUNCHED_WORKERS = "KERASFT_LAUNCHED_WORKERS"  # how many processes `kerasft launch` started
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
EXIT_READER_GONE = 141  # 128 + SIGPIPE
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def run_guarded(function: Callable[[], object]) -> int:
    """Runs a command; exceptions become a message on stderr and an exit code.

    Returns:
        0 for success; 2 for a user error (one message, no traceback); 130 after Ctrl-C, 143 after
        SIGTERM; 141, silently, if the reader of the output is gone (`| head`); 1 for a bug
        (traceback).
    """
    _replace_closed_streams()
    _quiet_tensorflow()
    try:
        code = _run(function)
        _flush()
    except BrokenPipeError:
        _discard_output()
        return EXIT_READER_GONE
    return code


def print_lines(lines: Iterable[str]) -> None:
    """Writes lines to stdout and flushes; not through rich, which would wrap long paths."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Writes one JSON value as one line to stdout, flushed, in UTF-8 regardless of the locale."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(to_json(value) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """Sends what libraries print to stderr, so that stdout holds only results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def program(name: str) -> str:
    """Returns how to call a program of this environment: `kerasft`, `.venv/bin/tensorboard`, ..."""
    script = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if not script.is_file() or (found is not None and os.path.samefile(found, script)):
        return name
    inside = script.is_relative_to(Path.cwd())
    return shlex.quote(str(script.relative_to(Path.cwd()) if inside else script))


def _run(function: Callable[[], object]) -> int:
    try:
        function()
        _flush()
    except UserError as error:
        log(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt as error:
        log(_describe_interrupt(error))
        return _SIGNALLED + getattr(error, "signal_number", signal.SIGINT)
    except SystemExit as error:  # argparse has printed its message already
        return error.code if isinstance(error.code, int) else EXIT_BUG if error.code else 0
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _discard_output()  # stdout, most likely; files are written with messages of their own
            log("error: The disk is full: not all of the output was written.")
            return UserError.exit_code
        log(traceback.format_exc())
        return EXIT_BUG
    return 0


def _describe_interrupt(error: KeyboardInterrupt) -> str:
    # A run that saved its state says where; its class lives in a higher layer.
    run_dir = getattr(error, "run_dir", None)
    if run_dir is None:
        return "Interrupted."
    return f"{error}\nGo on from there: {resume_command(run_dir)}"


def resume_command(run_dir: Path, *overrides: str) -> str:
    """Returns the line that resumes a run, in as many processes as `kerasft launch` started."""
    kerasft = program("kerasft")
    workers = os.environ.get(LAUNCHED_WORKERS)
    launch = "" if workers is None else f"{kerasft} launch --workers {workers} -- "
    return " ".join([f"{launch}{kerasft} run --resume {shlex.quote(str(run_dir))}", *overrides])


def tensorboard_command(folder: Path, tensorboard: str | None = None) -> str:
    """Returns the shell line that opens TensorBoard on a folder of runs."""
    return f"{tensorboard or program('tensorboard')} --logdir {shlex.quote(str(folder))}"


def predict_command(model: Path, *, has_pairs: bool = False, kerasft: str | None = None) -> str:
    """Returns the shell line that predicts a sample text, or a pair, with an exported model."""
    texts = '--pair "A film." "A second text."' if has_pairs else '"A quiet, moving film."'
    return f"{kerasft or program('kerasft')} predict {shlex.quote(str(model))} {texts}"


def log(message: str) -> None:
    """Writes a message for people to stderr, on its own lines."""
    with contextlib.suppress(OSError):  # if nobody reads it, the exit code must do
        sys.stderr.write(message.rstrip("\n") + "\n")
        sys.stderr.flush()


def _quiet_tensorflow() -> None:
    """Limits TensorFlow's C++ log to errors; TensorFlow reads the variable when it is imported.

    Without a GPU driver errors are silenced, too: each start would report the missing GPU.
    """
    level = "2" if any(map(os.path.exists, _GPU_DRIVERS)) else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    # Keras imports matplotlib, which warns at each start if its font folder is not writable.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _flush() -> None:
    """Flushes both streams, while an error can still be reported."""
    sys.stdout.flush()
    sys.stderr.flush()


def _discard_output() -> None:
    """Redirects stdout to the null device; else Python fails once more when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _replace_closed_streams() -> None:
    """Reopens streams closed by the shell (`>&-`), or the next opened file would become stdout."""
    sys.stdin = sys.stdin or _open_null(0, "r")
    sys.stdout = sys.stdout or _open_null(1, "w")
    sys.stderr = sys.stderr or _open_null(2, "w")


def _open_null(descriptor: int, mode: str) -> TextIO:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    return open(descriptor, mode, encoding="utf-8", closefd=False)

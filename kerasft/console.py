"""What stands between a command and the terminal: exit codes, clean streams, a quiet TensorFlow."""

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
_SIGNALLED = 128  # and the signal's number, as shells have it
LAUNCHED_WORKERS = "KERASFT_LAUNCHED_WORKERS"  # how many processes `kerasft launch` started
EXIT_READER_GONE = 141  # 128 + SIGPIPE
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def run_guarded(function: Callable[[], object]) -> int:
    """Runs a command; whatever it raises becomes a message on stderr and an exit code.

    Args:
        function: The command.

    Returns:
        0 for success; 2 for a mistake of the user's (one message, no traceback); 130 when
        interrupted by Ctrl-C, 143 by SIGTERM; 141, without a word, when the reader of the output
        has gone (`| head`); 1 for a bug (traceback).
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
    """Writes lines to stdout, at once, and not through rich, which would wrap long paths."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Writes one JSON value as one line to stdout, at once, in UTF-8 whatever the locale."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(to_json(value) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """Sends what libraries print to stderr, so that stdout holds nothing but results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def program(name: str) -> str:
    """How to call a program of this environment from here: `kerasft`, `.venv/bin/kerasft`, ...

    Args:
        name: The program, `kerasft` or `tensorboard`.
    """
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
    except SystemExit as error:  # argparse: its message is told already
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
    """Returns the line that resumes a run, in as many processes as `kerasft launch` started.

    Args:
        run_dir: Folder of the run.
        overrides: What has changed, as `section.key=value`.
    """
    kerasft = program("kerasft")
    workers = os.environ.get(LAUNCHED_WORKERS)
    launch = "" if workers is None else f"{kerasft} launch --workers {workers} -- "
    return " ".join([f"{launch}{kerasft} run --resume {shlex.quote(str(run_dir))}", *overrides])


def tensorboard_command(folder: Path, tensorboard: str | None = None) -> str:
    """Returns the line that shows the runs in a folder.

    Args:
        folder: The folder.
        tensorboard: The command; `None` is the one of this environment.
    """
    return f"{tensorboard or program('tensorboard')} --logdir {shlex.quote(str(folder))}"


def predict_command(model: Path, *, has_pairs: bool = False, kerasft: str | None = None) -> str:
    """Returns the line that asks an exported model.

    Args:
        model: Its folder.
        has_pairs: Whether it reads pairs of texts.
        kerasft: The command; `None` is the one of this environment.
    """
    texts = '--pair "A film." "A second text."' if has_pairs else '"A quiet, moving film."'
    return f"{kerasft or program('kerasft')} predict {shlex.quote(str(model))} {texts}"


def log(message: str) -> None:
    """Writes a message for people to stderr, as lines of its own."""
    with contextlib.suppress(OSError):  # with nobody to read it, the exit code has to say it
        sys.stderr.write(message.rstrip("\n") + "\n")
        sys.stderr.flush()


def _quiet_tensorflow() -> None:
    """Turns TensorFlow's C++ log down to errors, which reads this when it is imported.

    Without a GPU driver errors are left out as well: one about the missing GPU is told each time.
    """
    level = "2" if any(map(os.path.exists, _GPU_DRIVERS)) else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    # Keras imports matplotlib, which says at each start if its folder for fonts cannot be written.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _flush() -> None:
    """Writes out what is buffered, while an error can still be told."""
    sys.stdout.flush()
    sys.stderr.flush()


def _discard_output() -> None:
    """Points stdout to nowhere, or Python would stumble over it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _replace_closed_streams() -> None:
    """Opens streams that the shell has closed (`>&-`), or the next file opened would be stdout."""
    sys.stdin = sys.stdin or _open_null(0, "r")
    sys.stdout = sys.stdout or _open_null(1, "w")
    sys.stderr = sys.stderr or _open_null(2, "w")


def _open_null(descriptor: int, mode: str) -> TextIO:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    return open(descriptor, mode, encoding="utf-8", closefd=False)

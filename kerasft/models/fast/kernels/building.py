"""Compiles the kernels for this machine, once, and loads them."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from kerasft.errors import UserError, first_line
from kerasft.folders import cache_folder
from kerasft.processor import cpu_flags

COMPILER = "CXX"
SOURCES = Path(__file__).parent
_FLAGS = ("-w", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_PATIENCE_SECONDS = 300
_WITHOUT = "set performance.kernels=false."

_loaded: dict[str, ModuleType] = {}  # TensorFlow registers an operation once in a process


def load_kernels(log: Callable[[str], None] | None = None) -> ModuleType:
    """Loads the kernels (`kerasft_gelu`, ...); the first call compiles for about ten seconds.

    The library is kept in the cache folder, one for each version of TensorFlow, of the sources, of
    the compiler, and each kind of processor. `log` is called before compiling.

    Raises:
        UserError: There is no C++ compiler, or it or TensorFlow refused.
    """
    import tensorflow as tf

    compiler = find_compiler()
    fingerprint = _fingerprint(compiler, tf.__version__)
    if fingerprint not in _loaded:
        library = cache_folder() / "kernels" / f"{fingerprint}.so"
        if not library.is_file():
            if log is not None:
                log(f"Compiling the kernels of the training step, once: {library}")
            compile_kernels(compiler, library)
        _loaded[fingerprint] = _load(library)
    return _loaded[fingerprint]


def find_compiler() -> str:
    """Returns the C++ compiler: that of `CXX`, or the first found of g++ and clang++.

    Raises:
        UserError: There is none.
    """
    named = os.environ.get(COMPILER)
    for name in [named] if named else ["g++", "clang++"]:
        found = shutil.which(name)
        if found:
            return found
    raise UserError(
        "There is no C++ compiler.",
        received=f"{COMPILER}={named}" if named else None,
        expected="g++ or clang++, which knows C++17",
        fix=f"install one (Debian and Ubuntu: apt install g++), or {_WITHOUT}",
    )


def compile_kernels(compiler: str, library: Path) -> None:
    """Compiles to a temporary file and renames it, so that two runs may compile at once.

    `compiler` is g++, or takes the same arguments.

    Raises:
        UserError: The compiler refused, or the file cannot be written.
    """
    import tensorflow as tf

    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            command = [compiler, *_FLAGS, *tf.sysconfig.get_compile_flags()]
            command += [str(SOURCES / "kernels.cc"), "-o", str(made)]
            subprocess.run(
                [*command, *tf.sysconfig.get_link_flags()],
                capture_output=True,
                text=True,
                check=True,
                timeout=_PATIENCE_SECONDS,
            )
            made.replace(library)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"The kernels cannot be compiled to {library}.",
            received=first_line(getattr(error, "stderr", None) or error),
            expected="a g++ or clang++ that knows C++17, and room for a megabyte",
            fix=f"name another compiler in {COMPILER}, or {_WITHOUT}",
        ) from error


def _fingerprint(compiler: str, version: str) -> str:
    """Returns a name that changes with all that the library depends on."""
    parts = [version, compiler, *_FLAGS, platform.machine(), *sorted(cpu_flags())]
    parts += [path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.[ch]*"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _load(library: Path) -> ModuleType:
    import tensorflow as tf

    try:
        return tf.load_op_library(str(library))
    except tf.errors.OpError as error:
        raise UserError(
            f"TensorFlow cannot load the kernels, {library}.",
            received=first_line(error),
            fix=f"remove that file, or {_WITHOUT}",
        ) from error

"""TensorBoard in a headless Chromium, where there is one."""

from __future__ import annotations

import contextlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

CHROMIUM = runpy.run_path(str(Path(__file__).with_name("chromium.py")))


@contextlib.contextmanager
def serve_tensorboard(folder: Path):
    """Starts TensorBoard on a folder; yields its address."""
    # By its name alone: the page shows it, and screenshots should not name anybody's folders.
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder.name, "--port", "0"]
    process = subprocess.Popen(
        [*command, "--host", "localhost"],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for line in process.stdout:
            if address := re.search(r"http://localhost:\d+", line):
                break
        else:
            pytest.fail("TensorBoard did not start")
        yield address[0]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def watch():
    """Opens a folder in TensorBoard and TensorBoard in a page; yields page and address."""
    if CHROMIUM["find_chromium"]() is None:
        pytest.skip("needs Chromium, of which CI makes no promise: apt-get install chromium")

    @contextlib.contextmanager
    def watch(folder, profile, **size):
        with serve_tensorboard(folder) as address, CHROMIUM["open_page"](profile, **size) as page:
            yield page, address

    return watch

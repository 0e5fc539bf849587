"""Freed memory is kept: a block that is used again costs no page faults."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from kerasft.training.loop.memory import resident_bytes

COUNT_FAULTS = """
import ctypes, resource
{before}
malloc = ctypes.CDLL(None)
malloc.malloc.restype = ctypes.c_void_p
malloc.free.argtypes = [ctypes.c_void_p]
def touch():
    block = malloc.malloc(24 << 20)
    ctypes.memset(block, 1, 24 << 20)
    malloc.free(block)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
KEEP = "from kerasft.training.loop.memory import keep_freed_memory; keep_freed_memory()"
RESET = "ctypes.CDLL(None).mallopt(-3, 1 << 20)"  # as for a block that glibc maps by itself


def count_faults(before: str) -> int:
    code = COUNT_FAULTS.format(before=before)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_block_that_is_used_again_costs_no_page_faults():
    assert count_faults(KEEP) < 100
    assert count_faults(RESET) > 5000  # control: 24 MB are 6,144 pages


def test_the_memory_that_is_taken_now_and_at_its_peak(monkeypatch):
    before = resident_bytes()
    with mmap.mmap(-1, 200_000_000) as block:  # of no heap, which may have had it already
        for start in range(0, len(block), mmap.PAGESIZE):
            block[start] = 1
        grown = resident_bytes() - before
    assert 150e6 < grown < 400e6

    def missing(*_):
        raise FileNotFoundError

    now = resident_bytes()
    monkeypatch.setattr(Path, "read_text", missing)
    assert resident_bytes() > now + 100e6  # the peak, of when the block was there

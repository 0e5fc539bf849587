"""What the processor can do, and oneDNN: on where TensorFlow would leave it off, and can be off."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from kerasft import processor
from kerasft.processor import ONEDNN_VARIABLE

ASK = "from kerasft.processor import onednn_is_on; print(onednn_is_on())"
# What the imports say and what the environment says, in a process of its own each: TensorFlow reads
# the variable once.
CASES = {
    "kerasft first": (f"import kerasft, tensorflow; {ASK}", {}, "True"),
    "switched off": (f"import kerasft, tensorflow; {ASK}", {ONEDNN_VARIABLE: "0"}, "False"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow decides on other processors")
def test_onednn_is_on_unless_it_is_switched_off(case):
    script, variables, expected = CASES[case]
    environment = {k: v for k, v in os.environ.items() if k != ONEDNN_VARIABLE} | variables
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("machine", "imported", "given", "expected"),
    [
        ("x86_64", False, None, "1"),
        ("x86_64", False, "0", "0"),
        ("AMD64", False, None, "1"),
        ("aarch64", False, None, None),
        ("x86_64", True, None, None),  # too late: what environment.json records would be untrue
    ],
)
def test_the_variable_is_set_where_tensorflow_will_read_it(
    monkeypatch, machine, imported, given, expected
):
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(ONEDNN_VARIABLE, given)
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor.sys, "modules", {"tensorflow": sys} if imported else {})
    processor.switch_onednn_on()
    assert os.environ.get(ONEDNN_VARIABLE) == expected


class TestCpuFlags:
    def flags(self, tmp_path, text):
        path = tmp_path / "cpuinfo"
        path.write_bytes(text)
        return processor.cpu_flags(path)

    def test_of_the_first_processor(self, tmp_path):
        text = b"processor\t: 0\nflags\t\t: avx2 amx_bf16\n\nprocessor\t: 1\nflags\t\t: avx2\n"
        assert self.flags(tmp_path, text) == {"avx2", "amx_bf16"}

    @pytest.mark.parametrize(
        "text", [b"", b"Features\t: fp asimd bf16\n", b"vmx flags\t: ept\nno colon\n", b"\xff\xfe"]
    )
    def test_none_where_there_is_no_such_line(self, tmp_path, text):
        assert self.flags(tmp_path, text) == frozenset()

    def test_none_where_the_system_does_not_tell(self, tmp_path):
        assert processor.cpu_flags(tmp_path / "missing") == frozenset()

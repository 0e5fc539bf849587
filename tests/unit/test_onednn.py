"""oneDNN is on where TensorFlow would leave it off, and can be switched off."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from kerasft import onednn

ASK = "from kerasft import onednn; print(onednn.is_on())"
# What the imports say and what the environment says, in a process of its own each: TensorFlow reads
# the variable once.
CASES = {
    "kerasft first": (f"import kerasft, tensorflow; {ASK}", {}, "True"),
    "switched off": (f"import kerasft, tensorflow; {ASK}", {onednn.VARIABLE: "0"}, "False"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow decides on other processors")
def test_onednn_is_on_unless_it_is_switched_off(case):
    script, variables, expected = CASES[case]
    environment = {k: v for k, v in os.environ.items() if k != onednn.VARIABLE} | variables
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
    monkeypatch.delenv(onednn.VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(onednn.VARIABLE, given)
    monkeypatch.setattr(onednn.platform, "machine", lambda: machine)
    monkeypatch.setattr(onednn.sys, "modules", {"tensorflow": sys} if imported else {})
    onednn.switch_on()
    assert os.environ.get(onednn.VARIABLE) == expected

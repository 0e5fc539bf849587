"""What the pages for people say can be typed: commands parse, and recipes exist.

The commands of a `sh` block are parsed by the command's own parsers. A block under the comment
`<!-- run -->` is also executed, in an empty folder.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from kerasft import cli
from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.runs.arguments import is_override

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("*/README.md")]
)
BLOCK = re.compile(r"^(<!-- run -->\n+)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>", "(", ")"}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str
    runs: bool


def blocks_of(page: str, text: str) -> list[Block]:
    return [Block(page, m[2], m[3], bool(m[1])) for m in BLOCK.finditer(text)]


def commands_of(script: str) -> list[list[str]]:
    """The simple commands of a shell script, without what is redirected."""
    commands = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        tokens = iter(lexer)
        for token in tokens:
            if token in OPERATORS:
                if ">" in token or "<" in token:
                    next(tokens)
                    continue
                commands.append(command)
                command = []
            else:
                command.append(token)
        commands.append(command)
    return [command for command in commands if command]


class Parsed(Exception):  # noqa: N818 - no error: it ends a command that was only to be parsed
    """Carries the arguments that a command's own parser read."""


def parse(command: list[str]) -> argparse.Namespace | None:
    """Has our own commands parse their arguments and do no more; `None` for other programs."""
    program, *arguments = command
    name = Path(program).name
    if name == "python" and arguments[:1] == ["-m"] and arguments[1].startswith("kerasft"):
        module = importlib.import_module(arguments[1])
        arguments = arguments[2:]
    elif name == "kerasft":
        module = importlib.import_module("kerasft.__main__")
    else:
        return None
    parser = argparse.ArgumentParser
    with pytest.MonkeyPatch.context() as patch:
        for method in ("parse_args", "parse_known_intermixed_args"):
            patch.setattr(parser, method, _only(getattr(parser, method)))
        # What `run_guarded` would make an exit code of is to be seen here.
        patch.setattr(module, "run_guarded", lambda function: function())
        patch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(Parsed) as parsed:
            module.main()
    found = parsed.value.args[0]
    if isinstance(found, argparse.Namespace):
        return found
    arguments, unknown = found
    assert not unknown
    return arguments


def _only(original):
    def parse_and_stop(self, *arguments, **options):
        raise Parsed(original(self, *arguments, **options))

    return parse_and_stop


def check(command: list[str]) -> None:
    """Checks a command: its arguments, its recipe and its settings; of `make` the target."""
    if command[0] == "make":
        makefile = (REPOSITORY / "Makefile").read_text()
        targets = [word for word in command[1:] if "=" not in word]
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
        return
    arguments = parse(command)
    recipe = getattr(arguments, "recipe", None)
    if recipe is not None and is_override(recipe):  # as `kerasft run` takes it, too
        arguments.overrides, recipe = [recipe, *arguments.overrides], None
    if recipe is not None and Path(recipe).suffix == ".toml":
        recipe = "imdb"  # somebody's own, which settings are common to
    if hasattr(arguments, "overrides"):
        run = getattr(arguments, "run_dir", "imdb-")  # runs/classify-20261126-101500
        usual = getattr(arguments, "usual_recipe", Path(run).name.partition("-")[0])
        load_recipe(recipe or usual, arguments.overrides)


BLOCKS = [block for page in PAGES for block in blocks_of(page.name, page.read_text())]
SHELL = [block for block in BLOCKS if block.language == "sh"]
COMMANDS = [command for block in SHELL for command in commands_of(block.text)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_parses(command):
    check(command)


@pytest.mark.parametrize(
    "block", [b for b in SHELL if b.runs], ids=lambda b: b.text.splitlines()[0]
)
def test_a_block_runs(block, tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "python"], ids=lambda b: b.text.splitlines()[-1]
)
def test_python_is_python(block):
    ast.parse(block.text)


# --- the tests' own test

EXAMPLE = """
<!-- run -->
```sh
kerasft list  # all of them
echo "a | b" | kerasft predict saved_models/imdb - > labels.jsonl
```

```sh
.venv/bin/python -m kerasft.pipelines.imdb --recipe imdb_quick \\
    training.epochs=1
```

```toml
[data]
```
"""


def test_blocks_and_commands_are_found():
    first, second, third = blocks_of("example.md", EXAMPLE)
    assert (first.runs, second.runs, third.language) == (True, False, "toml")
    assert commands_of(first.text) == [
        ["kerasft", "list"],
        ["echo", "a | b"],
        ["kerasft", "predict", "saved_models/imdb", "-"],
    ]
    (command,) = commands_of(second.text)
    assert command[-2:] == ["imdb_quick", "training.epochs=1"]


@pytest.mark.parametrize(
    "line",
    [
        "kerasft lst",
        "kerasft list --verbose",
        "kerasft run imdb_quik",
        "kerasft show imdb training.epoch=1",
        "python -m kerasft.pipelines.imdb --recipe imdb_quik",
        "python -m kerasft.pipelines.imbd",
        "python -m kerasft.pipelines.imdb --recipe mine.toml training.epochs=none",
        "make imbd",
    ],
)
def test_control_what_cannot_be_typed_is_found(line):
    (command,) = commands_of(line)
    with pytest.raises((UserError, SystemExit, ModuleNotFoundError, AssertionError)):
        check(command)


def test_the_readme_has_commands():
    assert any(block.page == "README.md" and block.runs for block in SHELL)
    assert {command[1] for command in COMMANDS if Path(command[0]).name == "kerasft"} <= set(
        cli.COMMANDS
    )

"""How far a reader follows a recipe: the files that get it from `run` to the first step."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import types
from collections import Counter
from pathlib import Path

import pytest

import kerasft
from kerasft.recipe import load_recipe
from kerasft.recipe.sections import SECTIONS
from kerasft.runs import train
from kerasft.training.step.fine_tuner import FineTuner

MAX_FILES = 25  # 35 is the aim of the plan, 54 where it began
MAX_CLIMBS = 4  # of 8
DEPTH = 4  # objects in objects that are looked into
LOOKS = 5  # at the calls of one function, which are alike


class FirstStepError(Exception):
    """Ends the run where the reading ends."""


class Reading:
    """Watches which files get a recipe, a section of it, or an object that holds either.

    Args:
        folder: The package; calls of functions elsewhere are passed over.
        kinds: The classes of recipe and sections.
    """

    def __init__(self, folder: Path, kinds: tuple[type, ...]):
        self._folder, self._kinds = f"{folder}/", kinds
        self._looks = Counter()
        self.entered: set[str] = set()
        self.files: dict[str, set[str]] = {}
        self.climbs: set[tuple[str, str]] = set()

    def __enter__(self):
        sys.setprofile(self._notice)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _notice(self, frame, event, _):
        code = frame.f_code
        if event != "call" or code.co_name == "<module>":
            return
        if not code.co_filename.startswith(self._folder):
            return
        self._looks[code] += 1
        if self._looks[code] > LOOKS:
            return
        sys.setprofile(None)  # what the look itself calls is no reading
        name, above = self._name(frame), self._callers(frame)
        self.entered.add(name)
        num_arguments = code.co_argcount + code.co_kwonlyargcount
        arguments = [frame.f_locals.get(known) for known in code.co_varnames[:num_arguments]]
        if any(self._holds(value, DEPTH) for value in arguments):
            self.files.setdefault(name, set()).add(code.co_qualname)
        if above and above[0] != name and name in above:
            self.climbs.add((above[0], name))
        sys.setprofile(self._notice)

    def _name(self, frame) -> str:
        return frame.f_code.co_filename.removeprefix(self._folder)

    def _callers(self, frame) -> list[str]:
        names = []
        while frame := frame.f_back:
            if frame.f_code.co_filename.startswith(self._folder):
                names.append(self._name(frame))
        return names

    def _holds(self, value: object, depth: int) -> bool:
        if isinstance(value, self._kinds):
            return True
        if depth == 0:
            return False
        if isinstance(value, types.MethodType):
            parts = [value.__self__]
        elif isinstance(value, list | tuple):
            parts = value
        elif isinstance(value, dict):
            parts = value.values()
        elif type(value).__module__.startswith("kerasft."):
            parts = getattr(value, "__dict__", {}).values()
        else:
            return False
        return any(self._holds(part, depth - 1) for part in list(parts)[:50])


def test_a_recipe_is_followed_through_few_files(tmp_path, monkeypatch, quick):
    def end(*_):
        raise FirstStepError

    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("imdb_sample", {**quick, "training.steps": 1})
    monkeypatch.setattr(FineTuner, "train_step", end)
    kinds = (type(recipe), *SECTIONS.values())
    with (
        Reading(Path(kerasft.__file__).parent, kinds) as reading,
        pytest.raises(FirstStepError),
    ):
        train.run(recipe)
    assert len(reading.entered) > 40  # it went all the way
    assert len(reading.files) <= MAX_FILES, "\n".join(map(str, sorted(reading.files.items())))
    assert len(reading.climbs) <= MAX_CLIMBS, sorted(reading.climbs)


# --- control: what is handed on, held or climbed to is seen

SOURCES = {
    "top": "def run(recipe, other):\n    other.use(recipe, run_again)\n    other.idle(3)\n"
    "def run_again(recipe): pass\n",
    "below": "import below_that\n"
    "def use(held, call):\n    call(held)\n    below_that.take([held])\ndef idle(number): pass\n",
    "below_that": "def take(several): pass\n",
    "beside": "def use(recipe, call): pass\ndef idle(number): pass\n",
}


@dataclasses.dataclass
class Recipe:
    name: str = "control"


@pytest.mark.parametrize(
    ("argument", "other", "files", "climbs"),
    [
        (Recipe(), "below", {"top.py", "below.py", "below_that.py"}, {("below.py", "top.py")}),
        (Recipe(), "beside", {"top.py", "beside.py"}, set()),
        ("no recipe", "below", set(), {("below.py", "top.py")}),
    ],
)
def test_control_of_the_count(tmp_path, monkeypatch, argument, other, files, climbs):
    modules = {}
    for name in reversed(SOURCES):
        path = tmp_path / f"{name}.py"
        path.write_text(SOURCES[name])
        spec = importlib.util.spec_from_file_location(name, path)
        modules[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, modules[name])
        spec.loader.exec_module(modules[name])
    with Reading(tmp_path, (Recipe,)) as reading:
        modules["top"].run(argument, modules[other])
    assert set(reading.files) == files
    assert reading.climbs == climbs

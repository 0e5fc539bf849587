"""Finds a recipe, reads it, and writes it back as TOML."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from kerasft.errors import UserError, nearest
from kerasft.recipe.check import TUNING, find_faults, find_heading_faults, flatten, raise_faults
from kerasft.recipe.conflicts import find_conflicts
from kerasft.recipe.durations import DURATION_FAMILIES
from kerasft.recipe.learning_sections import (
    AdapterSettings,
    AugmentationSettings,
    FreezingSettings,
    RegularizationSettings,
    TrainingSettings,
)
from kerasft.recipe.overrides import ORIGIN, parse_overrides
from kerasft.recipe.sections import (
    SECTIONS,
    DataSettings,
    EvaluationSettings,
    ExportSettings,
    LoggingSettings,
    ModelSettings,
    PerformanceSettings,
)
from kerasft.recipe.settings import SETTINGS
from kerasft.recipe.space import Dimension, read_space


class RecipeInfo(NamedTuple):
    """A shipped recipe, listed: `name`, `path` and its one-line `summary`."""

    name: str
    path: Path
    summary: str


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What to run, checked and complete.

    Args:
        name: Name of the recipe: its `name` key, else its file's stem.
        summary: One line on what it is for.
        shipped: Whether it is one of kerasft's own, not a file of the user's.
        overridden: `section.key` of what the command line or the caller changed.
        written: `{section.key: value}` as its file says, without defaults and overrides.
        data: Which examples.
        model: The encoder and its head.
        training: How long and how fast.
        freezing: What of the encoder is not trained.
        regularization: What keeps the model from learning by heart.
        augmentation: How training texts are altered.
        adapter: Which few weights are trained in place of all.
        performance: What is traded for memory or time.
        evaluation: The final evaluation.
        export: The SavedModel.
        tuning: What a search varies; a run does not heed it.
        logging: What TensorBoard is told.
    """

    name: str
    summary: str = ""
    shipped: bool = False
    overridden: frozenset[str] = frozenset()
    written: Mapping[str, object] = dataclasses.field(
        default_factory=dict, compare=False, repr=False
    )
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    freezing: FreezingSettings = dataclasses.field(default_factory=FreezingSettings)
    regularization: RegularizationSettings = dataclasses.field(
        default_factory=RegularizationSettings
    )
    augmentation: AugmentationSettings = dataclasses.field(default_factory=AugmentationSettings)
    adapter: AdapterSettings = dataclasses.field(default_factory=AdapterSettings)
    performance: PerformanceSettings = dataclasses.field(default_factory=PerformanceSettings)
    evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
    export: ExportSettings = dataclasses.field(default_factory=ExportSettings)
    tuning: tuple[Dimension, ...] = ()
    logging: LoggingSettings = dataclasses.field(default_factory=LoggingSettings)

    @property
    def may_fall_back(self) -> bool:
        """Whether the built-in sample may stand in for data that cannot be had.

        Only where a shipped recipe allows it and the user did not choose the data.
        """
        chosen = self.overridden & {"data.dataset", "data.data_dir"}
        return self.shipped and self.data.allow_builtin_sample and not chosen

    def values(self) -> dict[str, object]:
        """Every setting in effect as `{"section.key": value}`, unset ones being `None`."""
        return {
            name: getattr(getattr(self, setting.section), setting.key)
            for name, setting in SETTINGS.items()
        }

    def to_toml(self) -> str:
        """The recipe, defaults included, as TOML that loads to the same settings.

        Without `[tuning]`, which is for a search: see `space_to_toml`.
        """
        lines = [f"name = {_literal(self.name)}"]
        if self.summary:
            lines.append(f"summary = {_literal(self.summary)}")
        section = None
        for name, value in self.values().items():
            setting = SETTINGS[name]
            if setting.section != section:
                section = setting.section
                lines += ["", f"[{section}]"]
            if value is not None:
                note = "  # overridden" if name in self.overridden else ""
                lines.append(f"{setting.key} = {_literal(value)}{note}")
        return "\n".join(lines) + "\n"


def recipes_folder() -> Path:
    """The checkout's `pipelines/` where there is one, else the copy inside the package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "pipelines").is_dir():
        return checkout / "pipelines"
    return package / "_recipes"


def list_recipes() -> list[RecipeInfo]:
    """The shipped recipes in the order of their names."""
    infos = []
    for path in sorted(recipes_folder().glob("*.toml")):
        try:
            summary = str(_read_toml(path).get("summary", ""))
        except UserError:
            summary = "(cannot be read)"  # one broken file must not hide the others
        infos.append(RecipeInfo(path.stem, path, summary))
    return infos


def load_recipe(
    name_or_path: str | os.PathLike[str],
    overrides: Iterable[str] | Mapping[str, object] = (),
) -> Recipe:
    """Loads a recipe and checks all of it.

    Example:
    ```python
    recipe = load_recipe("imdb_quick", ["training.epochs=2"])
    recipe.training.epochs  # 2.0
    ```

    Args:
        name_or_path: Name of a shipped recipe, or path of a TOML file.
        overrides: `"section.key=TOML literal"` strings, or a mapping from `section.key` to
            values, where `None` unsets. An overridden duration replaces the recipe's own, whatever
            unit that has.

    Returns:
        The recipe with every default filled in.

    Raises:
        UserError: The recipe cannot be found or read, or has faults; all of them are told.
    """
    path = _find_recipe(name_or_path)
    document = _read_toml(path)
    values, faults = flatten(document, str(path))
    space, space_faults = read_space(document.get(TUNING, {}), str(path))
    changes, unread = parse_overrides(overrides)
    # In a mapping `None` unsets, and only what a recipe may leave unset.
    unset = {
        name
        for name, value in changes.items()
        if value is None and name in SETTINGS and SETTINGS[name].optional
    }
    changed = {name: value for name, value in changes.items() if name not in unset}
    name, summary = document.get("name", path.stem), document.get("summary", "")
    faults += find_heading_faults(name, summary, str(path)) + find_faults(values, str(path))
    faults += space_faults + unread + find_faults(changed, ORIGIN)
    raise_faults(f"Recipe {path.name}", faults)

    merged = {name: values[name] for name in values.keys() - unset - _replaced(changed)} | changed
    recipe = Recipe(
        name=name,
        summary=summary,
        shipped=path.resolve().parent == recipes_folder(),
        overridden=frozenset(changes),
        written=values,
        tuning=space,
        **{section: _build_section(section, merged) for section in SECTIONS},
    )
    raise_faults(f"Recipe {path.name}", list(find_conflicts(recipe)))
    return recipe


def _replaced(changed: Mapping[str, object]) -> set[str]:
    """The names that yield to an override: all members of a family of which one is given."""
    keys = {name.removeprefix("training.") for name in changed if name.startswith("training.")}
    return {
        f"training.{member}"
        for family in DURATION_FAMILIES.values()
        if family.given(keys)
        for member in family.members
    }


def _build_section(section: str, values: Mapping[str, object]) -> object:
    given = {
        SETTINGS[name].key: _convert(SETTINGS[name].type, value)
        for name, value in values.items()
        if SETTINGS[name].section == section
    }
    return SECTIONS[section](**given)


def _convert(kind: type, value: object) -> object:
    """TOML's integer where a number is wanted, and its list, as the settings hold them."""
    return kind(value) if kind in (float, tuple) else value


def _literal(value: object) -> str:
    """A TOML literal; JSON writes booleans and text alike, but for one control character."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _find_recipe(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a shipped recipe's name, or the path itself."""
    text = os.fspath(name_or_path)
    shipped = {path.stem: path for path in recipes_folder().glob("*.toml")}
    if text in shipped:
        return shipped[text]
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        raise UserError(
            "A recipe is a file, and this is a folder.",
            received=text,
            expected=f"a TOML file, or one of {', '.join(sorted(shipped))}",
        )
    if not os.path.exists(path):
        stem = text.replace("\\", "/").rpartition("/")[2].removesuffix(".toml")
        raise UserError(
            f"There is no such recipe.{nearest(stem, shipped)}",
            received=text,
            expected=f"one of {', '.join(sorted(shipped))}, or the path of a TOML file",
        )
    return path


def _read_toml(path: Path) -> dict[str, object]:
    text = ""
    try:
        # "utf-8-sig" drops the mark that some Windows editors put in front.
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not UTF-8 text (line {line}).", expected="UTF-8") from error
    except ValueError as error:  # tomllib's own, and Python's for a number too long
        last_line = f"at line {text.count(chr(10)) + 1}, the end of the document"
        raise UserError(
            f"{path} is not valid TOML: {error}.".replace("at end of document", last_line),
            fix='key = value lines under [section] lines; text stands in "quotes".',
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error

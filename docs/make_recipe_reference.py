"""Writes docs/recipes.md, the page of every setting: `python docs/make_recipe_reference.py`.

The tables come from the settings themselves, so that the page cannot say anything else than the
code. `tests/contracts/test_docs.py` fails when the page is older than the settings.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kerasft.metric import METRICS
from kerasft.recipe import DURATION_FAMILIES, Setting, describe_fields
from kerasft.recipe.durations import DurationFamily

PAGE = Path(__file__).with_name("recipes.md")

_INTRODUCTION = """\
# Recipes

<!-- Made by docs/make_recipe_reference.py from the sections in kerasft/recipe/: do not edit. -->

A recipe is a TOML file that says what to run. Every setting has a default, so a recipe holds only
what it wants otherwise: an empty file is a recipe. Those that come with kerasft are in
[pipelines/](../pipelines/README.md).

```sh
kerasft list                                   # the recipes that come with kerasft
kerasft show imdb_quick > my_reviews.toml      # a copy to edit, every setting explained
kerasft run my_reviews.toml training.epochs=1  # a file of yours, one setting replaced
```

- **Overrides** are `section.key=value`, the value a TOML literal. Text needs no quotes:
  `model.preset=bert_base_en_uncased`.
- **Mistakes are told all at once**, before anything is loaded: file, section and key, what was
  received, what was expected, and the nearest known name.
- **A name of its own.** A copy keeps the `name` it was made from. Change it, or its runs are filed
  under the old one.
- **`[tuning]` is a space**, for `kerasft tune`: which settings are searched, within what bounds.
  [tuning.md](tuning.md) tells how it is written.
- **The run keeps what it ran.** `recipe.toml` in the run directory is the whole recipe, defaults
  and overrides filled in. It can be run again as it is.
- **The header of a shipped recipe is a lab note**: the command, the hardware, what was measured,
  one variation worth trying.
"""

_DURATIONS = """\
## Durations

A duration may be given in one of several ways, at most one of each row; where none is given, the
default holds. An override replaces the recipe's own, whatever unit that has. A duration above zero
is at least one step.
"""

_FAMILY_WORDS = {
    "run": "length of the run",
    "warmup": "warm-up of the learning rate",
    "evaluate_every": "time between validations",
    "checkpoint_every": "time between checkpoints",
    "unfreeze_every": "time until one more layer is trained",
}

_METRICS = """\
## Metrics

What a run reports of each split, by the kind of label. The first of a kind is its headline where
the recipe names none. `training.monitor` may be any that is not of one label alone.
"""

_SPECIAL = str.maketrans({"|": r"\|", "<": r"\<", "[": r"\[", "*": r"\*"})


def render_page(
    settings: Iterable[Setting], families: Mapping[str, DurationFamily] = DURATION_FAMILIES
) -> str:
    """Renders the page.

    Args:
        settings: Every setting, those of one section together.
        families: The durations by name.
    """
    parts = (_render_sections(settings), _render_durations(families), _render_metrics())
    return "\n".join([_INTRODUCTION, *itertools.chain(*parts)])


def _render_sections(settings: Iterable[Setting]) -> Iterator[str]:
    for section, members in itertools.groupby(settings, key=lambda setting: setting.section):
        yield f"## `[{section}]`\n"
        rows = [
            (f"`{s.key}`", _default(s), s.expected.translate(_SPECIAL), s.help.translate(_SPECIAL))
            for s in members
        ]
        yield from _render_table(("setting", "default", "may be", "what it is"), rows)


def _render_durations(families: Mapping[str, DurationFamily]) -> Iterator[str]:
    yield _DURATIONS
    rows = [
        (
            _FAMILY_WORDS[name],
            ", ".join(f"`{member}`" for member in family.members),
            _family_default(family),
        )
        for name, family in families.items()
    ]
    yield from _render_table(("duration", "one of", "default"), rows)


def _render_metrics() -> Iterator[str]:
    yield _METRICS
    rows = [
        (
            kind,
            f"`{spec.name}{'/<label>' * spec.by_label}`",
            spec.unit,
            "more" if spec.higher_is_better else "less",
            "yes" if spec.is_headline else "",
        )
        for kind, specs in METRICS.items()
        for spec in specs
    ]
    yield from _render_table(
        ("kind of label", "metric", "unit", "better", "may be the headline"), rows
    )


def _family_default(family: DurationFamily) -> str:
    if family.default_key is None:
        return "never"
    return f"`{family.default_key} = {family.default_value:g}`"


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "unset"
    if isinstance(setting.default, bool):
        return f"`{str(setting.default).lower()}`"
    return f'`"{setting.default}"`' if isinstance(setting.default, str) else f"`{setting.default}`"


def _render_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for line in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(line)} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(render_page(describe_fields()), encoding="utf-8")

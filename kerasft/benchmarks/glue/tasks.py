"""The tasks of GLUE in one table: data, classes, metrics and the leaderboard's files.

TensorFlow is not imported, so that a misspelt task is reported at once.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import NamedTuple

from kerasft.errors import UserError, nearest
from kerasft.recipe import Recipe

ALL_TASKS = "all"


class Metric(NamedTuple):
    """A figure of the GLUE table: its `title`, and its `name` among a run's metrics."""

    title: str
    name: str


class LeaderboardFile(NamedTuple):
    """A file that the leaderboard requires.

    Attributes:
        name: Such as `MNLI-m.tsv`.
        dataset: The TFDS dataset that contains the texts.
        split: Its split.
        num_examples: Number of predictions that the leaderboard expects.
        answers: The leaderboard's word for each class, by TFDS's name of it; empty for a
            regression, with values from 0 to 5.
    """

    name: str
    dataset: str
    split: str
    num_examples: int
    answers: dict[str, str]


@dataclasses.dataclass(frozen=True)
class GlueTask:
    """One task of the GLUE table.

    Args:
        name: TFDS's name: `mrpc`.
        title: The leaderboard's name: `MRPC`.
        label_names: The classes, in label order; empty for regression.
        metrics: The figures of the table; their mean is the task's score.
        num_train: Examples of the official train split, to recognize a truncated one.
        test_splits: The reported splits: GLUE's validation, whose labels are public.
        files: The leaderboard files of this task.
    """

    name: str
    title: str
    label_names: tuple[str, ...]
    metrics: tuple[Metric, ...]
    num_train: int
    files: tuple[LeaderboardFile, ...]
    test_splits: tuple[str, ...]

    @property
    def dataset(self) -> str:
        """The name of its TFDS dataset."""
        return f"glue/{self.name}"

    @property
    def recipe(self) -> str:
        """The name of its recipe."""
        return f"glue_{self.name}"


def _read_tasks() -> dict[str, GlueTask]:
    """Reads `tasks.toml`; its first lines list the optional fields."""
    table = tomllib.loads(Path(__file__).with_name("tasks.toml").read_text(encoding="utf-8"))
    tasks = {}
    for name, row in table.items():
        label_names = tuple(row["label_names"])
        files = tuple(
            LeaderboardFile(
                name=file["name"],
                dataset=file.get("dataset", f"glue/{name}"),
                split=file.get("split", "test"),
                num_examples=file["num_examples"],
                answers=dict(zip(label_names, file.get("answers", label_names), strict=True)),
            )
            for file in row["files"]
        )
        tasks[name] = GlueTask(
            name=name,
            title=row["title"],
            label_names=label_names,
            metrics=tuple(Metric(*metric) for metric in row["metrics"].items()),
            num_train=row["num_train"],
            files=files,
            test_splits=tuple(row.get("test_splits", ["validation"])),
        )
    return tasks


TASKS = _read_tasks()
FILES = {file.name: file for task in TASKS.values() for file in task.files}


def find_tasks(text: str) -> tuple[GlueTask, ...]:
    """Returns the named tasks in table order; `text` is one, several with commas, or `all`.

    Raises `UserError` for an unknown name and suggests the nearest.
    """
    names = [name.strip() for name in text.split(",")]
    if names == [ALL_TASKS]:
        return tuple(TASKS.values())
    for name in names:
        if name not in TASKS:
            raise _unknown(name)
    return tuple(task for task in TASKS.values() if task.name in names)


def task_of(recipe: Recipe) -> GlueTask:
    """Returns the task whose data a recipe trains on and reports.

    Raises:
        UserError: The recipe's data or test splits are not those of a GLUE task, or testing is off.
    """
    folder, _, name = recipe.data.dataset.partition(":")[0].partition("/")
    if folder != "glue" or name not in TASKS:
        raise UserError(
            "The recipe's data is not that of a GLUE task.",
            received=f'data.dataset="{recipe.data.dataset}"',
            expected=f"one of {', '.join(task.dataset for task in TASKS.values())}",
            fix="kerasft run takes recipes of every kind.",
        )
    task = TASKS[name]
    if tuple(recipe.data.test_splits) != task.test_splits:
        raise UserError(
            f"The GLUE table reports {' and '.join(task.test_splits)} of {task.dataset}.",
            received=f"data.test_splits={list(recipe.data.test_splits)}",
            expected=f"data.test_splits={list(task.test_splits)}",
        )
    if not recipe.evaluation.test:
        raise UserError(
            f"The GLUE table reports {' and '.join(task.test_splits)} of {task.dataset}.",
            received="evaluation.test=false, which leaves them out",
            fix="leave it out, or use kerasft run, which makes no table.",
        )
    return task


def _unknown(name: str) -> UserError:
    if name == "ax":
        return UserError(
            "AX has no train split: it is predicted with the MNLI model.",
            received=name,
            fix="--task mnli --submission FOLDER writes AX.tsv, too.",
        )
    known = {**{task.title.lower(): task.name for task in TASKS.values()}, **{n: n for n in TASKS}}
    if name.lower() in known:
        hint = f' Did you mean "{known[name.lower()]}"?'
    else:
        hint = nearest(name, [*TASKS, ALL_TASKS])
    return UserError(
        f"There is no such GLUE task.{hint}",
        received=name,
        expected=f"{', '.join(TASKS)}, several of them with commas, or {ALL_TASKS}",
    )

"""The tasks of GLUE in one table: data, classes, metrics and the leaderboard's files.

Wang et al., 2018, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
Understanding". Datasets and classes are named as TFDS has them, the files as the leaderboard does.
Nothing here imports TensorFlow: a mistake in a task's name is answered at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from kerasft.errors import UserError, nearest
from kerasft.recipe import Recipe

ALL_TASKS = "all"


class Metric(NamedTuple):
    """A figure of the GLUE table: its `title`, and its `name` among a run's metrics."""

    title: str
    name: str


class LeaderboardFile(NamedTuple):
    """A file that the leaderboard wants.

    Attributes:
        name: Such as `MNLI-m.tsv`.
        dataset: The TFDS dataset that holds the texts.
        split: Its split.
        num_examples: How many answers the leaderboard counts.
        answers: What the leaderboard calls each class, by the name that TFDS gives it; empty
            where the answer is a number from 0 to 5.
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
        name: As TFDS has it: `mrpc`.
        title: As the leaderboard has it: `MRPC`.
        label_names: The classes, by their numbers; none where the label is a number.
        metrics: The figures of the table; their mean is the task's score.
        num_train: Examples of the official train split, to tell a truncated one.
        test_splits: The splits that are reported: GLUE's validation, whose labels are known.
        files: What the leaderboard wants of it.
    """

    name: str
    title: str
    label_names: tuple[str, ...]
    metrics: tuple[Metric, ...]
    num_train: int
    files: tuple[LeaderboardFile, ...]
    test_splits: tuple[str, ...] = ("validation",)

    @property
    def dataset(self) -> str:
        """The name of its TFDS dataset."""
        return f"glue/{self.name}"

    @property
    def recipe(self) -> str:
        """The name of its recipe."""
        return f"glue_{self.name}"


_ACCURACY = Metric("accuracy", "test/accuracy")
_BY_NUMBER = "0", "1"
_ENTAILMENT = "entailment", "not_entailment"
_INFERENCE = "entailment", "neutral", "contradiction"
_DUPLICATE = "not_duplicate", "duplicate"
_EQUIVALENT = "not_equivalent", "equivalent"


def _file(
    task: str, name: str, num_examples: int, answers: dict[str, str], split: str = "test"
) -> LeaderboardFile:
    return LeaderboardFile(name, f"glue/{task}", split, num_examples, answers)


def _classes(
    name: str,
    title: str,
    label_names: tuple[str, ...],
    sizes: tuple[int, int],
    *,
    answers: tuple[str, ...] | None = None,
    metrics: tuple[Metric, ...] = (_ACCURACY,),
) -> GlueTask:
    """A task of classes with one test file; `sizes` are those of train and test."""
    num_train, num_test = sizes
    wanted = dict(zip(label_names, answers or label_names, strict=True))
    return GlueTask(
        name=name,
        title=title,
        label_names=label_names,
        metrics=metrics,
        num_train=num_train,
        files=(_file(name, f"{title}.tsv", num_test, wanted),),
    )


def _mnli() -> GlueTask:
    answers = {name: name for name in _INFERENCE}
    mismatched = Metric("accuracy mismatched", "test_validation_mismatched/accuracy")
    return GlueTask(
        name="mnli",
        title="MNLI",
        label_names=_INFERENCE,
        metrics=(Metric("accuracy matched", "test/accuracy"), mismatched),
        num_train=392_702,
        test_splits=("validation_matched", "validation_mismatched"),
        files=(
            _file("mnli", "MNLI-m.tsv", 9796, answers, split="test_matched"),
            _file("mnli", "MNLI-mm.tsv", 9847, answers, split="test_mismatched"),
            _file("ax", "AX.tsv", 1104, answers),  # the diagnostics have no train split
        ),
    )


def _stsb() -> GlueTask:
    return GlueTask(
        name="stsb",
        title="STS-B",
        label_names=(),
        metrics=(Metric("Pearson", "test/pearson"), Metric("Spearman", "test/spearman")),
        num_train=5749,
        files=(_file("stsb", "STS-B.tsv", 1379, {}),),
    )


_MATTHEWS = (Metric("Matthews", "test/matthews_correlation"),)
_F1_EQUIVALENT = (_ACCURACY, Metric("F1", "test/f1/equivalent"))
_F1_DUPLICATE = (_ACCURACY, Metric("F1", "test/f1/duplicate"))
_ACCEPTABLE = "unacceptable", "acceptable"
_SENTIMENT = "negative", "positive"
# Winograd's classes stand the other way round, and the leaderboard wants their numbers.
_WINOGRAD = "not_entailment", "entailment"
_QQP_SIZES = 363_846, 390_965  # of train the rows that are whole

# In the order of the leaderboard's table.
_TABLE = (
    _classes("cola", "CoLA", _ACCEPTABLE, (8551, 1063), answers=_BY_NUMBER, metrics=_MATTHEWS),
    _classes("sst2", "SST-2", _SENTIMENT, (67_349, 1821), answers=_BY_NUMBER),
    _classes("mrpc", "MRPC", _EQUIVALENT, (3668, 1725), answers=_BY_NUMBER, metrics=_F1_EQUIVALENT),
    _stsb(),
    _classes("qqp", "QQP", _DUPLICATE, _QQP_SIZES, answers=_BY_NUMBER, metrics=_F1_DUPLICATE),
    _mnli(),
    _classes("qnli", "QNLI", _ENTAILMENT, (104_743, 5463)),
    _classes("rte", "RTE", _ENTAILMENT, (2490, 3000)),
    _classes("wnli", "WNLI", _WINOGRAD, (635, 146), answers=_BY_NUMBER),
)
TASKS = {task.name: task for task in _TABLE}
FILES = {file.name: file for task in _TABLE for file in task.files}


def find_tasks(text: str) -> tuple[GlueTask, ...]:
    """Returns the tasks that are named, in the order of the table.

    Args:
        text: A task, several with commas between them, or `all`.

    Raises:
        UserError: There is no such task; the nearest one is named.
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
        UserError: The recipe's data or its test splits are not those of a GLUE task, or it is not
            tested.
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


def titles(tasks: Sequence[GlueTask]) -> str:
    """Returns the tasks' titles with commas between them."""
    return ", ".join(task.title for task in tasks)


def _unknown(name: str) -> UserError:
    if name == "ax":
        return UserError(
            "AX has no train split: it is predicted with the MNLI model.",
            received=name,
            fix="--task mnli --submission FOLDER writes AX.tsv, too.",
        )
    known = {**{task.title.lower(): task.name for task in _TABLE}, **{n: n for n in TASKS}}
    if name.lower() in known:
        hint = f' Did you mean "{known[name.lower()]}"?'
    else:
        hint = nearest(name, [*TASKS, ALL_TASKS])
    return UserError(
        f"There is no such GLUE task.{hint}",
        received=name,
        expected=f"{', '.join(TASKS)}, several of them with commas, or {ALL_TASKS}",
    )

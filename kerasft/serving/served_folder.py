"""Which models a folder holds, for a server that is to serve them.

No TensorFlow is imported here: a mistyped path is answered at once.
"""

from __future__ import annotations

import os
from pathlib import Path

from kerasft.errors import UserError
from kerasft.export.layout import GRAPH, versions_in

_EXPECTED = (
    "a folder of models such as saved_models, or one model's such as saved_models/imdb; "
    "a model holds versions: saved_models/imdb/1/saved_model.pb"
)


def find_served_models(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Returns the folder of versions of each model, by the model's name.

    Args:
        path: A folder of models, or the folder of one model.

    Raises:
        UserError: There is no model.
    """
    folder = Path(path).absolute()
    fix = None
    if not folder.is_dir():
        what = "There is no such folder." if not folder.exists() else "This is a file."
    elif _has_version(folder):
        return {folder.name: folder}
    else:
        models = {place.name: place for place in sorted(folder.iterdir()) if _has_version(place)}
        if models:
            return models
        what = "This folder holds no model."
        if (folder / GRAPH).is_file():
            what = "This is one version of a model: a server serves the versions of a model."
            fix = f"kerasft serve {Path(path).parent}"
    raise UserError(
        what,
        received=os.fspath(path),
        expected=_EXPECTED,
        fix=fix or "run a pipeline, or kerasft export RUN_DIR, which export one.",
    )


def _has_version(folder: Path) -> bool:
    return any((version / GRAPH).is_file() for version in versions_in(folder).values())

"""The files that start a server: batching beside the graph, the rest beside the models.

`saved_models/` gets `models.config` (what is served), and `docker-compose.yml` and
`kubernetes.yaml` from `templates/`. They are written anew with each export, unless somebody made
them their own: whoever removes the first line keeps the file.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import string
from collections.abc import Mapping
from pathlib import Path

from kerasft.export.layout import BATCH_SIZES, BATCHING, GRAPH, versions_in
from kerasft.run_dir import write_atomically

IMAGE = "tensorflow/serving:2.20.0"  # the newest stock server; older ones load our models, too
_OURS = "# Written by kerasft. Remove this line, and the file is yours: it is not written again."

_BATCHING = f"""\
# How TensorFlow Serving batches requests to this model, with the flags --enable_batching and
# --enable_per_model_batching_parameters. The timeout is what a lone request waits for others.
max_batch_size {{ value: {BATCH_SIZES[-1]} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
{"".join(f"allowed_batch_sizes: {size}{chr(10)}" for size in BATCH_SIZES)}"""


def write_batching(version: Path) -> None:
    """Writes how a server may batch requests to a version."""
    write_atomically(version / BATCHING, _BATCHING)


def write_serving_files(models: Path, newest: str) -> None:
    """Writes what starts a server for all models of a folder.

    Args:
        models: `saved_models`.
        newest: Name of the model that was exported: whether it is up tells whether the server is.
    """
    templates = importlib.resources.files("kerasft.export") / "templates"
    names = sorted(folder.name for folder in models.iterdir() if _has_model(folder))
    config = models_config({name: f"/models/{name}" for name in names})
    _write(models / "models.config", f"{_OURS}\n{config}")
    for name in ("docker-compose.yml", "kubernetes.yaml"):
        template = string.Template((templates / name).read_text(encoding="utf-8"))
        _write(models / name, template.substitute(image=IMAGE, name=newest))


def models_config(folders: Mapping[str, str | os.PathLike[str]]) -> str:
    """Returns the server's own list of models, the newest version of each.

    Args:
        folders: Folder of versions of each model as the server sees it, by name.
    """
    entries = "".join(
        f"  config {{ name: {_quoted(name)} base_path: {_quoted(os.fspath(folder))}"
        ' model_platform: "tensorflow" }\n'
        for name, folder in folders.items()
    )
    return f"model_config_list {{\n{entries}}}\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # text protos escape as JSON does


def _has_model(folder: Path) -> bool:
    return any((version / GRAPH).is_file() for version in versions_in(folder).values())


def _write(path: Path, content: str) -> None:
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_OURS):
        return
    write_atomically(path, content)

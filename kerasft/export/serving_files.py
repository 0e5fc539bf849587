"""The files that start a server: batching parameters per version, the rest per models folder.

`saved_models/` gets `models.config` (the served models), and `docker-compose.yml` and
`kubernetes.yaml` from `templates/`. Each export rewrites them, unless a user removed their first
line to keep them.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import string
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from kerasft.export.layout import BATCH_SIZES, BATCHING, whole_versions
from kerasft.run_dir import write_atomically

IMAGE = "tensorflow/serving:2.20.0"  # the newest stock server; older ones load the models, too
_OURS = "# Written by kerasft. Remove this line, and the file is yours: it is not written again."

_BATCHING = f"""\
# How TensorFlow Serving batches requests to this model, with the flags --enable_batching and
# --enable_per_model_batching_parameters. The timeout is what a lone request waits for others.
max_batch_size {{ value: {BATCH_SIZES[-1]} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
{"".join(f"allowed_batch_sizes: {size}{chr(10)}" for size in BATCH_SIZES)}"""


def write_batching(version: Path) -> None:
    """Writes the batching parameters of a version."""
    write_atomically(version / BATCHING, _BATCHING)


def write_serving_files(models: Path) -> None:
    """Writes the files that serve all models of a folder, `saved_models`."""
    templates = importlib.resources.files("kerasft.export") / "templates"
    names = sorted(folder.name for folder in models.iterdir() if whole_versions(folder))
    config = models_config({name: f"/models/{name}" for name in names})
    _write(models / "models.config", f"{_OURS}\n{config}")
    for name in ("docker-compose.yml", "kubernetes.yaml"):
        template = string.Template((templates / name).read_text(encoding="utf-8"))
        quoted = " ".join(urllib.parse.quote(name, safe="") for name in names)
        _write(models / name, template.substitute(image=IMAGE, names=quoted))


def models_config(folders: Mapping[str, str | os.PathLike[str]]) -> str:
    """Returns the server's list of models; `folders` are paths as the server sees them."""
    entries = "".join(
        f"  config {{ name: {_quoted(name)} base_path: {_quoted(os.fspath(folder))}"
        ' model_platform: "tensorflow" }\n'
        for name, folder in folders.items()
    )
    return f"model_config_list {{\n{entries}}}\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # text protos escape as JSON does


def _write(path: Path, content: str) -> None:
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_OURS):
        return
    write_atomically(path, content)

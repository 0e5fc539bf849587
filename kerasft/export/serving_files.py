"""The files that start a server: batching beside the graph, the rest beside the models.

`saved_models/` gets `models.config` (what is served), `docker-compose.yml` and `kubernetes.yaml`.
They are written anew with each export, unless somebody made them their own: whoever removes the
first line keeps the file.
"""

from __future__ import annotations

import json
import os
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

_ARGUMENTS = (
    "--model_config_file=/models/models.config",
    "--model_config_file_poll_wait_seconds=60",
    "--enable_batching=true",
    "--enable_per_model_batching_parameters=true",
)

_COMPOSE = """\
{ours}
# docker compose up    REST on port 8501, gRPC on port 8500, of this machine alone
services:
  serving:
    image: {image}
    command:
{arguments}
    ports:
      - "127.0.0.1:8501:8501"
      - "127.0.0.1:8500:8500"
    volumes:
      - .:/models:ro
    environment:
      TF_CPP_MIN_LOG_LEVEL: "1"
    deploy:
      resources:
        limits:
          cpus: "2"
          memory: 2g
    healthcheck:
      # The image has neither curl nor wget.
      test:
        - CMD
        - bash
        - -c
        - >-
          exec 3<>/dev/tcp/127.0.0.1/8501 &&
          printf 'GET /v1/models/{name} HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q AVAILABLE <&3
      interval: 10s
      timeout: 5s
      start_period: 60s
    restart: unless-stopped
    stop_grace_period: 30s
"""

_KUBERNETES = """\
{ours}
# kubectl apply -f kubernetes.yaml
# The models lie on the volume claim `models`, laid out as this folder is.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: kerasft-serving
spec:
  replicas: 2
  selector:
    matchLabels: {{app: kerasft-serving}}
  template:
    metadata:
      labels: {{app: kerasft-serving}}
    spec:
      containers:
        - name: serving
          image: {image}
          args:
{arguments}
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          resources:
            requests: {{cpu: "1", memory: 1Gi}}
            limits: {{cpu: "2", memory: 2Gi}}
          startupProbe:
            httpGet: {{path: /v1/models/{name}, port: rest}}
            periodSeconds: 5
            failureThreshold: 60
          readinessProbe:
            httpGet: {{path: /v1/models/{name}, port: rest}}
          volumeMounts:
            - {{name: models, mountPath: /models, readOnly: true}}
      volumes:
        - name: models
          persistentVolumeClaim: {{claimName: models, readOnly: true}}
---
apiVersion: v1
kind: Service
metadata:
  name: kerasft-serving
spec:
  selector: {{app: kerasft-serving}}
  ports:
    - {{name: grpc, port: 8500, targetPort: grpc}}
    - {{name: rest, port: 8501, targetPort: rest}}
"""


def write_batching(version: Path) -> None:
    """Writes how a server may batch requests to a version."""
    write_atomically(version / BATCHING, _BATCHING)


def write_serving_files(models: Path, newest: str) -> None:
    """Writes what starts a server for all models of a folder.

    Args:
        models: `saved_models`.
        newest: Name of the model that was exported: whether it is up tells whether the server is.
    """
    settings = {"ours": _OURS, "image": IMAGE, "name": newest}
    names = sorted(folder.name for folder in models.iterdir() if _has_model(folder))
    config = models_config({name: f"/models/{name}" for name in names})
    _write(models / "models.config", f"{_OURS}\n{config}")
    _write(models / "docker-compose.yml", _COMPOSE.format(**settings, arguments=_lines(6)))
    _write(models / "kubernetes.yaml", _KUBERNETES.format(**settings, arguments=_lines(12)))


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


def _lines(indent: int) -> str:
    return "\n".join(f"{' ' * indent}- {argument}" for argument in _ARGUMENTS)


def _write(path: Path, content: str) -> None:
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_OURS):
        return
    write_atomically(path, content)

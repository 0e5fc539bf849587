"""TFDS datasets as a source: opened if prepared, else downloaded."""

from __future__ import annotations

import hashlib
import json
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasft.data.example import NUMBER, SINGLE, Example
from kerasft.errors import UserError, changed_while_read, first_line, nearest

# The columns that hold the text, and its second text, in the order a model should read them.
TEXT_COLUMNS = (
    ("text",),
    ("question", "sentence"),
    ("sentence",),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
)

_READ_BATCH = 256


class DownloadError(Exception):
    """TFDS could not download or prepare a dataset, for whatever reason."""


class TfdsSource:
    """A prepared TFDS dataset with one or two text columns and a label, a class or a number.

    Args:
        builder: A `tfds.core.DatasetBuilder` whose data is prepared.

    Raises:
        UserError: If the columns are not those of a text classification dataset.
    """

    def __init__(self, builder: Any):
        info = builder.info
        self._builder = builder
        self._columns = _text_columns(info)
        self.name = "/".join(filter(None, [info.name, info.config_name]))
        self.version = str(info.version)
        names = getattr(info.features["label"], "names", None)
        self.label_kind = NUMBER if names is None else SINGLE
        self.label_names = tuple(names or ())
        self.has_pairs = len(self._columns) == 2
        self._fingerprints: dict[str, str] = {}

    def has_split(self, split: str) -> bool:
        """Whether the dataset, as prepared here, has such a split."""
        return split in self._builder.info.splits

    def num_examples(self, split: str) -> int:
        """Returns the number of examples in the dataset's metadata."""
        return self._split_info(split).num_examples

    def num_bytes(self, split: str) -> int:
        """Returns the serialized size, which is hardly more than the text."""
        return self._split_info(split).num_bytes

    def iterate(self, split: str) -> Iterator[Example]:
        """Yields the examples in file order, shard after shard.

        Raises:
            UserError: If a file is damaged, missing, or has fewer examples than the metadata says.
        """
        import tensorflow as tf

        try:
            for batch in self._batches(split):  # TFDS asserts the number of examples, too
                yield from _unbatch(batch, self._columns)
        except tf.errors.OpError as error:
            raise self._damaged(split, error.message.splitlines()[0]) from error

    def read_column(self, split: str, name: str) -> np.ndarray:
        """Returns another column of a split, such as GLUE's `idx`, in the order of `iterate`."""
        return np.concatenate([batch[name] for batch in self._batches(split)])

    def fingerprint(self, split: str) -> str:
        """Returns the sha256 of the split's metadata and files."""
        if split not in self._fingerprints:
            self._fingerprints[split] = self._read_fingerprint(split)
        return self._fingerprints[split]

    def check_unchanged(self, split: str) -> None:
        """Raises a `UserError` if the split's files changed since its fingerprint was taken."""
        if self.fingerprint(split) != self._read_fingerprint(split):
            raise changed_while_read(self._builder.data_path, split)

    def _read_fingerprint(self, split: str) -> str:
        info = self._split_info(split)
        files = {path.name: _digest(path) for path in map(Path, info.filepaths)}
        facts = [self.name, self.version, split, info.num_examples, info.num_bytes]
        facts += [list(info.shard_lengths), files]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _batches(self, split: str) -> Iterator[dict[str, Any]]:
        import tensorflow_datasets as tfds

        from kerasft.data.batches.autotune import without_autotune  # imports TensorFlow

        # One file after the other keeps the order; no caching keeps memory bounded.
        config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        dataset = self._builder.as_dataset(
            split=split, shuffle_files=False, batch_size=_READ_BATCH, read_config=config
        )
        return without_autotune(dataset).as_numpy_iterator()

    def _split_info(self, split: str) -> Any:
        splits = self._builder.info.splits
        if split not in splits:
            raise UserError(
                f"The dataset {self.name} has no such split.{nearest(split, splits)}",
                received=split,
                expected=f"one of {', '.join(splits)}",
            )
        return splits[split]

    def _damaged(self, split: str, reason: str) -> UserError:
        folder = self._builder.data_path
        return UserError(
            f"The {split} split of {self.name} in {folder} is damaged: {reason}.",
            fix=f"delete {folder} and run again to prepare it anew, or copy it again.",
        )


def open_prepared(dataset: str, folder: Path) -> Any | None:
    """Returns the builder of a dataset prepared in `folder`, else `None`."""
    if not (folder / folder_name(dataset)).is_dir():
        return None
    try:
        builder = _open_builder(dataset, folder)
        return builder if builder.is_prepared() else None
    except UserError:
        raise
    except Exception as error:  # JSON, protobuf, TFDS, the file system: each has its own errors
        raise UserError(
            f"The dataset {dataset} in {folder} cannot be read: {first_line(error)}",
            fix=f"check the name, or delete {folder / folder_name(dataset)} and prepare it anew.",
        ) from error


def _open_builder(dataset: str, folder: Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(dataset, data_dir=folder)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        raise UserError(
            f"No such dataset is known to TFDS.{nearest(folder_name(dataset), known)}",
            received=dataset,
            expected="a TFDS name such as imdb_reviews or glue/sst2, or builtin-sample",
        ) from error


def download(dataset: str, folder: Path) -> Any:
    """Downloads and prepares a dataset into `folder`, and returns its builder.

    Raises:
        UserError: If TFDS knows no such dataset.
        DownloadError: If it could not be downloaded or prepared.
    """
    try:
        builder = _open_builder(dataset, folder)
        _require_network(builder.info.homepage)
        builder.download_and_prepare()
    except UserError:
        raise
    except Exception as error:  # whatever the downloader or the dataset's own code raises
        raise DownloadError(f"{type(error).__name__}: {first_line(error)}") from error
    return builder


def _require_network(homepage: str) -> None:
    """Fails within seconds without a network; TFDS would retry for minutes."""
    if urllib.request.getproxies():
        return  # behind a proxy only the download itself shows it
    hosts = filter(None, [urllib.parse.urlsplit(homepage).hostname, "www.tensorflow.org"])
    for host in hosts:
        try:
            socket.create_connection((host, 443), timeout=5).close()
            return
        except OSError:
            continue
    raise ConnectionError("no network")


def _text_columns(info: Any) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    columns = set(info.features)
    match = next((names for names in TEXT_COLUMNS if columns.issuperset(names)), None)
    label = info.features["label"] if "label" in columns else None
    is_class = isinstance(label, tfds.features.ClassLabel)
    is_scalar = label is not None and label.shape == ()
    is_number = is_scalar and np.issubdtype(label.np_dtype, np.floating)
    if match is None or not (is_class or is_number):
        raise UserError(
            f"{info.name} is not a text classification dataset that can be read.",
            received=sorted(columns),
            expected="a column `label` of classes or of decimal numbers, and the text in one of "
            + ", ".join("+".join(names) for names in TEXT_COLUMNS),
        )
    return match


def _unbatch(batch: dict[str, Any], columns: tuple[str, ...]) -> Iterator[Example]:
    texts, labels = batch[columns[0]], batch["label"].tolist()
    pairs = batch[columns[1]] if len(columns) == 2 else [None] * len(labels)
    return map(Example, texts, pairs, labels)


def folder_name(dataset: str) -> str:
    """Returns the folder of a dataset such as `glue/sst2:2.0.0` inside a TFDS folder: `glue`."""
    return dataset.split("/")[0].split(":")[0]


def _digest(path: Path) -> str:
    """Returns the sha256 of a file; of a remote file, nothing."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

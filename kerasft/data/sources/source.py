"""Sources of labelled text: TFDS datasets and the built-in sample, behind one protocol."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from kerasft.data.example import SINGLE, Example
from kerasft.data.sources.builtin import (
    BUILTIN_SAMPLE_VERSION,
    NUM_EXAMPLES,
    iterate_builtin_sample,
)
from kerasft.data.sources.tfds import (
    DownloadError,
    TfdsSource,
    download,
    folder_name,
    open_prepared,
)
from kerasft.errors import UserError

BUILTIN_SAMPLE = "builtin-sample"

_HOW_TO_GET_DATA = (
    "connect to the network once, or point TFDS_DATA_DIR or data.data_dir at a TFDS folder that "
    "holds it."
)


class Source(Protocol):
    """A dataset that can be read from start to end, in the same order every time.

    Attributes:
        name: Such as `imdb_reviews/plain_text`.
        version: Such as `1.0.0`.
        label_names: The name of each label, by its index; empty for regression.
        label_kind: One of `kerasft.data.example.LABEL_KINDS`.
        has_pairs: Whether examples carry a `text_pair`.
    """

    name: str
    version: str
    label_names: tuple[str, ...]
    label_kind: str
    has_pairs: bool

    def has_split(self, split: str) -> bool:
        """Whether there is such a split."""

    def num_examples(self, split: str) -> int | None:
        """Returns the number of examples, `None` if unknown before reading."""

    def num_bytes(self, split: str) -> int | None:
        """Returns the approximate bytes of text, `None` if unknown."""

    def iterate(self, split: str) -> Iterator[Example]:
        """Yields the examples of the split."""

    def fingerprint(self, split: str) -> str:
        """Returns a text that identifies the split's data; constant as long as the source lives.

        If the data changes, only a new source has another fingerprint: see `check_unchanged`.
        """

    def check_unchanged(self, split: str) -> None:
        """Checks that the split's data has not changed since the source was made.

        Raises:
            UserError: It has changed.
        """


def load_source(
    dataset: str,
    data_dir: str | os.PathLike[str] | None = None,
    allow_builtin_sample: bool = False,
    log: Callable[[str], object] = warnings.warn,
) -> Source:
    """Finds a dataset, prepared or to be downloaded.

    Searches `data_dir` only, if given; otherwise `$TFDS_DATA_DIR`, `../shared/tfds` and
    `~/tensorflow_datasets`, in this order. A dataset prepared in none of them is downloaded into
    the last.

    Args:
        dataset: A TFDS name (`imdb_reviews`, `glue/sst2`), or `builtin-sample`.
        data_dir: The only TFDS folder to look in.
        allow_builtin_sample: Fall back to the built-in sample if the dataset is unavailable.
        log: Called with messages: when the fallback is taken.

    Raises:
        UserError: If the dataset is unknown, not in `data_dir`, unreadable, or can be neither found
            nor downloaded and the fallback is not allowed.
    """
    if dataset == BUILTIN_SAMPLE:
        return BuiltinSampleSource()
    if data_dir is not None:
        return _load_from_named_folder(dataset, Path(data_dir).expanduser())
    folders = search_folders()
    for folder in folders:
        builder = open_prepared(dataset, folder)
        if builder is not None:
            return TfdsSource(builder)
    try:
        return TfdsSource(download(dataset, folders[-1]))
    except DownloadError as error:
        looked = ", ".join(map(str, folders))
        missing = f"{dataset} is not prepared in {looked}, and could not be downloaded ({error})."
        if not allow_builtin_sample:
            raise UserError(f"The dataset {missing}", fix=_HOW_TO_GET_DATA) from error
    log(
        f"THE REAL DATA IS MISSING: {missing} This run uses the built-in sample instead: synthetic "
        "reviews written for this project. Its scores show that the pipeline works, and say "
        f"nothing about {dataset}. For the real data: {_HOW_TO_GET_DATA}"
    )
    return BuiltinSampleSource()


def search_folders() -> list[Path]:
    """Returns the TFDS folders that are searched without a `data_dir`, in order."""
    named = os.environ.get("TFDS_DATA_DIR")
    folders = [Path(named).expanduser()] if named else []
    checkout = Path(__file__).resolve().parents[3]
    roots = [checkout] if (checkout / "pyproject.toml").is_file() else []
    shared = [root.parent / "shared" / "tfds" for root in (*roots, Path.cwd())]
    folders += [folder for folder in dict.fromkeys(shared) if folder.is_dir()]
    return [*folders, Path.home() / "tensorflow_datasets"]


class BuiltinSampleSource:
    """The synthetic reviews inside this package: no file, no network."""

    name = BUILTIN_SAMPLE
    version = BUILTIN_SAMPLE_VERSION
    label_names = ("neg", "pos")
    label_kind = SINGLE
    has_pairs = False

    def has_split(self, split: str) -> bool:
        """Whether there is such a split."""
        return split in NUM_EXAMPLES

    def num_examples(self, split: str) -> int:
        """Returns the number of examples."""
        return sum(1 for _ in self.iterate(split))

    def num_bytes(self, split: str) -> int:
        """Returns the bytes of all texts."""
        return sum(len(example.text) for example in self.iterate(split))

    def iterate(self, split: str) -> Iterator[Example]:
        """Yields the examples; `split` must be `train` or `test`."""
        for text, label in iterate_builtin_sample(split):
            yield Example(text.encode(), None, label)

    def fingerprint(self, split: str) -> str:
        """Returns the sha256 of all texts and labels."""
        digest = hashlib.sha256()
        for text, _, label in self.iterate(split):
            digest.update(len(text).to_bytes(8, "little") + text + bytes([label]))
        return digest.hexdigest()

    def check_unchanged(self, split: str) -> None:
        """Does nothing: the sample is part of the package."""


def _load_from_named_folder(dataset: str, folder: Path) -> TfdsSource:
    builder = open_prepared(dataset, folder)
    if builder is None:
        raise UserError(
            f"The dataset {dataset} is not prepared in the data_dir that was given.",
            received=str(folder),
            expected=f"a TFDS folder that holds {folder_name(dataset)}/",
            fix="correct data.data_dir, or leave it out to search the usual places and download.",
        )
    return TfdsSource(builder)

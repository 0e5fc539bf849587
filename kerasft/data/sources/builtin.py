r"""The built-in sample: synthetic film reviews, for when no real data can be had.

THESE REVIEWS ARE SYNTHETIC. A seeded generator wrote them from templates made for this project;
nobody has seen these films, and they do not exist. A metric measured on them says nothing about
real reviews. They are there so that every pipeline, test and example runs with no network and
no download, on data which has the shape of IMDB (two balanced classes, one sentence to several
paragraphs, `<br />` tags) and which has to be learned: train and test share no template, words of
praise and of blame stand in both classes, and negation, contrast and concession decide. A bag of
words reaches an accuracy of 0.82, pairs of words 0.86.

They lie in `builtin_sample.tsv.gz`: a line holds split, label and text, in which `\n` is a line
break. Up to commit eaee710 the generator is in the history: `kerasft/data/builtin_sample.py`.
"""

from __future__ import annotations

import functools
import gzip
import importlib.resources
from collections.abc import Iterator

from kerasft.errors import UserError

BUILTIN_SAMPLE_VERSION = "1"
NUM_EXAMPLES = {"train": 2400, "test": 600}


def iterate_builtin_sample(split: str) -> Iterator[tuple[str, int]]:
    """Iterates over one split of the synthetic reviews, always in the same order.

    Args:
        split: `"train"` (2,400 reviews) or `"test"` (600), half of them negative.

    Returns:
        An iterator over `(text, label)`; the label is 0 for negative, 1 for positive.

    Raises:
        UserError: If there is no such split. Take validation examples out of `"train"`.
    """
    if split not in NUM_EXAMPLES:
        raise UserError(
            "The built-in sample has no such split.",
            received=split,
            expected=" or ".join(f'"{name}"' for name in NUM_EXAMPLES),
            fix='A validation split is taken out of "train" (`data.validation_fraction`).',
        )
    return iter(_read()[split])


@functools.cache
def _read() -> dict[str, list[tuple[str, int]]]:
    packed = importlib.resources.files("kerasft.data.sources") / "builtin_sample.tsv.gz"
    reviews: dict[str, list[tuple[str, int]]] = {split: [] for split in NUM_EXAMPLES}
    for line in gzip.decompress(packed.read_bytes()).decode("utf-8").splitlines():
        split, label, text = line.split("\t")
        reviews[split].append((text.replace("\\n", "\n"), int(label)))
    return reviews

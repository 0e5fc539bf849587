"""Makes the batches of `training_golden.npz`: token ids of the built-in sample.

Run by hand, never by the tests, in the project's own environment:

    python tests/parity/goldens/make_training_batches.py BATCHES.npz

`make_training_golden.py` takes the file over into the golden, so that both sides train on the same
numbers. Texts stay out; the reviews are synthetic anyway.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

import kerasft
from kerasft.data.sources.builtin import BUILTIN_SAMPLE_VERSION, iterate_builtin_sample
from kerasft.models.presets import DEFAULT_PRESET, find_preset
from kerasft.text.wordpiece import WordPiecePreprocessor

NUM_STEPS, BATCH_SIZE, SEQUENCE_LENGTH, NUM_EVALUATED = 50, 8, 32, 32


def build_preprocessor():
    path = Path(find_preset(DEFAULT_PRESET)) / "vocab.txt"
    vocabulary = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return WordPiecePreprocessor(vocabulary, sequence_length=SEQUENCE_LENGTH)


def first_examples(preprocess, split, shape):
    """The first examples of a split as `token_ids`, `padding_mask` and `labels`."""
    examples = itertools.islice(iterate_builtin_sample(split), int(np.prod(shape)))
    texts, labels = zip(*examples, strict=True)
    inputs = {name: array.numpy() for name, array in preprocess(list(texts)).items()}
    rows = {name: inputs[name].reshape(*shape, -1) for name in ("token_ids", "padding_mask")}
    return rows | {"labels": np.int32(labels).reshape(shape)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    path = parser.parse_args().path
    preprocess = build_preprocessor()
    train = first_examples(preprocess, "train", (NUM_STEPS, BATCH_SIZE))
    evaluated = first_examples(preprocess, "test", (NUM_EVALUATED,))
    certificate = {
        "kerasft": kerasft.__version__,
        "builtin_sample": BUILTIN_SAMPLE_VERSION,
        "preprocessor": preprocess.config(),
        "padding_share": 1 - float(train["padding_mask"].mean()),
    }
    arrays = train | {f"evaluated/{name}": array for name, array in evaluated.items()}
    np.savez_compressed(path, **arrays, certificate=json.dumps(certificate))
    print(json.dumps(certificate, indent=2))


if __name__ == "__main__":
    main()

"""Any bytes get an answer: 10,000 random strings, awkward Unicode, and a very long text."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tensorflow as tf

NUM_RANDOM, BATCH_SIZE = 10_000, 1000
LONG_BYTES = 20_000_000
AWKWARD = [
    b"",
    b"\0",
    b"nul \0 in the middle",
    b"\xff\xfe\xfd",  # never valid
    b"\xc3",  # cut in the middle of a character
    b"\xed\xa0\x80",  # a surrogate
    b"\xf4\x90\x80\x80",  # beyond the last code point
    b"\xc0\xaf",  # longer than need be
    *(
        text.encode()
        for text in (
            "e" + "\u0301" * 500,  # marks on marks
            "\u200b\u200d\ufeff",  # nothing to be seen
            "\u202e right to left \u202c",
            "👩‍👩‍👧‍👦🏳️‍🌈" * 50,
            "ﷺ" * 200,
            "ＦＵＬＬ width",
            "中文" * 300,
            "İıẞßſﬁ",
            "\u2028\u2029\x85\x0b\x0c\x1c",
            "[CLS] [SEP] [PAD] [MASK]",
            "<br />" * 300,
            "a" * 100_000,
            " " * 100_000,
            "!" * 20_000,
        )
    ),
]


def random_texts(seed):
    """Yields byte strings: any bytes, any characters, and words of the model with bytes between."""
    generator = random.Random(seed)
    words = [b"film ", b"[SEP]", b"\xff", b"\0", b"good", "é".encode(), b"<br />"]
    for number in range(NUM_RANDOM):
        length = generator.choice([1, 5, 40, 200])
        if number % 3 == 0:
            yield generator.randbytes(length)
        elif number % 3 == 1:
            points = (generator.randrange(0x110000) for _ in range(length))
            yield "".join(map(chr, points)).encode("utf-8", "surrogatepass")
        else:
            yield b"".join(generator.choices(words, k=length))


@pytest.fixture(scope="module")
def ask(saved_models):
    """Answers texts with an exported model; fails where an answer is missing or not finite."""
    model = tf.saved_model.load(str(saved_models["single"]))

    def ask(texts):
        outputs = model.signatures["serving_default"](text=tf.constant(texts, tf.string))
        probabilities = outputs["probabilities"].numpy()
        assert probabilities.shape == (len(texts), 3)
        assert np.isfinite(outputs["logits"]).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        assert set(outputs["label"].numpy().tolist()) <= {b"neg", b"neutral", b"pos"}
        return probabilities

    ask.model = model
    return ask


def test_ten_thousand_random_strings(ask):
    texts = list(random_texts(seed=1))
    assert len(set(texts)) > NUM_RANDOM * 0.8
    for start in range(0, NUM_RANDOM, BATCH_SIZE):
        ask(texts[start : start + BATCH_SIZE])


def test_awkward_texts_answer_alone_as_in_company(ask):
    together = ask(AWKWARD)
    alone = np.concatenate([ask([text]) for text in AWKWARD])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 1e-2  # control: not all are read alike


def test_control_what_is_no_batch_of_texts_is_refused(ask):
    with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
        ask.model.signatures["serving_default"](text=tf.constant([[1.0]]))


def test_a_very_long_text(ask):
    words = b"good film " * (LONG_BYTES // 10)
    assert ask([words, b"good"]).shape == (2, 3)

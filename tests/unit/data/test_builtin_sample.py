import hashlib
import re

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from kerasft.data.sources.builtin import BUILTIN_SAMPLE_VERSION, iterate_builtin_sample
from kerasft.errors import UserError

# When the output changes on purpose: bump BUILTIN_SAMPLE_VERSION, then write both here. Token
# stores are keyed by the version; without the bump, stale ones would be trained on.
PINNED_VERSION = "1"
PINNED_SHA256 = "8f5af93c80dd51ff0a09fc34bf3574566b3335349967bae111155541e4c62761"

SPLITS = ("train", "test")


def _texts(split):
    return [text for text, _ in iterate_builtin_sample(split)]


def _labels(split):
    return [label for _, label in iterate_builtin_sample(split)]


def _sentences(text):
    plain = text.replace("<br /><br />", " ").replace("\n\n", " ")
    return [sentence for sentence in re.split(r"(?<=[.!?]) ", plain) if sentence]


def _digest():
    lines = [f"{s}|{label}|{text}\n" for s in SPLITS for text, label in iterate_builtin_sample(s)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_output_is_pinned():
    assert (BUILTIN_SAMPLE_VERSION, _digest()) == (PINNED_VERSION, PINNED_SHA256), (
        "The built-in sample changed: bump BUILTIN_SAMPLE_VERSION and pin the new sha256."
    )


@pytest.mark.parametrize(("split", "count"), [("train", 2400), ("test", 600)])
def test_distinct_and_balanced(split, count):
    labels = _labels(split)
    assert len(labels) == count
    assert len(set(_texts(split))) == count
    assert labels.count(0) == labels.count(1) == count // 2
    # Balanced in every stretch, too, but not simply alternating.
    assert labels[:100].count(1) == 50
    assert labels[:20:2].count(0) not in (0, 10)


def test_unknown_split():
    with pytest.raises(UserError, match=r"no such split.*'validation'.*\"train\" or \"test\".*Fix"):
        iterate_builtin_sample("validation")


def test_splits_share_no_text_nor_sentence():
    train = "\n".join(_texts("train"))
    assert not [text for text in _texts("test") if text in train]
    train_sentences = {sentence for text in _texts("train") for sentence in _sentences(text)}
    test_sentences = {sentence for text in _texts("test") for sentence in _sentences(text)}
    assert train_sentences & test_sentences == set()


@pytest.mark.parametrize("split", SPLITS)
def test_reads_as_english(split):
    fault = re.compile(
        r"  | [,.;:?!]|\b[Aa] [aeiou]|\b[Aa]n [^aeiouh]|[{}|]|<(?!br />)|(?<!/)>(?!<)"
        r"|\b(\w+) \1\b|[.!?] [a-z]|^[a-z\s]|\s$|[^.!?]$"
    )
    faults = {}
    for text in _texts(split):
        for paragraph in re.split(r"<br /><br />|\n\n", text):
            if found := fault.search(paragraph):
                faults[paragraph] = found[0]
    assert not faults


@pytest.mark.parametrize("split", SPLITS)
def test_lengths_and_tags_vary(split):
    texts = _texts(split)
    words = sorted(len(text.split()) for text in texts)
    assert words[0] <= 8
    assert words[-1] >= 250
    assert 60 <= words[len(words) // 2] <= 130
    assert any(len(_sentences(text)) == 1 for text in texts)
    assert 0.2 < sum("<br /><br />" in text for text in texts) / len(texts) < 0.4
    assert any("\n\n" in text for text in texts)


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2)])
def test_learnable_and_not_trivial(ngrams):
    # Measured: 0.818 with single words, 0.855 with pairs of words as well (chance is 0.5).
    model = make_pipeline(TfidfVectorizer(ngram_range=ngrams), LogisticRegression(max_iter=1000))
    model.fit(_texts("train"), _labels("train"))
    assert 0.78 < model.score(_texts("test"), _labels("test")) < 0.89

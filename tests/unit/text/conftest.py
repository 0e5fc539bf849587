"""A vocabulary small enough to reckon ids by hand."""

import string

import pytest

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "quiet", "film", "the", "plot", "cafe", "straße", "##s", "##ed"]


@pytest.fixture(scope="session")
def vocabulary() -> list[str]:
    letters = [letter for letter in string.ascii_lowercase if letter != "a"]
    return [*SPECIAL_TOKENS, *WORDS, *letters, *string.punctuation, *"…½中文é"]

import itertools
import re

import pytest
import tensorflow as tf

from kerasft.text.cleaning import (
    ITSELF,
    MAX_BYTES_PER_WORD,
    NOTHING,
    NUM_CODE_POINTS,
    PAGE_SIZE,
    build_character_table,
    clean_character,
    clean_text,
)

SWITCHES = list(itertools.product((False, True), repeat=2))


def clean(text: str | bytes, lowercase=True, strip_accents=True, break_tags="keep") -> str:
    cleaned = clean_text(
        tf.constant([text]), lowercase=lowercase, strip_accents=strip_accents, break_tags=break_tags
    )
    return cleaned.numpy()[0].decode()


@pytest.mark.parametrize(("lowercase", "strip_accents"), SWITCHES)
def test_table_says_what_clean_character_says(lowercase, strip_accents):
    table = build_character_table(lowercase, strip_accents)
    # A sample: the blocks that are filled without looking must agree, too.
    for code_point in range(0, NUM_CODE_POINTS, 31):
        page = table.page_of[code_point // PAGE_SIZE]
        entry = table.pages[page * PAGE_SIZE + code_point % PAGE_SIZE]
        told = "".join(chr(code_point if c == ITSELF else c) for c in entry if c != NOTHING)
        expected = clean_character(
            chr(code_point), lowercase=lowercase, strip_accents=strip_accents
        )
        assert told == expected, hex(code_point)


def test_equal_pages_are_stored_once():
    table = build_character_table(True, True)
    assert table.pages.nbytes + table.page_of.nbytes < 600_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Plain TEXT,\tas it\nis.", "plain text,\tas it\nis."),
        ("Café ÀÉÎ e\u0301", "cafe aei e"),
        ("STRASSE Straße ½ …", "strasse straße ½  … "),
        ("한", "\u1112\u1161\u11ab"),
        ("ab中文c", "ab 中  文 c"),
        ("a\u3000b\u00a0c", "a b c"),
        ("a\x00b\u200bc\ufffdd\ue000e\U00100000f\u00adg\x7fh", "abcdefgh"),
        ("", ""),
    ],
)
def test_clean_text(text, expected):
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "expected"),
    [(True, True, "cafe"), (True, False, "café"), (False, True, "Cafe"), (False, False, "Café")],
)
def test_case_and_accents_are_independent(lowercase, strip_accents, expected):
    assert clean("Café", lowercase, strip_accents) == expected


@pytest.mark.parametrize("broken", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
def test_invalid_utf8_is_dropped(broken):
    assert clean(b"caf\xc3\xa9 a" + broken + b" b") == "cafe a b"


@pytest.mark.parametrize("tag", ["<br />", "<br>", "<br/>", "<BR />", "<Br  \t/>"])
def test_break_tags(tag):
    assert clean(f"one{tag}two", break_tags="space") == "one two"
    assert clean(f"one{tag}two", break_tags="keep") == f"one{tag}two".lower()
    assert clean(f"é{tag}{tag}two", break_tags="space") == "e  two"


@pytest.mark.parametrize("text", ["<brr>", "<b r>", "< br>", "<break />"])
def test_other_tags_stay(text):
    assert clean(text, break_tags="space") == text


@pytest.mark.parametrize("letter", ["a", "я", "ก", "𐌰"])
def test_only_words_of_more_than_100_characters_exceed_the_limit(letter):
    assert len(clean(letter * 100).encode()) <= MAX_BYTES_PER_WORD
    assert len(clean(letter * 101).encode()) > MAX_BYTES_PER_WORD


@pytest.mark.parametrize("separator", [" ", ".", "-", "中", "—", "、"])
def test_separators_end_a_word(separator):
    text = separator.join(["a" * 60] * 3)
    assert re.sub(" +", "", clean(text)) == re.sub(" +", "", text)

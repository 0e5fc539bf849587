"""Token for token the same as Hugging Face `tokenizers`, on the default encoder's vocabulary.

Where the two differ, both sides are pinned, with the reason:

- Hugging Face finds "[SEP]" and its like in the text and makes special tokens of them. Here they
  stay text: a caller must not be able to write special tokens.
- The Unicode tables of Hugging Face are of 2015. Combining marks, format characters and
  punctuation that were added (or classified anew) since are letters to it.
- CJK extension E (U+2B820 to U+2B91F): Hugging Face begins it at U+2B920, the BERT release
  where it begins.
"""

import itertools
import random
import re
import sys
import unicodedata

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import tensorflow_text as tf_text

from kerasft.text.wordpiece import WordPiecePreprocessor

tokenizers = pytest.importorskip("tokenizers")

LONG = 200_000
NUM_IMDB_TEXTS = 5_000

EQUAL = {
    "empty": "",
    "spaces": " \t\n\r  ",
    "accents": "Café naïve Ångström e\u0301 Žluťoučký ǅ İstanbul",
    "sharp s": "Straße STRASSE ẞ ß",
    "sigma": "ΟΔΥΣΣΕΥΣ Σ ς",
    "cjk": "漢字とカタカナ、ﾊﾝｶｸ 中文abc中文。",
    "cjk compatibility": "豈更車 你",
    "korean": "한국어 영화는 정말 좋았다 각",
    "emoji": "so good 😀👍🏽 👨‍👩‍👧 ❤️ 🇩🇪",
    "zero width": "zero\u200bwidth\u200c non\u200djoiner \ufeffbom",
    "soft hyphen": "soft\u00adhyphen",
    "control": "bell\x07 tab\there\x0bvt\x0cff esc\x1b[0m \x7fdel \x85nel\x96dash",
    "nul": "before\x00after \x00 end\x00",
    "replacement character": "re\ufffdplaced \ufffd",
    "private use": "pri\ue000vate \U000f0000 \U0010fffd",
    "noncharacters": "non\ufffe \U000fffff \U0010ffff character",
    "full width": "ＦＵＬＬ ｗｉｄｔｈ！ １２３",
    "compatibility": "… ½ ™ ² ﬁlm ① ㎏ ℌ ª º",
    "arabic": "مُحَمَّد العَرَبِيَّة",
    "hebrew": "שָׁלוֹם",
    "thai": "ภาพยนตร์เรื่องนี้ดีมาก",
    "hindi": "फ़िल्म बहुत अच्छी है।",
    "combining marks": "a\u0301\u0327\u0323 \u0301 Z\u0351\u0343\u0344a\u0300l\u0331g\u0489o",
    "spaces of unicode": "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u202fg\u1680h",
    "bidirectional": "a\u202eb\u202cc\u2066d\u2069",
    "variation selectors": "☺︎ ☺️ 葛\U000e0100",
    "tags": "\U000e0001\U000e0065\U000e006e",
    "mathematical": "𝐁𝐨𝐥𝐝 𝔉𝔯𝔞𝔨𝔱𝔲𝔯 ≠ ∑ √2",
    "punctuation": "don't—stop… «quoted» “well” ¿qué? #tag @you a_b c/d $5 50% ^ ` ~ |",
    "decomposes to punctuation": "a\u037eb\u1fefc\u2260d",
    "markup": "one<br />two<br><BR/>three &amp; <i>four</i>",
    "word of 100": "a" * 100,
    "word of 101": "a" * 101 + " film",
    "word of 401": "film" + "a" * 397,
    "cyrillic of 100": "я" * 100,
    "cyrillic of 101": "я" * 101 + " фильм",
    "accents of 101, stripped to 50": "e\u0301" * 50 + " film",
    "long between": "film-" + "b" * 120 + "-film中" + "c" * 101 + "中film",
    "100,000 characters": "A quiet, moving café. " * 4546,
    "100,000 letters": "x" * 100_000,
}
INVALID_UTF8 = {
    "lone byte": b"good \xff film",
    "cut off": b"caf\xc3",
    "surrogate": b"a \xed\xa0\x80 b",
    "overlong": b"a\xc0\xafb",
    "latin-1": "café très".encode("latin-1"),
    "nothing else": b"\xff\xfe\x80",
}
# name: text, our ids, theirs, without [CLS] and [SEP]
DIFFERENT = {
    "[SEP]": ("good [SEP] bad", [2204, 1031, 19802, 1033, 2919], [2204, 102, 2919]),
    "[CLS]": ("[CLS]", [1031, 18856, 2015, 1033], [101]),
    "[PAD]": ("a[PAD]b", [1037, 1031, 11687, 1033, 1038], [1037, 0, 1038]),
    "[UNK]": ("[UNK]", [1031, 4895, 2243, 1033], [100]),
    "[MASK]": ("a [MASK].", [1037, 1031, 7308, 1033, 1012], [1037, 103, 1012]),
    "mark of Unicode 13": ("fil\u1abfm", [2143], [100]),
    "format character of Unicode 14": ("fil\u0890m", [2143], [100]),
    "mark since Unicode 9": ("fil\u1885m", [2143], [100]),
    "mark no longer": ("fil\u1734m", [100], [2143]),
    "punctuation of Unicode 14": ("film\u2e52film", [2143, 100, 2143], [100]),
    "punctuation no longer": ("film\u166dfilm", [100], [2143, 100, 2143]),
    "cjk extension e": ("film\U0002b820film", [2143, 100, 2143], [100]),
}


@pytest.fixture(scope="module")
def vocabulary(minilm_folder):
    return (minilm_folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")


@pytest.fixture(scope="module")
def preprocess(vocabulary):
    return WordPiecePreprocessor(vocabulary, sequence_length=LONG, break_tags="keep")


@pytest.fixture
def reference(minilm_folder):
    """The encoder's own tokenizer; a new one for each test, since truncation is set on it."""
    reference = tokenizers.Tokenizer.from_file(str(minilm_folder / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    return reference


@pytest.fixture(scope="module")
def imdb_texts(shared_tfds):
    dataset = tfds.load(
        "imdb_reviews", split=f"test[:{NUM_IMDB_TEXTS}]", data_dir=shared_tfds, download=False
    )
    return [example["text"].decode() for example in tfds.as_numpy(dataset)]


def token_ids_of(preprocess, texts, text_pairs=None) -> list[list[int]]:
    return preprocess.tokenize(texts, text_pairs)[0].to_list()


def reference_ids(reference, inputs, **settings) -> list[list[int]]:
    return [encoding.ids for encoding in reference.encode_batch(inputs, **settings)]


def differing(ours, theirs) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]


def test_equal_on_imdb(preprocess, reference, imdb_texts):
    ours = token_ids_of(preprocess, imdb_texts)
    assert len(ours) == NUM_IMDB_TEXTS
    assert differing(ours, reference_ids(reference, imdb_texts)) == []


def test_equal_on_imdb_without_break_tags(vocabulary, reference, imdb_texts):
    preprocess = WordPiecePreprocessor(vocabulary, sequence_length=LONG, break_tags="space")
    texts = imdb_texts[:1000]
    theirs = [re.sub(r"<br\s*/?>", " ", text, flags=re.IGNORECASE) for text in texts]
    assert sum("<br" in text for text in texts) > 100
    ours = token_ids_of(preprocess, texts)
    assert differing(ours, reference_ids(reference, theirs)) == []


@pytest.mark.parametrize(
    "settings", [{"strip_accents": False}, {"lowercase": False}, {"break_tags": "space"}], ids=str
)
def test_control_other_cleaning_is_caught(vocabulary, reference, imdb_texts, settings):
    settings = {"break_tags": "keep", **settings}
    preprocess = WordPiecePreprocessor(vocabulary, sequence_length=LONG, **settings)
    texts = imdb_texts[:1000]
    assert differing(token_ids_of(preprocess, texts), reference_ids(reference, texts))


@pytest.mark.parametrize("name", EQUAL)
def test_equal_on_awkward_texts(preprocess, reference, name):
    text = EQUAL[name]
    assert token_ids_of(preprocess, [text]) == [reference.encode(text).ids]


@pytest.mark.parametrize("name", INVALID_UTF8)
def test_invalid_utf8_as_if_it_were_not_there(preprocess, reference, name):
    text = INVALID_UTF8[name]
    assert token_ids_of(preprocess, [text]) == [reference.encode(text.decode(errors="replace")).ids]


@pytest.mark.parametrize("name", DIFFERENT)
def test_explained_differences(preprocess, reference, name):
    text, ours, theirs = DIFFERENT[name]
    assert token_ids_of(preprocess, [text])[0][1:-1] == ours
    assert reference.encode(text, add_special_tokens=False).ids == theirs


def is_explained(character: str) -> bool:
    """Whether Hugging Face's tables may tell something else of the character."""
    is_new = unicodedata.ucd_3_2_0.category(character) == "Cn"
    is_extension_e = 0x2B820 <= ord(character) < 0x2B920
    return is_new or is_extension_e or character in "\u1734\u166d\u1885\u1886"  # classified anew


@pytest.fixture(scope="module")
def characters() -> list[str]:
    """All of planes 0 and 1, and a sample of the rest."""
    planes = (range(0xD800), range(0xE000, 0x20000), range(0x20000, sys.maxunicode, 97))
    return [chr(code_point) for code_point in itertools.chain(*planes)]


def test_every_character_is_equal_or_explained(preprocess, reference, characters):
    texts = [f"fil{character}ter" for character in characters]
    found = differing(token_ids_of(preprocess, texts), reference_ids(reference, texts))
    assert [hex(ord(characters[i])) for i in found if not is_explained(characters[i])] == []
    if unicodedata.unidata_version == "14.0.0":
        assert len(found) == 542


def test_control_fast_bert_normalizer_would_not_do(vocabulary, reference, characters):
    """Why the table stands in the normalizer's place."""
    normalizer = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=True)
    tokenizer = tf_text.FastWordpieceTokenizer(vocabulary, token_out_type=tf.int32)
    texts = [f"fil{character}ter" for character in characters]
    ours = tokenizer.tokenize(normalizer.normalize(texts)).to_list()
    found = differing(ours, reference_ids(reference, texts, add_special_tokens=False))
    assert len([i for i in found if not is_explained(characters[i])]) > 5000


@pytest.mark.parametrize(
    ("lowercase", "strip_accents"), list(itertools.product((True, False), (None, True, False)))
)
def test_every_combination_of_case_and_accents(minilm_folder, vocabulary, lowercase, strip_accents):
    reference = tokenizers.BertWordPieceTokenizer(
        str(minilm_folder / "vocab.txt"), lowercase=lowercase, strip_accents=strip_accents
    )
    preprocess = WordPiecePreprocessor(
        vocabulary,
        lowercase=lowercase,
        strip_accents=strip_accents,
        sequence_length=LONG,
        break_tags="keep",
    )
    texts = list(EQUAL.values())
    assert differing(token_ids_of(preprocess, texts), reference_ids(reference, texts)) == []


def words(vocabulary, count: int) -> str:
    """`count` words of one token each, all different."""
    whole = [token for token in vocabulary if token.isascii() and token.isalpha()]
    return " ".join(random.Random(count).sample(whole, count))


@pytest.mark.parametrize("sequence_length", [4, 5, 8, 16, 31, 32])
def test_pairs_are_truncated_alike(vocabulary, reference, sequence_length):
    preprocess = WordPiecePreprocessor(vocabulary, sequence_length=sequence_length)
    reference.enable_truncation(sequence_length, strategy="longest_first")
    lengths = list(itertools.product(range(36), repeat=2))
    texts = [words(vocabulary, length) for length in range(36)]
    pairs = [(texts[first], texts[second]) for first, second in lengths]
    ours, segment_ids = preprocess.tokenize(*map(list, zip(*pairs, strict=True)))
    theirs = reference.encode_batch(pairs)
    assert differing(ours.to_list(), [encoding.ids for encoding in theirs]) == []
    assert differing(segment_ids.to_list(), [encoding.type_ids for encoding in theirs]) == []


@pytest.mark.parametrize(("truncation", "direction"), [("head", "right"), ("tail", "left")])
def test_single_texts_are_truncated_alike(vocabulary, reference, imdb_texts, truncation, direction):
    texts = imdb_texts[:500]
    reference.enable_truncation(64, direction=direction)
    theirs = reference_ids(reference, texts)
    settings = {"sequence_length": 64, "break_tags": "keep"}
    same = WordPiecePreprocessor(vocabulary, truncation=truncation, **settings)
    assert differing(token_ids_of(same, texts), theirs) == []
    control = {"head": "tail", "tail": "head"}[truncation]
    other = WordPiecePreprocessor(vocabulary, truncation=control, **settings)
    assert len(differing(token_ids_of(other, texts), theirs)) > 400


def test_the_control_of_pairs_is_red(vocabulary, reference):
    """The rule of the BERT release, where the odd token is the first text's, is not this one."""
    preprocess = WordPiecePreprocessor(vocabulary, sequence_length=8)
    text = words(vocabulary, 20)
    _, segment_ids = preprocess.tokenize([text], [text])
    assert tf.reduce_sum(segment_ids).numpy() == 3 + 1
    reference.enable_truncation(8, strategy="longest_first")
    assert sum(reference.encode(text, text).type_ids) == 3 + 1

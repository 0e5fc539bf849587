"""What becomes of a text: the same each time, as often as the chances say, and never nothing."""

from __future__ import annotations

import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasft.data.batches.augmentation import NEIGHBOURING_KEYS, Augmentation, mistype

chance = st.floats(0, 0.999)
augmentations = st.builds(
    Augmentation,
    share=st.floats(0.001, 1),
    deletion=chance,
    swap=chance,
    typos=chance,
    casing=chance,
    seed=st.integers(0, 2**31 - 1),
)
texts = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(["good", "Ünder", "<br />", " ", "\n", "I", "...", "字", "NOT"])).map(
        "".join
    ),
)
places = st.fixed_dictionaries(
    {"epoch": st.integers(0, 99), "example": st.integers(0, 2**40), "part": st.integers(0, 1)}
)
NUM_WORDS = 20_000
LONG = b" ".join(b"word%d" % number for number in range(NUM_WORDS))


def words_of(text):
    return re.split(r"(?:\s|<br\s*/?>)+", text.decode(errors="surrogateescape"))


def alter(text=LONG, *, epoch=0, example=0, part=0, **chances):
    return Augmentation(**chances).alter(text, epoch=epoch, example=example, part=part)


class TestPurity:
    @given(augmentations, texts, places)
    def test_the_same_again(self, augmentation, text, place):
        again = Augmentation(**vars(augmentation))
        assert again.alter(text.encode(), **place) == augmentation.alter(text.encode(), **place)

    @pytest.mark.parametrize(
        "other", [{"epoch": 1}, {"example": 1}, {"part": 1}, {"seed": 2}], ids=str
    )
    @pytest.mark.parametrize("what", ["deletion", "swap", "typos", "casing"])
    def test_control_another_place_is_altered_otherwise(self, what, other):
        assert alter(**{what: 0.3}) != alter(**{what: 0.3}, **other)

    def test_the_same_on_every_machine(self):
        """Golden: made by this code. It may change only with a resume-breaking note."""
        augmentation = Augmentation(deletion=0.2, swap=0.2, typos=0.2, casing=0.2, seed=3)
        text = b"A quiet film, and\na good one: nobody shouts."
        seen = [augmentation.alter(text, epoch=epoch, example=11) for epoch in range(3)]
        assert seen == GOLDEN

    def test_one_kind_of_change_does_not_move_another(self):
        """Settings can be compared: turning swaps on leaves the deletions where they were."""
        deleted = set(words_of(LONG)) - set(words_of(alter(deletion=0.2)))
        both = set(words_of(LONG)) - set(words_of(alter(deletion=0.2, swap=0.2)))
        assert deleted == both
        assert len(deleted) > 100


GOLDEN = [
    b"a quiet film, and\nZ good ONE: SHOUTS.",
    b"A film, quuiet and\ngood a one: nobody",
    b"quiet film, a\nand good ONE: nobody",
]


class TestWhatStays:
    @given(augmentations, texts, places)
    def test_altered_text_decodes_and_is_never_nothing(self, augmentation, text, place):
        altered = augmentation.alter(text.encode(), **place).decode()
        assert bool(altered.strip()) == bool(text.strip())

    @given(st.binary(max_size=60), places)
    def test_without_chances_nothing_changes(self, text, place):
        assert Augmentation().alter(text, **place) == text
        assert Augmentation(word_dropout=0.9).alter(text, **place) == text

    @given(augmentations, st.binary(max_size=60), places)
    def test_what_is_no_utf8_is_taken(self, augmentation, text, place):
        augmentation.alter(text, **place)

    @pytest.mark.parametrize("broken", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"a\x00b\xc3"])
    def test_what_is_no_utf8_is_kept_byte_for_byte(self, broken):
        text = b"one " + broken + b" two"
        swapped = {alter(text, swap=0.5, example=example) for example in range(30)}
        assert swapped == {text, broken + b" one two", b"one two " + broken}

    def test_where_there_is_nothing_to_alter(self):
        for example in range(30):
            for text in (b"", b" ", b"\n\t ", b"<br /><br/>", b"42", b"... !?"):
                assert alter(text, typos=0.99, casing=0.99, example=example) == text
            for text in (b"", b"\n\t ", b"42", b"word", b" word\n", b"<br />word<br />"):
                assert alter(text, deletion=0.99, swap=0.99, example=example) == text

    @given(texts, places)
    def test_a_deletion_of_all_leaves_one(self, text, place):
        altered = alter(text.encode(), deletion=0.999999999, **place)
        left = [word for word in words_of(altered) if word]
        assert len(left) == any(words_of(text.encode()))

    def test_which_word_is_left_is_drawn(self):
        left = [alter(b"a b c d", deletion=0.999999999, example=example) for example in range(400)]
        counts = [left.count(word) for word in (b"a", b"b", b"c", b"d")]
        assert sum(counts) == 400
        assert min(counts) > 60

    def test_spaces_stay_as_they_are(self):
        text = b"  one\ttwo\n\nthree<br /><br />four \xc2\xa0 five "
        spaces = [b"  ", b"\t", b"\n\n", b"<br /><br />", b" \xc2\xa0 ", b" "]
        for example in range(20):
            altered = alter(text, swap=0.5, typos=0.5, casing=0.3, example=example)
            assert re.findall(rb"(?:[ \t\n]|\xc2\xa0|<br />)+", altered) == spaces
        assert b"\t" not in alter(text, deletion=0.99)  # control: a word takes its space along

    def test_a_word_that_is_left_out_takes_the_space_behind_it(self):
        seen = {alter(b" a\tb\nc  ", deletion=0.5, example=example) for example in range(100)}
        assert seen == {
            b" a\tb\nc  ",
            *(b" b\nc  ", b" a\tc  ", b" a\tb  "),
            *(b" a  ", b" b  ", b" c  "),
        }

    def test_a_break_tag_is_no_word(self):
        text = b"one <br /> two<BR>three <br/>four"
        for example in range(50):
            altered = alter(text, deletion=0.3, swap=0.3, casing=0.3, typos=0.3, example=example)
            assert not re.sub(rb"(?i)<br ?/?>", b"", altered).count(b"<")


class TestHowOften:
    @pytest.mark.parametrize("rate", [0.05, 0.5])
    def test_deletion(self, rate):
        left = words_of(alter(deletion=rate))
        assert 1 - len(left) / NUM_WORDS == pytest.approx(rate, abs=tolerance(rate))
        numbers = [int(word[4:]) for word in left]
        assert numbers == sorted(numbers)

    @pytest.mark.parametrize("rate", [0.05, 0.5])
    def test_swap(self, rate):
        """A word that has just moved is passed over, so that p / (1 + p) of all move forward."""
        numbers = np.array([int(word[4:]) for word in words_of(alter(swap=rate))])
        assert np.sort(numbers).tolist() == list(range(NUM_WORDS))
        moves = numbers - np.arange(NUM_WORDS)
        assert set(moves.tolist()) == {-1, 0, 1}
        expected = rate / (1 + rate)
        assert (moves == 1).mean() == pytest.approx(expected, abs=tolerance(expected))

    @pytest.mark.parametrize("rate", [0.05, 0.5])
    @pytest.mark.parametrize("what", ["typos", "casing"])
    def test_changes_inside_words(self, what, rate):
        pairs = zip(words_of(LONG), words_of(alter(**{what: rate})), strict=True)
        share = np.mean([one != other for one, other in pairs])
        assert share == pytest.approx(rate, abs=tolerance(rate))

    @pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
    def test_share(self, share):
        augmentation = Augmentation(share=share, casing=0.99)
        examples = np.arange(20_000)
        chosen = augmentation.chosen(5, examples)
        assert chosen.mean() == pytest.approx(share, abs=tolerance(share))
        altered = [
            augmentation.alter(b"a b c d e", epoch=5, example=example) != b"a b c d e"
            for example in range(200)
        ]
        assert altered == chosen[:200].tolist()

    def test_share_is_drawn_anew_each_epoch_and_for_both_texts_at_once(self):
        augmentation = Augmentation(share=0.5, casing=0.999)
        examples = np.arange(10_000)
        both = augmentation.chosen(0, examples) & augmentation.chosen(1, examples)
        assert both.mean() == pytest.approx(0.25, abs=tolerance(0.25, 10_000))
        for example in range(100):
            first, second = (
                augmentation.alter(b"a b c d e", epoch=0, example=example, part=part)
                for part in (0, 1)
            )
            assert (first == b"a b c d e") == (second == b"a b c d e")

    def test_what_happens_to_a_word_is_independent(self):
        changed = [
            [one != other for one, other in zip(words_of(LONG), words_of(text), strict=True)]
            for text in (alter(typos=0.5), alter(casing=0.5), alter(casing=0.5, example=1))
        ]
        assert np.abs(np.corrcoef(changed)[np.triu_indices(3, 1)]).max() < 0.03


def tolerance(rate, count=NUM_WORDS):
    """Four standard deviations."""
    return 4 * np.sqrt(rate * (1 - rate) / count)


class TestTypos:
    def test_neighbouring_keys(self):
        assert sorted(NEIGHBOURING_KEYS) == list(string.ascii_lowercase)
        assert {key: "".join(sorted(NEIGHBOURING_KEYS[key])) for key in "gqpzm"} == {
            "g": "bfhtvy",
            "q": "aw",
            "p": "lo",
            "z": "asx",
            "m": "jkn",
        }
        for key, others in NEIGHBOURING_KEYS.items():
            assert all(key in NEIGHBOURING_KEYS[other] for other in others)

    def test_all_that_can_happen_to_a_word(self):
        seen = {mistype("No!", place, key, 0 + kind) for place, key, kind in EVERY}
        assert seen == {"NNo!", "Bo!", "Mo!", "Ho!", "Jo!", "o!", "oN!"} | {
            "Noo!",
            *("Ni!", "Np!", "Nk!", "Nl!"),
            "N!",
        }

    @pytest.mark.parametrize("word", ["", "42", "?!", "\udcff", "3.5%"])
    def test_a_word_without_letters_stays(self, word):
        assert mistype(word, 1, 2, 3) == word

    def test_a_single_letter_is_not_lost(self):
        assert {mistype("I,", place, key, kind) for place, key, kind in EVERY} == {
            *("II,", "U,", "O,", "J,", "K,")
        }

    def test_letters_of_no_keyboard(self):
        assert {mistype("éa", 0, key, kind) for _, key, kind in EVERY} == {"ééa", "a", "aé"}

    @given(st.text(min_size=1, max_size=12), *[st.integers(0, 2**64 - 1)] * 3)
    def test_one_mistake(self, word, place, key, kind):
        wrong = mistype(word, place, key, kind)
        assert abs(len(wrong) - len(word)) <= 1
        assert (wrong == word) == (not any(letter.isalpha() for letter in word))


EVERY = [(place, key, kind) for place in range(3) for key in range(6) for kind in range(4)]


@pytest.mark.parametrize(
    ("word", "changed"),
    [("good", "GOOD"), ("Good", "GOOD"), ("GOOD", "good"), ("I", "i"), ("42", "42"), ("ß", "SS")],
)
def test_casing(word, changed):
    seen = {alter(word.encode(), casing=0.9, example=example).decode() for example in range(40)}
    assert seen == {word, changed}


class TestWordDropout:
    LENGTHS = np.array([3, 0, 2000, 1])
    TOKEN_IDS = np.concatenate([[2, 9, 3], [2, *[9, 8, 1, 7] * 499, 3, 0, 3], [9]]).astype(np.int32)

    def drop(self, rate=0.3, *, epoch=0, examples=(4, 5, 6, 7), tokens=None, lengths=None, **more):
        return Augmentation(word_dropout=rate, **more).drop_tokens(
            self.TOKEN_IDS if tokens is None else tokens,
            self.LENGTHS if lengths is None else lengths,
            epoch=epoch,
            examples=np.array(examples),
            unknown_id=1,
            special_ids=(0, 2, 3),
        )

    def test_tokens_become_unknown_and_special_ones_stay(self):
        token_ids = self.drop()
        assert token_ids.dtype == np.int32
        special = np.isin(self.TOKEN_IDS, (0, 2, 3))
        assert (token_ids == self.TOKEN_IDS)[special].all()
        changed = token_ids != self.TOKEN_IDS
        assert (token_ids[changed] == 1).all()
        words = np.isin(self.TOKEN_IDS, (7, 8, 9))
        assert changed[words].mean() == pytest.approx(0.3, abs=tolerance(0.3, words.sum()))

    def test_an_example_alone_loses_what_it_loses_among_others(self):
        among = self.drop()[3:2003]
        alone = self.drop(examples=[6], tokens=self.TOKEN_IDS[3:2003], lengths=np.array([2000]))
        np.testing.assert_array_equal(among, alone)
        for other in ({"epoch": 1}, {"examples": (4, 5, 8, 7)}, {"seed": 2}):
            assert (self.drop(**other)[3:2003] != among).any()  # control

    def test_only_of_examples_that_are_altered(self):
        examples = np.arange(300)
        tokens, lengths = np.full(300 * 50, 9, np.int32), np.full(300, 50)
        token_ids = self.drop(0.9, examples=examples, tokens=tokens, lengths=lengths, share=0.4)
        changed = (token_ids.reshape(300, 50) == 1).any(axis=1)
        chosen = Augmentation(share=0.4).chosen(0, examples)
        np.testing.assert_array_equal(changed, chosen)

    def test_without_a_chance_nothing_is_dropped(self):
        np.testing.assert_array_equal(self.drop(0.0, deletion=0.5), self.TOKEN_IDS)


@pytest.mark.parametrize(
    "chances", [{"share": 0.0}, {"share": 1.1}, {"deletion": 1.0}, {"typos": -0.1}], ids=str
)
def test_a_chance_out_of_range_is_a_mistake(chances):
    with pytest.raises(ValueError, match=r"a chance below 1. Received: Augmentation\("):
        Augmentation(**chances)

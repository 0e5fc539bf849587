"""Random text augmentation that keeps the label.

Word deletion and swaps (Wei & Zou 2019, EDA), typos, changes of case, and word dropout (Iyyer et
al. 2015; Bowman et al. 2016). The result is a pure function of seed, epoch and example: a resumed
run reads the same texts as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator

import numpy as np

from kerasft.data.plan.scatter import draws, happens, key_of, keys_of, mix64

# Separates words. A break tag does, too: half of one would be read as text.
_SPACE = re.compile(r"((?:\s|<br\s*/?>)+)", re.IGNORECASE)
_SHARE, _WORDS, _TOKENS = 3, 4, 5  # independent chances; the batch plan has 1 and 2
_DELETION, _SWAP, _CASING, _TYPOS, _PLACE, _KEY, _KIND = range(7)  # the draws of each word
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row half a key to the right


def _neighbouring_keys() -> dict[str, str]:
    """Returns the letters that lie around each letter of a QWERTY keyboard."""
    at = {
        (row, column): key for row, keys in enumerate(_KEYBOARD) for column, key in enumerate(keys)
    }
    around = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))
    return {
        key: "".join(at.get((row + down, column + right), "") for down, right in around)
        for (row, column), key in at.items()
    }


NEIGHBOURING_KEYS = _neighbouring_keys()


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Alters texts and tokens as a pure function of (seed, epoch, example).

    Probabilities are from 0.0 (never) to below 1.0. In languages without spaces between words a
    text is one word: only typos, casing and word dropout alter it.

    Args:
        share: Share of the examples that are altered, above 0.0, at most 1.0; drawn again each
            epoch.
        deletion: Probability that a word is left out. One word always stays.
        swap: Probability that a word is swapped with the next one. Each word moves at most once.
        typos: Probability that a word gets one typo: a letter doubled, left out, swapped with the
            next one, or replaced by a neighbour on a QWERTY keyboard.
        casing: Probability that a word becomes upper case, or lower case if it is upper case.
        word_dropout: Probability that a token becomes the unknown token.
        seed: Seed of all draws.

    Raises:
        ValueError: If a probability is out of its range.

    Example:
        >>> Augmentation(swap=0.5).alter(b"one two three four", epoch=0, example=6)
        b'one three two four'
    """

    share: float = 1.0
    deletion: float = 0.0
    swap: float = 0.0
    typos: float = 0.0
    casing: float = 0.0
    word_dropout: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        chances = (self.deletion, self.swap, self.typos, self.casing, self.word_dropout)
        if not (0 < self.share <= 1 and all(0 <= chance < 1 for chance in chances)):
            raise ValueError(f"A share is above 0, a chance below 1. Received: {self}.")

    @property
    def alters_words(self) -> bool:
        """Whether texts are altered, and not only tokens."""
        return any((self.deletion, self.swap, self.typos, self.casing))

    def chosen(self, epoch: int, examples: np.ndarray) -> np.ndarray:
        """Returns which examples are altered in an epoch (from 0), bool `(num_examples,)`."""
        return happens(keys_of(key_of(self.seed, epoch, _SHARE), examples), self.share)

    def alter(self, text: bytes, *, epoch: int, example: int, part: int = 0) -> bytes:
        """Returns the augmented text (UTF-8) of an example in an epoch, both counted from 0.

        White space is kept, except after a deleted word. Invalid UTF-8 is kept byte for byte.
        `part` is 1 for the second text of a pair.
        """
        if not self.alters_words or not self.chosen(epoch, np.array([example]))[0]:
            return text
        words, spaces = _split(text.decode("utf-8", "surrogateescape"))
        if not words:
            return text
        values = draws(key_of(self.seed, epoch, _WORDS, example, part), (_KIND + 1) * len(words))
        values = values.reshape(_KIND + 1, len(words))
        for word in np.flatnonzero(happens(values[_TYPOS], self.typos)):
            words[word] = mistype(words[word], *map(int, values[_PLACE:, word]))
        for word in np.flatnonzero(happens(values[_CASING], self.casing)):
            words[word] = _change_case(words[word])
        kept = _kept(values[_DELETION], self.deletion)
        left = [words[word] for word in kept]
        _swap(left, happens(values[_SWAP, kept], self.swap))
        between = [spaces[word + 1] for word in kept[:-1]]
        return _join(left, [spaces[0], *between, spaces[-1]]).encode("utf-8", "surrogateescape")

    def drop_tokens(
        self,
        token_ids: np.ndarray,
        lengths: np.ndarray,
        *,
        epoch: int,
        examples: np.ndarray,
        unknown_id: int,
        special_ids: Collection[int],
    ) -> np.ndarray:
        """Replaces dropped tokens, never `special_ids`, by the unknown token.

        `token_ids`, int32 `(num_tokens,)`, holds all examples one after the other; `lengths`,
        `(num_examples,)`, their numbers of tokens; `examples`, int64 `(num_examples,)`, their
        numbers.
        """
        if not self.word_dropout:
            return token_ids
        keys = keys_of(key_of(self.seed, epoch, _TOKENS), examples)
        starts = np.cumsum(lengths) - lengths
        columns = np.arange(len(token_ids)) - np.repeat(starts, lengths)
        values = mix64(np.repeat(keys, lengths) + columns.astype(np.uint64))
        dropped = happens(values, self.word_dropout)
        dropped &= np.repeat(self.chosen(epoch, examples), lengths)
        dropped &= ~np.isin(token_ids, list(special_ids))
        return np.where(dropped, np.int32(unknown_id), token_ids)


def mistype(word: str, place: int, key: int, kind: int) -> str:
    """Returns a word with one typo; a word without letters is unchanged.

    `place` chooses the letter, `key` the neighbouring key and `kind` the mistake, each modulo the
    number of possibilities.
    """
    letters = [index for index, letter in enumerate(word) if letter.isalpha()]
    if not letters:
        return word
    mistakes = list(_mistakes(word, letters[place % len(letters)], key, len(letters) > 1))
    return mistakes[kind % len(mistakes)]


def _mistakes(word: str, at: int, key: int, has_more: bool) -> Iterator[str]:
    """Yields the possible typos at one letter; a letter is left out only if the word has more."""
    before, letter, behind = word[:at], word[at], word[at + 1 :]
    yield before + letter * 2 + behind
    if keys := NEIGHBOURING_KEYS.get(letter.lower()):
        other = keys[key % len(keys)]
        yield before + (other.upper() if letter.isupper() else other) + behind
    if has_more:
        yield before + behind
    following = behind[:1]
    if following.isalpha() and following.lower() != letter.lower():
        yield before + following + letter + behind[1:]


def _change_case(word: str) -> str:
    return word.lower() if word.isupper() else word.upper()


def _split(text: str) -> tuple[list[str], list[str]]:
    """Returns the words, and the spaces before, between and after them: one more than words."""
    pieces = _SPACE.split(text)
    words, spaces = pieces[::2], ["", *pieces[1::2], ""]
    if not words[0]:
        del words[0], spaces[0]
    if words and not words[-1]:
        del words[-1], spaces[-1]
    return words, spaces


def _join(words: list[str], spaces: list[str]) -> str:
    """Reverses `_split`."""
    return spaces[0] + "".join(map("".join, zip(words, spaces[1:], strict=True)))


def _kept(values: np.ndarray, deletion: float) -> np.ndarray:
    """Returns the indices of the words that are kept: at least one."""
    kept = np.flatnonzero(~happens(values, deletion))
    return kept if len(kept) else np.array([values.argmax()])


def _swap(words: list[str], wanted: np.ndarray) -> None:
    """Swaps words with the next one, in place, none of them twice."""
    moved = -1
    for word in np.flatnonzero(wanted[:-1]):
        if word != moved:
            words[word], words[word + 1] = words[word + 1], words[word]
            moved = word + 1

"""The built-in sample: synthetic film reviews, for when no real data can be had.

THESE REVIEWS ARE SYNTHETIC. A seeded generator writes them from templates made for this project;
nobody has seen these films, and they do not exist. A metric measured on them says nothing about
real reviews. They are there so that every pipeline, test and example runs with no network and
no download, on data which has the shape of IMDB (two balanced classes, one sentence to several
paragraphs, `<br />` tags) and which has to be learned: train and test share no template, words of
praise and of blame stand in both classes, and negation, contrast and concession decide.

Generation is a pure function of `_SEEDS`, the same on every machine. It takes its randomness
from `random.Random(int).random()` alone: Python promises that sequence for good, but not the
algorithms of `choice`, `shuffle` or `sample`. It never iterates over a set, whose order would
change with hash randomisation.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from kerasft.data.sources.builtin_sample_phrases import TEMPLATES
from kerasft.errors import UserError

T = TypeVar("T")

BUILTIN_SAMPLE_VERSION = "1"
NUM_EXAMPLES = {"train": 2400, "test": 600}
_SEEDS = {"train": 20_261, "test": 20_262}

_REGISTERS = ("critic", "critic", "fan", "fan", "letter", "irony", "terse")
# How likely each kind of remark is, in a register; "contrast" stands once in a review at most.
_REMARKS = {
    "critic": ("remark formal",) * 5 + ("feeling", "contrast"),
    "fan": ("remark chatty",) * 3 + ("remark formal", "feeling", "contrast"),
    "letter": ("remark formal",) * 4 + ("feeling", "feeling", "contrast"),
    "irony": ("remark irony", "remark irony", "remark formal", "feeling"),
}
_ADJECTIVES = {  # negative, positive
    "craft": (
        "bad clumsy dull lazy stale tired careless tedious lifeless weak sloppy muddled crude",
        "good fresh clever subtle inventive thoughtful lively convincing elegant graceful precise "
        "assured original",
    ),
    "film": (
        "bad boring silly tedious dreary pointless forgettable confused hollow irritating dull "
        "predictable",
        "good clever moving gripping charming memorable warm exciting thoughtful entertaining "
        "satisfying original",
    ),
    "strong": (
        "dreadful awful terrible atrocious abysmal wretched woeful appalling third-rate dismal",
        "superb wonderful excellent brilliant splendid marvellous terrific outstanding first-rate "
        "magnificent",
    ),
}
_NEUTRAL = {
    "aspect": """the acting|the script|the dialogue|the cinematography|the editing|the score
        the pacing|the humour|the love story|the ending|the opening scene|the lighting
        the chase in the second act|the sound design|the set design|the final twist|the casting
        the narration|the middle section|the courtroom scene|the direction|the supporting cast
        the big speech at the end|the photography|the staging|the title song
        the inheritance subplot|the wardrobe|the use of music|the dinner scene""",
    "title": """The Tin Orchard|Nine Lanterns for Ada|Low Water at Pell|The Glass Ferry
        Saturday's Cartographer|A Ledger of Rain|The Second Beekeeper|Marrow Street
        The Orange Telegraph|Quiet Hours at Saltby|The Understudy's Brother|Eleven Doors Down
        The Weight of Chalk|Letters to a Lighthouse|The Borrowed Piano|A Coat for Mr Finch""",
    "genre": """thriller|comedy|drama|mystery|western|costume drama|ghost story|road movie
        family film|musical""",
    "director": "Halloran|Brandt|Osei|Lindqvist|Marchetti|Petrova|Quill|Vance|Tanaka|Moreau",
    "star": "Ines Calloway|Tom Ferrars|Mara Deane|Joel Abara|Katya Winn|Luis Prentice|Anna Voss",
    "friend": "my sister|my brother|my flatmate|my aunt|my oldest friend|my colleague|my cousin",
    "penfriend": "Nora|Felix|Harriet|Emil|Rosa|Conrad",
    "town": "Harrow Bay|Kestrel Point|Old Marsden|Port Alder|Winsted|Grayling|Upper Thorne",
    "place": "Saltmere|Crow Hill|Little Anders|Fenwick Hall|Dunmore Quay|Eastholm",
    "name": "Jonas|Mirela|Tobias|Wren|Ottilie|Samir|Greta|Ivo|Lucia|Bram",
    "hero": """a retired lighthouse keeper|a piano tuner|a night nurse|a failed magician
        a country vet|a map maker|a young baker|a former boxer|a tax inspector|a bus driver
        an unemployed clown|a widowed clockmaker""",
}
_ADJECTIVE_WORDS = {
    slot: tuple(words.split() for words in by_sentiment)
    for slot, by_sentiment in _ADJECTIVES.items()
}
_NEUTRAL_WORDS = {
    slot: tuple(word.strip() for word in re.split(r"[|\n]", words))
    for slot, words in _NEUTRAL.items()
}

# A bag of words solves the sample the better, the fewer sentences turn an adjective round ("never
# dull") and the more reviews sum up in plain words. Measured in tests/unit/data: 0.82 to 0.86.
_TURNED_SHARE = 0.25
_SUMMARY_SHARE = 0.65

_CHOICE = re.compile(r"\{([^|}]*)\|([^|}]*)\}")
_SLOT = re.compile(r"<(!?)(\w+)>")
_SENTENCE_START = re.compile(r"(?:^|(?<=[.!?] ))[a-z]")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


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
    return iter(_generate(split))


@functools.cache
def split_templates(split: str) -> dict[str, tuple[str, ...]]:
    """Returns the sentence templates of a split by the role they play in a review."""
    sections = TEMPLATES[split].strip().removeprefix("[").split("\n[")
    return {
        role: tuple(lines.strip().splitlines())
        for role, lines in (section.split("]\n") for section in sections)
    }


@functools.cache
def _generate(split: str) -> tuple[tuple[str, int], ...]:
    dice = _Dice(_SEEDS[split])
    reviews: dict[str, int] = {}  # keeps its order, and a text only once
    while len(reviews) < NUM_EXAMPLES[split]:
        first = dice.below(2)
        for label in (first, 1 - first):
            count = len(reviews)
            while len(reviews) == count:
                reviews.setdefault(_Review(dice, split_templates(split), label).write(), label)
    return tuple(reviews.items())


class _Dice:
    """Random choices that stay the same with every Python: only `Random.random` is used."""

    def __init__(self, seed: int):
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        return int(self._random() * limit)

    def between(self, low: int, high: int) -> int:
        """Returns an integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]


class _Review:
    """One review in the making: remembers its cast and what it has already said.

    Args:
        dice: The source of every choice.
        templates: The templates of the split by role.
        label: 0 for a negative review, 1 for a positive one.
    """

    def __init__(self, dice: _Dice, templates: dict[str, tuple[str, ...]], label: int):
        self._dice = dice
        self._templates = templates
        self._label = label
        self._cast: dict[str, str] = {}
        self._used: set[str] = set()  # asked for membership only

    def write(self) -> str:
        """Returns the text of the review."""
        register = self._dice.pick(_REGISTERS)
        if register == "terse":
            roles = ["fragment"] * self._dice.between(0, 3) + ["verdict terse"]
            return " ".join(self._sentence(role, self._label) for role in roles)
        size = self._dice.pick(("short", "medium", "medium", "long"))
        paragraphs = [paragraph for paragraph in self._paragraphs(register, size) if paragraph]
        separator = " "
        if size == "long":
            separator = "<br /><br />" if self._dice.chance(0.7) else "\n\n"
        elif size == "medium" and self._dice.chance(0.3):
            separator = "<br /><br />"
        return separator.join(" ".join(paragraph) for paragraph in paragraphs)

    def _paragraphs(self, register: str, size: str) -> Iterator[list[str]]:
        """Yields the story, what is conceded to the other side, the case, the verdict."""
        story, conceded, own = {
            "short": (0, 0, self._dice.between(1, 2)),
            "medium": (self._dice.between(0, 3), self._dice.between(0, 2), 3),
            "long": (5, self._dice.between(1, 4), self._dice.between(7, 13)),
        }[size]
        roles = ["setup", "complication", "aside", "aside", "aside"][:story]
        yield [self._sentence(role, self._label) for role in [f"opening {register}", *roles]]
        remarks = "remark chatty" if register == "fan" else "remark formal"
        concession = [self._sentence(remarks, 1 - self._label) for _ in range(conceded)]
        if concession:
            concession.append(self._sentence("turn", self._label))
        yield concession
        yield self._case(register, own)

    def _case(self, register: str, count: int) -> list[str]:
        """Returns `count` remarks of the review's own sentiment, and its verdict."""
        contrast_left = True
        case = []
        for _ in range(count):
            role = self._dice.pick(_REMARKS[register])
            if role == "contrast" and not contrast_left:
                role = "remark formal"
            contrast_left = contrast_left and role != "contrast"
            case.append(self._sentence(role, self._label))
        if self._dice.chance(_SUMMARY_SHARE):
            case.append(self._sentence("summary", self._label))
        case.append(self._sentence(f"verdict {register}", self._label))
        if register == "letter":
            case.append(self._sentence("closing letter", self._label))
        return case

    def _sentence(self, role: str, sentiment: int) -> str:
        """Returns a sentence of a template not used so far in this review."""
        template = self._pick_new(self._options(role, sentiment))
        text = _CHOICE.sub(lambda match: match[sentiment + 1], template)
        text = _SLOT.sub(lambda match: self._fill(match[2], sentiment ^ bool(match[1])), text)
        text = _SENTENCE_START.sub(lambda match: match[0].upper(), text)
        return _ARTICLE.sub(r"\1n ", text)

    def _options(self, role: str, sentiment: int) -> Sequence[str]:
        """Returns the templates to choose from: unused ones, and turned round or not as diced.

        What a review concedes to the other side is said in mild words. A long review that has
        used up its own kind of remark goes on in the formal kind.
        """
        fresh = [line for line in self._templates[role] if line not in self._used]
        if sentiment != self._label:
            fresh = [line for line in fresh if "<strong>" not in line]
        if not fresh and role != "remark formal":
            return self._options("remark formal", sentiment)
        turned = self._dice.chance(_TURNED_SHARE)
        wanted = [line for line in fresh if ("<!" in line) == turned]
        return wanted or fresh or self._templates[role]

    def _fill(self, slot: str, sentiment: int) -> str:
        if slot in _ADJECTIVE_WORDS:
            return self._pick_new(_ADJECTIVE_WORDS[slot][sentiment])
        if slot == "aspect":
            return self._pick_new(_NEUTRAL_WORDS[slot])
        if slot not in self._cast:
            self._cast[slot] = self._dice.pick(_NEUTRAL_WORDS[slot])
        return self._cast[slot]

    def _pick_new(self, options: Sequence[str]) -> str:
        """Picks an option that this review has not used; any of them when all are used."""
        fresh = [option for option in options if option not in self._used]
        choice = self._dice.pick(fresh or options)
        self._used.add(choice)
        return choice

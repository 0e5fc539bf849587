import json

import numpy as np
import pytest

from kerasft.data.example import MULTI, NUMBER
from kerasft.data.inspection import inspect_source, length_preprocessor
from kerasft.data.plan.splits import text_hashes
from kerasft.data.sources.source import load_source
from kerasft.errors import UserError
from kerasft.models.tiny_random import load_vocabulary


def problems_of(inspection):
    return [(problem.level, problem.split, problem.what) for problem in inspection.problems]


def test_nothing_is_wrong(inspect, balanced):
    inspection = inspect({"train": balanced})
    assert inspection.problems == ()
    assert inspection.errors == []
    inspection.check()
    train = inspection.splits["train"]
    assert (train.rows, train.distinct_texts, train.duplicates) == (20, 20, 0)
    assert train.counts == {"neg": 10, "pos": 10}
    assert (train.lengths.unit, train.lengths.limit, train.lengths.longest) == ("words", None, 7)
    assert inspection.to_lines() == [
        "train: 20 rows, 20 different texts.",
        "train: neg 10 (50.0%), pos 10 (50.0%).",
        "train: words a text, at most: 50 % 7, 90 % 7, 95 % 7, 99 % 7, longest 7.",
    ]


PAIRS = [(f"q{row}", f"a{row}", row % 2) for row in range(20)]
REPEATED = "with a text that another row has, too (case, accents and blanks aside)"


def test_duplicates_and_empty_texts(inspect, balanced):
    texts = inspect({"train": [*balanced, balanced[0], balanced[0], ("  ", 0)]})
    assert texts.splits["train"].distinct_texts == 21
    pairs = inspect({"train": [*PAIRS, ("q0", "a1", 1), ("q0", "a0", 0), ("q2", " ", 0)]})
    assert pairs.splits["train"].lengths.percentiles[50] == 2
    for found, rows in ((texts, "2 rows"), (pairs, "1 row")):
        assert problems_of(found) == [
            ("warning", "train", "1 text empty"),
            ("note", "train", f"{rows} {REPEATED}"),
        ]


def test_equal_texts_under_different_labels_are_shown(inspect, balanced):
    long, shown = (
        "a text\n" + "that is long " * 5,
        "a text that is long that is long that is long that is lon...",
    )
    rows = [(long, 0), ("same", 1), ("same", 1), (long, 1), ("same", 0)]
    inspection = inspect({"train": [*balanced, *rows]})
    train = inspection.splits["train"]
    assert (train.conflicting_texts, train.conflicting_rows) == (2, 5)
    assert train.conflicts == [
        {"text": shown, "labels": ["neg", "pos"]},
        {"text": "same", "labels": ["pos", "neg"]},
    ]
    told = f'2 texts under different labels, in 5 rows: "{shown}" (neg / pos); "same" (pos / neg)'
    assert inspection.problems[0].what == told
    assert "decide on one label" in inspection.problems[0].fix


def test_conflicts_of_other_kinds_of_label(inspect):
    sets = [(f"text {row}", (row % 2,)) for row in range(20)]
    inspection = inspect({"train": [*sets, ("same", (0, 1)), ("same", ())]}, label_kind=MULTI)
    assert inspection.splits["train"].conflicts == [
        {"text": "same", "labels": ["neg, pos", "no label"]}
    ]
    numbers = [(f"text {row}", row / 2) for row in range(20)]
    inspection = inspect(
        {"train": [*numbers, ("same", 1.5), ("same", 1.25), ("equal", 2.0), ("equal", 2.0)]},
        label_kind=NUMBER,
        label_names=(),
    )
    assert inspection.splits["train"].conflicts == [{"text": "same", "labels": ["1.5", "1.25"]}]


def test_texts_in_two_splits(inspect, balanced):
    test = [(text, label) for text, label in balanced[:3]] + [("new", 1)]
    inspection = inspect({"train": [*balanced, balanced[0]], "validation": test, "test": test})
    assert [
        (leak.what, leak.split, leak.other, leak.shared, leak.rows) for leak in inspection.leaks
    ] == [
        ("texts", "train", "validation", 3, 4),
        ("texts", "train", "test", 3, 4),
        ("texts", "validation", "test", 4, 4),
    ]
    leaks = {problem.split: problem for problem in inspection.problems if "both" in problem.what}
    assert leaks["train and test"].what == "3 texts in both, 4 rows of train"
    assert "left out of training" in leaks["train and test"].fix
    assert "would flatter" in leaks["validation and test"].fix


def test_near_copies_are_equal_texts(inspect, balanced):
    copies = [("A text of  its own , number 1", 0), ("a te\u0301xt of its own, number 2", 0)]
    inspection = inspect(
        {"train": [*balanced, *copies], "test": [("A TEXT OF ITS OWN, NUMBER 5", 1)]}
    )
    train = inspection.splits["train"]
    assert (train.duplicates, train.conflicting_texts) == (2, 1)
    assert [(leak.shared, leak.rows) for leak in inspection.leaks] == [(1, 1)]


RARE = (("cancel it", 2), ("stop it", 2))
NAMES = ("neg", "pos", "cancel")


NONE_LEFT = r"No training example is left of cancel: all 2 occur"


def test_nothing_is_left_of_a_class(inspect, balanced):
    train, test = [*balanced, *RARE], [balanced[0], *RARE]
    with pytest.raises(UserError, match=NONE_LEFT):
        inspect({"train": train, "test": test}, label_names=NAMES).check()
    inspect({"train": train, "test": test[:-1]}, label_names=NAMES).check()  # control
    validated = inspect({"train": train, "validation": RARE}, label_names=NAMES)
    (problem,) = [problem for problem in validated.problems if "left of" in problem.what]
    assert problem.level == "warning"  # its metrics will show it
    several = {"train": [(text, (label,)) for text, label in train]}
    several["test"] = [(text, (label,)) for text, label in test]
    with pytest.raises(UserError, match=NONE_LEFT):
        inspect(several, label_kind=MULTI, label_names=NAMES).check()
    groups = {"train": text_hashes([b"a"] * 20 + [b"b"] * 2), "test": text_hashes([b"b"])}
    with pytest.raises(UserError, match=NONE_LEFT):
        inspect(
            {"train": train, "test": [("another", 0)]}, groups=groups, label_names=NAMES
        ).check()


def test_nothing_is_left_of_a_file_that_is_its_own_test(make_source, balanced):
    source = make_source({"train": balanced, "test": balanced})
    with pytest.raises(UserError, match=r"Nothing is left to train on: all 20 rows occur in t"):
        inspect_source(source).check()
    kept = inspect_source(source, keeps_leaks=True)
    kept.check()
    assert "leave data.keep_train_test_duplicates out" in kept.problems[0].fix


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("pos", "Pos"), "look alike: pos and Pos"),
        (("pos", "pos\u200b"), r"look alike: pos and pos<U\+200B>"),
        (("ne g", "ne\u00a0g"), r"look alike: ne g and ne<U\+00A0>g"),
        (("New York", "newyork"), "look alike: New York and newyork"),
        (("0.1", "0.10"), r"look alike: 0\.1 and 0\.10"),
        (("nan", "pos"), r"write for a missing value: nan \(10\)"),
        (("12%", "15%"), "look like numbers written with percent signs"),
    ],
)
def test_labels_that_may_be_meant_otherwise(inspect, balanced, names, told):
    with pytest.raises(AssertionError, match=told):
        assert problems_of(inspect({"train": balanced}, label_names=names)) == []


@pytest.mark.parametrize(
    "names", [("neg", "pos"), ("1234567890123456789", "1234567890123456790"), ("none", "na")]
)
def test_control_names_that_are_right(inspect, balanced, names):
    assert problems_of(inspect({"train": balanced}, label_names=names)) == []


@pytest.mark.parametrize(
    ("each", "detected", "warned"), [(4, True, 1), (4, False, 0), (1, True, 0)]
)
def test_whole_numbers_may_be_classes(make_source, each, detected, warned):
    rows = [(f"text {row}", float(row % 60)) for row in range(60 * each)]
    source = make_source({"train": rows}, label_kind=NUMBER, label_names=())
    source.kind_is_detected = detected
    problems = inspect_source(source).problems
    assert len(problems) == warned
    assert all("--label-kind single" in p.fix and "60 different whole" in p.what for p in problems)


def test_groups(inspect, balanced):
    groups = {
        "train": text_hashes([b"%d" % (row // 5) for row in range(20)]),
        "test": text_hashes([b"3", b"9"]),
    }
    test = [("one", 0), ("two", 1)]
    inspection = inspect({"train": balanced, "test": test}, groups=groups)
    assert inspection.splits["train"].groups == 4
    assert problems_of(inspection) == [
        ("warning", "train and test", "1 group in both, 5 rows of train")
    ]
    alone = inspect({"train": balanced}, groups={"train": text_hashes([b"x"] * 20)})
    assert problems_of(alone) == [
        ("warning", "train", "All rows are of one group, which cannot be split")
    ]


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_rare_labels(inspect, kind):
    counts = {0: 30, 1: 1, 2: 9, 3: 10, 4: 1}
    labels = [label for label, count in counts.items() for _ in range(count)]
    labels = [(label,) for label in labels] if kind == MULTI else labels
    rows = [(f"text {row}", label) for row, label in enumerate(labels)]
    inspection = inspect({"train": rows}, label_kind=kind, label_names=(*"abcde",))
    thing = {"single": "classes", "multi": "labels"}[kind]
    error, *others = problems_of(inspection)
    assert error == ("error", "train", f"2 {thing} have fewer than 2 examples: b (1), e (1)")
    assert others[0][0] == "warning"
    assert others[0][2].endswith("has fewer than 10 examples: c (9)")
    assert inspection.to_lines()[0].startswith(
        f"error: train: 2 {thing} have fewer than 2 examples"
    )
    assert inspection.to_json()["usable"] is False
    expected = rf"cannot be trained on. train: 2 {thing} have fewer .* Fix: add examples, merge"
    with pytest.raises(UserError, match=expected):
        inspection.check()


def test_unbalanced_classes(inspect):
    rows = [(f"text {row}", int(row < 10)) for row in range(110)]
    (problem,) = inspect({"train": rows}).problems
    assert problem.what == "The most frequent class has 10 times as many rows as the rarest"
    assert "training.class_weights=balanced" in problem.fix
    assert inspect({"train": rows[:-1]}).problems == ()  # control


def test_labels_that_cannot_be_learnt(inspect, balanced):
    texts = [text for text, _ in balanced]
    number = {"label_kind": NUMBER, "label_names": ()}
    for rows, fields, message in (
        (
            [(text, 1) for text in texts],
            {"label_names": ("pos",) * 2},
            r"but one class, pos\. Fix: n",
        ),
        ([(text, 1.5) for text in texts], number, "All labels are the same number"),
        ([*balanced, ("hidden", -1)], {}, "The labels of 1 row are hidden"),
    ):
        with pytest.raises(UserError, match=message):
            inspect({"train": rows}, **fields).check()
    with pytest.raises(UserError, match=r"test: There is no row\. Fix: add rows"):
        inspect({"train": balanced, "test": []}).check()
    with pytest.raises(UserError, match=r"fake has no split to look at\. Expected: one of train"):
        inspect({"unsupervised": balanced})


def test_hidden_labels_elsewhere_are_noted(inspect, balanced):
    inspection = inspect({"train": balanced, "test": [("one", -1), ("two", -1)]})
    assert problems_of(inspection) == [("note", "test", "The labels of 2 rows are hidden")]
    assert inspection.splits["test"].counts == {"neg": 0, "pos": 0}
    assert not any(line.startswith("test: neg") for line in inspection.to_lines())


def test_labels_of_several_to_a_text_are_counted(inspect):
    labels = [(0, 2), (0,), (), (0, 1, 2)] * 10
    rows = [(f"text {row}", label) for row, label in enumerate(labels)]
    inspection = inspect({"train": rows}, label_kind=MULTI, label_names=("a", "b", "c"))
    train = inspection.splits["train"]
    assert train.counts == {"a": 30, "b": 10, "c": 20}
    assert train.labels_per_text == {0: 10, 1: 10, 2: 10, 3: 10}
    assert "train: labels a text: 10 with 0, 10 with 1, 10 with 2, 10 with 3." in (
        inspection.to_lines()
    )
    assert inspection.problems == ()


def test_quantiles_of_numbers(inspect):
    rows = [(f"text {row}", row / 10) for row in range(101)]
    inspection = inspect({"train": rows}, label_kind=NUMBER, label_names=())
    quantiles = {0: 0.0, 5: 0.5, 25: 2.5, 50: 5.0, 75: 7.5, 95: 9.5, 100: 10.0}
    assert inspection.splits["train"].quantiles == quantiles
    assert any("label at most: 0 (0 %), 0.5 (5 %)" in line for line in inspection.to_lines())


@pytest.mark.parametrize(
    ("first", "step", "told"),
    [
        (1900, 1, ()),
        (10_000_000, 1, ()),
        (1_700_000_000, 1, ("All labels are the same number to a float32",)),
        (1_700_000_000, 100, ("The labels have more digits than a float32 keeps",)),
    ],
)
def test_numbers_that_float32_does_not_keep(inspect, first, step, told):
    rows = [(f"text {row}", float(first + step * row)) for row in range(60)]
    problems = inspect({"train": rows}, label_kind=NUMBER, label_names=()).problems
    assert [problem.what.partition(":")[0] for problem in problems] == list(told)
    assert all(problem.fix.startswith("subtract a constant") for problem in problems)


def test_lengths_in_tokens(inspect):
    rows = [("a " * length, length % 2) for length in range(1, 101)]
    preprocessor = length_preprocessor(load_vocabulary())
    inspection = inspect({"train": rows}, preprocessor=preprocessor, sequence_length=80)
    lengths = inspection.splits["train"].lengths
    assert lengths.percentiles == {50: 52, 90: 92, 95: 97, 99: 101}  # two special tokens
    assert (lengths.unit, lengths.longest, lengths.limit) == ("tokens", 102, 80)
    assert lengths.truncated_share == 0.22
    (problem,) = inspection.problems
    assert problem.what == "22.0% of the texts are longer than 80 tokens, and are cut"
    assert problem.fix.startswith("set model.sequence_length=104 to read 95 % whole, or model.")
    assert inspection.to_lines()[-1].endswith("longest 102; 22.0% longer than 80.")
    longer = inspect({"train": rows}, preprocessor=preprocessor, sequence_length=97)
    assert longer.splits["train"].lengths.truncated_share == 0.05
    whole = inspect({"train": rows}, preprocessor=preprocessor, sequence_length=102)
    assert whole.problems == ()
    rows = [("a " * 700, row % 2) for row in range(20)]  # longer than an encoder reads
    longer = inspect({"train": rows}, preprocessor=preprocessor, sequence_length=256)
    fixes = [problem.fix for problem in longer.problems]
    assert "set model.truncation=windows to read on, for more time" in fixes


def test_lengths_of_pairs(inspect):
    rows = [(f"a {row}", "b", row % 2) for row in range(20)]
    inspection = inspect({"train": rows}, preprocessor=length_preprocessor(load_vocabulary()))
    lengths = inspection.splits["train"].lengths
    assert lengths.percentiles[50] == 3 + 3  # three special tokens
    assert lengths.truncated_share is None


def test_faults_of_encoding_are_counted(inspect, balanced):
    broken = [("caf\ufffd", 0), ("cafÃ©", 1), ("caf\x07", 0), ("<br /> &amp;", 1)]
    inspection = inspect({"train": [*balanced, *broken]})
    assert [(level, what.split(" ", 2)[0]) for level, _, what in problems_of(inspection)] == [
        ("warning", "1"),
        ("warning", "1"),
        ("note", "1"),  # "caf\x07" is read as "caf\ufffd" is
        ("note", "1"),
        ("note", "4.2%"),
    ]
    faults = ("replacement_character", "mojibake", "control_character", "html")
    assert inspection.splits["train"].faults == dict.fromkeys(faults, 1)


def test_rows_that_the_source_leaves_out_are_told(inspect, balanced):
    inspection = inspect({"train": balanced}, dropped={"train": {"no text": 3, "no label": 1}})
    assert problems_of(inspection) == [
        ("warning", "train", "3 rows left out: no text"),
        ("warning", "train", "1 row left out: no label"),
    ]
    assert inspection.to_json()["splits"]["train"]["left_out"] == {"no text": 3, "no label": 1}


def test_it_is_plain_data(inspect, balanced):
    inspection = inspect({"train": [*balanced, ("same", 0), ("same", 1)], "test": balanced[:2]})
    as_json = json.loads(json.dumps(inspection.to_json(), allow_nan=False))
    assert as_json["usable"] is True
    assert as_json["splits"]["train"]["lengths"]["percentiles"]["50"] == 7
    assert as_json["problems"][0].keys() == {"level", "split", "what", "fix"}
    assert [problem["level"] for problem in as_json["problems"]] == ["warning", "warning", "note"]


def test_many_labels_are_summed_up(inspect):
    rows = [(f"text {row}", row % 20) for row in range(400)]
    names = tuple(f"l{rank}" for rank in range(20))
    (line,) = (
        line for line in inspect({"train": rows}, label_names=names).to_lines() if "l0" in line
    )
    assert line.endswith("l11 20 (5.0%) and 8 more labels.")


def test_more_rows_than_a_batch(inspect):
    rows = [(f"text {row % 2500}", row % 2500 % 2) for row in range(3000)]
    train = inspect({"train": rows}).splits["train"]
    assert (train.rows, train.distinct_texts, train.duplicates) == (3000, 2500, 500)
    assert train.conflicting_texts == 0


def test_imdb(shared_tfds):
    source = load_source("imdb_reviews", data_dir=shared_tfds)
    assert source.name == "imdb_reviews/plain_text"
    inspection = inspect_source(source)
    train, test = inspection.splits["train"], inspection.splits["test"]
    assert (train.rows, train.distinct_texts) == (25000, 24901)
    assert (test.rows, test.distinct_texts) == (25000, 24799)
    assert train.counts == {"neg": 12500, "pos": 12500}
    (leak,) = inspection.leaks
    assert (leak.shared, leak.rows) == (123, 123)
    assert train.faults["html"] / train.rows > 0.5
    assert inspection.errors == []


def test_scores_of_a_test_split_are_hidden_in_glue(shared_tfds):
    inspection = inspect_source(load_source("glue/rte", data_dir=shared_tfds))
    assert inspection.splits["test"].hidden_labels == inspection.splits["test"].rows == 3000
    assert np.isclose(sum(inspection.splits["train"].counts.values()), 2490)

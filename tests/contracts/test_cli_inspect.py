"""`kerasft inspect`: what people and scripts get to see of their files."""

from __future__ import annotations

import json

import pytest

COLUMNS = ("--text", "body", "--label", "verdict")
ROWS = [(f"a text of its own, number {row}", ("bad", "good")[row % 2]) for row in range(24)]


@pytest.fixture(autouse=True)
def _no_encoder(monkeypatch, tmp_path):
    """Counts words, whatever is installed."""
    monkeypatch.setattr("kerasft.models.presets.default_preset_candidates", lambda: [tmp_path])


@pytest.fixture
def write_csv(tmp_path):
    """Writes a table into the folder where the command runs."""

    def write(name, rows, header="body,verdict"):
        lines = [header, *(",".join(f'"{cell}"' for cell in row) for row in rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


def cells_of(result):
    return {tuple(line.split()) for line in result.out.splitlines()}


def test_good_files(command, write_csv):
    write_csv("a.csv", ROWS)
    result = command("inspect", "a.csv", *COLUMNS)
    assert result.code == 0
    assert result.out.startswith("Nothing is wrong with this data.\n")
    assert 'The labels in "verdict" are 2 classes: bad, good.' in result.out
    shown = cells_of(result)
    assert {("rows", "24"), ("different", "texts", "24"), ("bad", "12"), ("good", "12")} <= shown
    assert ("words,", "50", "%", "at", "most", "7") in shown


def test_the_delimiter_is_given_or_asked_for(command, tmp_path):
    rows = "".join(f"{text},{number};{label}\n" for number, (text, label) in enumerate(ROWS))
    (tmp_path / "a.csv").write_text("body,at;verdict\n" + rows.replace(", number", ""))
    asked = command("inspect", "a.csv", *COLUMNS)
    assert asked.code == 2
    assert "Fix: --delimiter , or --delimiter ';'" in asked.err
    given = command("inspect", "a.csv", "--delimiter", ";", "--json")
    assert given.code == 0
    assert json.loads(given.out)["splits"]["train"]["rows"] == len(ROWS)
    for sign in ("", '"', ",,"):
        refused = command("inspect", "a.csv", "--delimiter", sign)
        assert refused.code == 2
        assert "one sign other than a quote" in refused.err


def test_problems_come_first_with_what_to_do(command, write_csv):
    write_csv("a.csv", [*ROWS, ROWS[0], ("cafÃ©", "good"), ("same", "bad"), ("same", "good")])
    write_csv("t.csv", [ROWS[3], ("new", "good")])
    result = command("inspect", "a.csv", "--test", "t.csv", *COLUMNS)
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split(":")[0] for line in lines[:5]] == ["warning"] * 3 + ["note", ""]
    assert lines[0].startswith('warning: train: 1 text under different labels, in 2 rows: "same" (')
    assert lines[2] == (
        "warning: train and test: 1 text in both, 1 row of train. "
        "Nothing, if that is right: they are left out of training."
    )
    shown = cells_of(result)
    assert {("train", "test"), ("rows", "28", "2"), ("good", "14", "2")} <= shown


def test_as_json(command, write_csv):
    write_csv("a.csv", [*ROWS, ("", "good")])
    write_csv("v.csv", ROWS[:4])
    result = command(
        *("inspect", "a.csv", "--validation", "v.csv", "--label", "verdict", "--text", "body"),
        *("--group", "body", "--json"),
    )
    assert result.code == 0
    found = json.loads(result.out)
    assert found["usable"] is True
    assert found["label_names"] == ["bad", "good"]
    assert found["splits"]["train"]["rows"] == 24
    assert found["splits"]["train"]["left_out"] == {"no text": 1}
    assert found["splits"]["train"]["groups"] == 24
    assert found["leaks"][0]["shared"] == 4
    assert any("left out: no text (a.csv:26)" in finding for finding in found["findings"])


def test_lengths_are_in_tokens_of_the_default_encoder(command, write_csv, monkeypatch, tmp_path):
    from kerasft.models.tiny_random import load_vocabulary

    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(load_vocabulary()) + "\n", encoding="utf-8")
    monkeypatch.setattr("kerasft.models.presets.default_preset_candidates", lambda: [folder])
    write_csv("a.csv", [("a " * 8, "bad"), ("a " * 6, "good")] * 12)
    arguments = ("inspect", "a.csv", *COLUMNS)
    result = command(*arguments, "--sequence-length", "9")
    assert "tokens, longest" in result.out
    assert "longer than 9" in result.out
    assert "note: train: 50.0% of the texts are longer than 9 tokens, and are cut." in result.out
    default = json.loads(command(*arguments, "--json").out)["splits"]["train"]["lengths"]
    assert (default["limit"], default["longest"], default["truncated_share"]) == (256, 10, 0.0)


def test_numbers_a_pair_and_many_classes(command, write_csv):
    rows = [(f"q{row}", f"a{row}", row / 4) for row in range(24)]
    write_csv("a.csv", rows, header="question,answer,score")
    result = command(
        *("inspect", "a.csv", "--text", "question", "--text-pair", "answer", "--label", "score"),
        *("--label-kind", "number"),
    )
    assert result.code == 0
    shown = cells_of(result)
    assert ("label,", "100", "%", "at", "most", "5.75") in shown
    assert ("words,", "longest", "2") in shown
    write_csv("a.csv", [(f"text {row}", f"c{row % 30}") for row in range(300)])
    assert ("10", "more", "labels", "100") in cells_of(command("inspect", "a.csv", *COLUMNS))


def test_data_that_cannot_be_trained_on_is_2(command, write_csv):
    write_csv("a.csv", [*ROWS, ("alone", "odd")])
    result = command("inspect", "a.csv", *COLUMNS)
    assert result.code == 2
    assert "odd" in result.err
    assert "Traceback" not in result.err
    write_csv("a.csv", [(f"text {row}", 1.5) for row in range(20)])  # the inspection finds it
    arguments = ("inspect", "a.csv", *COLUMNS, "--label-kind", "number")
    result = command(*arguments)
    assert result.code == 2
    assert result.err.count("All labels are the same number") == 1
    as_json = command(*arguments, "--json")
    assert as_json.code == 2
    assert json.loads(as_json.out)["usable"] is False


def test_a_dataset_of_tfds(command, shared_tfds, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(shared_tfds))
    found = json.loads(command("inspect", "glue/rte", "--json").out)
    assert list(found["splits"]) == ["train", "validation", "test"]
    assert found["splits"]["validation"]["rows"] == 277
    assert found["findings"] == []
    refused = command("inspect", "glue/rte", "--text", "sentence1", "--format", "csv")
    assert refused.code == 2
    assert "splits, columns and labels of its own" in refused.err
    assert "'glue/rte --text --format'" in refused.err


def test_neither_file_nor_dataset(command):
    result = command("inspect", "imdb_review")
    assert result.code == 2
    assert "Did you mean \"imdb_reviews\"? Received: 'imdb_review'." in result.err
    missing = command("inspect", "reviews.csv")
    assert missing.code == 2
    assert "reviews.csv" in missing.err


@pytest.mark.parametrize("length", ["0", "-3", "many"])
def test_a_sequence_length_is_a_count(refused, length):
    refused("--sequence-length", "inspect", "a.csv", "--sequence-length", length)

"""The leaderboard's files: order, words, archive, and a validator that sees each fault."""

from __future__ import annotations

import random
import shutil
import zipfile

import numpy as np
import pytest

from kerasft.benchmarks.glue.leaderboard import (
    answers_of,
    in_official_order,
    validate_submission,
    write_answers,
    write_archive,
)
from kerasft.benchmarks.glue.tasks import FILES
from kerasft.data.sources.source import load_source
from kerasft.errors import UserError

RTE, STSB, WNLI = FILES["RTE.tsv"], FILES["STS-B.tsv"], FILES["WNLI.tsv"]


def made_answers(file, seed=0):
    """Answers of the right kind, made up."""
    draw = random.Random(seed)
    if file.answers:
        return draw.choices(list(file.answers.values()), k=file.num_examples)
    return [f"{draw.uniform(0, 5):.3f}" for _ in range(file.num_examples)]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A folder with all eleven files and the archive; QQP's 390,965 answers, too."""
    folder = tmp_path_factory.mktemp("submission")
    for file in FILES.values():
        write_answers(folder, file, made_answers(file))
    write_archive(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    """A folder with one small file."""
    write_answers(tmp_path, WNLI, made_answers(WNLI))
    return tmp_path


def rewrite(folder, change, name="WNLI.tsv"):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))


# --- answers


def test_classes_become_the_words_of_the_leaderboard():
    outputs = {"label": np.array([b"entailment", b"not_entailment"], object), "score": [0.9, 0.6]}
    assert answers_of(RTE, outputs) == ["entailment", "not_entailment"]
    assert answers_of(WNLI, outputs) == ["1", "0"]
    assert answers_of(WNLI, {"label": ["entailment"]}) == ["1"]


def test_a_class_of_another_task_is_a_bug():
    with pytest.raises(ValueError, match=r"RTE.tsv has no such class: \['positive'\]"):
        answers_of(RTE, {"label": [b"positive"]})


def test_numbers_have_three_decimals_and_stay_between_0_and_5():
    values = np.array([3.14159, -0.2, 5.3, 5.0, 0.0004], np.float32)
    assert answers_of(STSB, {"value": values}) == ["3.142", "0.000", "5.000", "5.000", "0.000"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_has_diverged_is_told(value):
    with pytest.raises(UserError, match=r"The model has diverged.*training.learning_rate"):
        answers_of(STSB, {"value": [1.0, value]})


# --- order


def test_answers_are_sorted_by_the_official_row():
    rows = list(range(WNLI.num_examples))
    random.Random(1).shuffle(rows)
    answers = [f"answer {row}" for row in rows]
    ordered = in_official_order(WNLI, answers, np.array(rows, np.int32))
    assert ordered == [f"answer {row}" for row in range(WNLI.num_examples)]
    assert ordered != answers  # the order in which the dataset holds them would be wrong


@pytest.mark.parametrize(
    "rows", [range(145), range(1, 147), [*range(145), 144], range(147)], ids=repr
)
def test_rows_that_are_not_those_of_the_official_file_are_refused(rows):
    with pytest.raises(UserError, match=r"not the official one.*from 0 to 145, each once"):
        in_official_order(WNLI, ["0"] * len(rows), rows)


def test_answers_and_rows_must_go_together():
    with pytest.raises(ValueError, match=r"3 answers to 146 examples of WNLI.tsv"):
        in_official_order(WNLI, ["0"] * 3, range(146))


@pytest.mark.parametrize("name", [name for name in FILES if name != "QQP.tsv"])
def test_idx_of_tfds_counts_the_rows_of_the_official_file(name, shared_tfds):
    file = FILES[name]
    source = load_source(file.dataset, data_dir=shared_tfds)
    assert set(file.answers) == set(source.label_names)
    rows = source.read_column(file.split, "idx")
    assert sorted(rows) == list(range(file.num_examples))
    assert rows.tolist() != sorted(rows)  # TFDS shuffles: answers have to be sorted


# --- files


def test_a_file_is_two_columns_under_a_header(tmp_path):
    path = write_answers(tmp_path / "deep", STSB, ["1.000", "2.500"])
    assert path.read_bytes() == b"index\tprediction\n0\t1.000\n1\t2.500\n"


def test_the_archive_is_flat_and_the_same_each_time(complete, tmp_path):
    archive = complete / "submission.zip"
    with zipfile.ZipFile(archive) as opened:
        assert sorted(opened.namelist()) == sorted(FILES)
        assert opened.read("WNLI.tsv") == (complete / "WNLI.tsv").read_bytes()
    before = archive.read_bytes()
    write_archive(complete)
    assert archive.read_bytes() == before


def test_the_archive_leaves_other_files_out(folder):
    (folder / "notes.txt").write_text("seed 2")
    with zipfile.ZipFile(write_archive(folder)) as opened:
        assert opened.namelist() == ["WNLI.tsv"]


# --- validation


def test_a_complete_submission_passes_as_folder_and_as_zip(complete):
    for path in (complete, complete / "submission.zip", str(complete)):
        submission = validate_submission(path)
        assert (set(submission.files), submission.missing) == (set(FILES), ())


def test_missing_files_are_told_and_no_fault(folder):
    submission = validate_submission(folder)
    assert submission.files == ("WNLI.tsv",)
    assert "QQP.tsv" in submission.missing
    assert len(submission.missing) == 10


FAULTS = {
    "one too few": (lambda b: b[: b.rindex(b"145\t")], "WNLI.tsv: 145 answers instead of 146"),
    "one too many": (lambda b: b + b"146\t0\n", "147 answers instead of 146"),
    "no header": (lambda b: b.partition(b"\n")[2], r"line 1 is '0\\t[01]' instead of"),
    "other header": (lambda b: b.replace(b"prediction", b"label"), r"line 1 is 'index\\tlabel'"),
    "from 1": (lambda b: b.replace(b"\n0\t", b"\n1\t"), "line 2 has index '1' instead of 0"),
    "swapped": (lambda b: b.replace(b"\n7\t", b"\n8\t"), "line 9 has index '8' instead of 7"),
    "class name": (
        lambda b: b.replace(b"\n3\t0\n", b"\n3\t1\n").replace(b"\n3\t1\n", b"\n3\tentailment\n"),
        "line 5 has 'entailment' instead of '0' or '1'",
    ),
    "commas": (lambda b: b.replace(b"\t", b","), "line 1 is 'index,prediction'"),
    "carriage returns": (lambda b: b.replace(b"\n", b"\r\n"), r"line 1 is 'index\\tprediction\\r'"),
    "third column": (lambda b: b.replace(b"\n5\t", b"\n5\t0\t"), r"line 7 has '0\\t[01]'"),
    "not text": (lambda b: b"\xff\xfe" + b, "WNLI.tsv: not UTF-8 text"),
    "empty": (lambda b: b"", "line 1 is ''"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_each_fault_is_named_with_its_line(fault, zipped, folder):
    change, message = FAULTS[fault]
    rewrite(folder, change)
    path = write_archive(folder) if zipped else folder
    with pytest.raises(UserError, match=f"has faults: .*{message}"):
        validate_submission(path)


@pytest.mark.parametrize("value", ["5.001", "-0.1", "nan", "inf", "high", ""])
def test_a_number_beyond_0_to_5_is_seen(value, tmp_path):
    answers = made_answers(STSB)
    write_answers(tmp_path, STSB, answers)
    assert validate_submission(tmp_path).files == ("STS-B.tsv",)
    write_answers(tmp_path, STSB, [*answers[:9], value, *answers[10:]])
    with pytest.raises(UserError, match=f"line 11 has '{value}' instead of a number from 0 to 5"):
        validate_submission(tmp_path)


def test_three_classes_are_known_to_mnli_alone(tmp_path):
    write_answers(tmp_path, RTE, ["neutral", *made_answers(RTE)[1:]])
    with pytest.raises(UserError, match="line 2 has 'neutral' instead of 'entailment' or"):
        validate_submission(tmp_path)
    (tmp_path / "RTE.tsv").unlink()
    write_answers(tmp_path, FILES["AX.tsv"], ["neutral"] * 1104)
    assert validate_submission(tmp_path).files == ("AX.tsv",)


def test_a_zip_must_be_flat_and_hold_nothing_else(folder):
    path = folder / "nested.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "WNLI.tsv", "answers/WNLI.tsv")
        archive.writestr("SST2.tsv", "")
    message = (
        r"answers/WNLI.tsv is none .* \(it must lie at the top, in no folder\).*SST2.tsv is none"
    )
    with pytest.raises(UserError, match=message) as raised:
        validate_submission(path)
    assert 'Did you mean "SST-2.tsv"?' in str(raised.value)


def test_a_file_that_is_in_a_zip_twice_is_seen(folder):
    path = folder / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "WNLI.tsv", "WNLI.tsv")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.write(folder / "WNLI.tsv", "WNLI.tsv")
    with pytest.raises(UserError, match=r"WNLI.tsv is there 2 times"):
        validate_submission(path)


def test_what_is_no_submission_at_all_is_told(tmp_path):
    with pytest.raises(UserError, match="none of the leaderboard's files is there"):
        validate_submission(tmp_path)
    with pytest.raises(UserError, match=r"cannot be read. Received: '.*nowhere'"):
        validate_submission(tmp_path / "nowhere")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(UserError, match=r"cannot be read. Received: '.*text.zip'"):
        validate_submission(tmp_path / "text.zip")


def test_a_damaged_archive_is_told(folder):
    path = write_archive(folder)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF  # inside the compressed answers
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        validate_submission(path)


def test_of_many_faults_five_are_told(complete, tmp_path):
    for name in FILES:
        if name != "QQP.tsv":
            shutil.copy(complete / name, tmp_path)
            rewrite(tmp_path, lambda content: b"", name)
    with pytest.raises(UserError, match="and 5 more"):
        validate_submission(tmp_path)

"""The pipeline for one's own texts: what `--train` is taken for."""

from __future__ import annotations

import pytest

from kerasft.cli.data_arguments import DATA_ARGUMENTS, choose_train_field
from kerasft.errors import UserError
from kerasft.recipe import describe_fields


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_lookup(monkeypatch):
    """What TFDS knows is not asked for: importing it takes a second."""

    def fail():
        pytest.fail("TFDS was asked")

    monkeypatch.setattr("kerasft.cli.data_arguments._known_datasets", fail)


@pytest.mark.parametrize(
    "values",
    [
        ["reviews.csv"],
        ["reviews.csv.gz"],
        ["data/part-*.jsonl"],
        ["/data/reviews"],
        ["./reviews"],
        ["~/reviews"],
        ["one", "two"],
        ["Reviews"],
    ],
)
def test_what_looks_like_a_file_is_one(values, no_lookup):
    assert choose_train_field(values) == "data.train_files"


def test_what_is_there_is_a_file_whatever_tfds_calls_its_own(tmp_path, no_lookup):
    (tmp_path / "imdb_reviews").mkdir()
    assert choose_train_field(["imdb_reviews"]) == "data.train_files"


@pytest.mark.parametrize(
    "name",
    ["imdb_reviews", "glue/sst2", "glue/sst2:2.0.0", "imdb_reviews/plain_text", "builtin-sample"],
)
def test_a_name_that_tfds_knows_is_a_dataset(name):
    assert choose_train_field([name]) == "data.dataset"


def test_a_dataset_that_is_only_prepared_here_is_one(monkeypatch, tmp_path):
    (tmp_path / "tfds" / "my_set").mkdir(parents=True)
    monkeypatch.setattr("kerasft.data.sources.source.search_folders", lambda: [tmp_path / "tfds"])
    assert choose_train_field(["my_set"]) == "data.dataset"


def test_a_word_that_is_neither_is_refused_with_the_nearest_of_both(tmp_path):
    (tmp_path / "reviews.csv").touch()
    expected = (
        r"There is no such file, and no such dataset is known to TFDS\. Did you mean "
        r'"{}"\?.*Received: \'--train {}\'\. Expected: a file \(reviews\.csv\)'
    )
    with pytest.raises(UserError, match=expected.format("reviews.csv", "review")):
        choose_train_field(["review"])
    with pytest.raises(UserError, match=expected.format("imdb_reviews", "imdb_review")):
        choose_train_field(["imdb_review"])


def test_every_option_stands_for_a_field_and_takes_a_list_where_that_is_one():
    types = {setting.name: setting.type for setting in describe_fields()}
    assert {s.flag: types[s.field] is tuple for s in DATA_ARGUMENTS} == {
        s.flag: s.many for s in DATA_ARGUMENTS
    }
    assert len({s.field for s in DATA_ARGUMENTS}) == len(DATA_ARGUMENTS)

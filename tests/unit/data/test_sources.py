import socket

import pytest

from kerasft.data.sources import source as sources
from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.data.sources.source import load_source, search_folders
from kerasft.data.sources.tfds import DownloadError
from kerasft.errors import UserError


@pytest.fixture
def no_home(tmp_path, monkeypatch):
    """A machine without any prepared dataset, and without a network."""

    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.chdir(home / "work")
    monkeypatch.setattr(
        sources, "__file__", str(home / "site-packages/kerasft/data/sources/source.py")
    )
    monkeypatch.setattr(socket, "create_connection", refuse)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return home


def test_the_builtin_sample_by_name():
    source = load_source("builtin-sample")
    examples = list(source.iterate("test"))
    text, label = next(iter(iterate_builtin_sample("test")))
    assert examples[0] == (text.encode(), None, label)
    assert (source.name, source.label_names) == ("builtin-sample", ("neg", "pos"))
    assert source.num_examples("test") == len(examples)
    assert source.num_bytes("test") == sum(len(example.text) for example in examples)
    assert source.fingerprint("test") != source.fingerprint("train")


def test_search_order(no_home, monkeypatch):
    home = no_home / "tensorflow_datasets"
    assert search_folders() == [home]
    shared = no_home / "shared" / "tfds"
    shared.mkdir(parents=True)
    monkeypatch.setenv("TFDS_DATA_DIR", "/somewhere")
    assert [str(folder) for folder in search_folders()] == ["/somewhere", str(shared), str(home)]


def test_a_checkout_finds_the_shared_folder_from_anywhere(no_home, monkeypatch, tmp_path):
    checkout, shared = tmp_path / "checkout", tmp_path / "shared" / "tfds"
    for folder in (checkout, shared):
        folder.mkdir(parents=True)
    monkeypatch.setattr(sources, "__file__", str(checkout / "kerasft/data/sources/source.py"))
    assert shared not in search_folders()
    (checkout / "pyproject.toml").touch()
    assert search_folders()[0] == shared


def test_missing_data_falls_back_loudly_when_allowed(no_home):
    said = []
    source = load_source("imdb_reviews", allow_builtin_sample=True, log=said.append)
    assert source.name == "builtin-sample"
    assert len(said) == 1
    for part in ("REAL DATA IS MISSING", "imdb_reviews", str(no_home), "synthetic", "TFDS_DATA"):
        assert part in said[0]


def test_missing_data_is_an_error_otherwise(no_home):
    with pytest.raises(UserError, match=r"imdb_reviews is not prepared in .*home.*Fix: connect"):
        load_source("imdb_reviews")


def test_a_download_that_fails_is_told_with_its_reason(no_home, monkeypatch):
    def fail(dataset, folder):
        assert folder == no_home / "tensorflow_datasets"
        raise DownloadError("NonMatchingChecksumError: the file has changed")

    monkeypatch.setattr(sources, "download", fail)
    with pytest.raises(UserError, match="NonMatchingChecksumError: the file has changed"):
        load_source("imdb_reviews")


def test_a_data_dir_that_lacks_the_dataset_is_an_error(no_home, tmp_path):
    with pytest.raises(UserError, match=r"imdb_reviews is not prepared.*Received: '.*elsewhere'"):
        load_source("imdb_reviews", data_dir=tmp_path / "elsewhere", allow_builtin_sample=True)


def test_an_unknown_dataset_is_an_error(no_home):
    with pytest.raises(UserError, match='Did you mean "imdb_reviews"'):
        load_source("imdb_review", allow_builtin_sample=True)

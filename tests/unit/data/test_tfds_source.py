import shutil
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kerasft.data.sources.source import load_source
from kerasft.errors import UserError

TEXTS = {"train": 20, "test": 6}


def store_dataset(folder, name="tiny_reviews", label=None, columns=("text",)):
    """Prepares a dataset of one or two text columns the way TFDS does."""
    label = label or tfds.features.ClassLabel(names=["neg", "pos"])
    features = {column: tfds.features.Text() for column in columns} | {"label": label}

    def example(index):
        return {column: f"{column} {index}" for column in columns} | {"label": index % 2}

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: [(index, example(index)) for index in range(count)]
            for split, count in TEXTS.items()
        },
        data_dir=folder,
        disable_shuffling=True,
    )
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return store_dataset(tmp_path_factory.mktemp("tfds"))


@pytest.fixture
def copied(prepared, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(prepared, tmp_path / "tfds")


def train_file(folder):
    return next(folder.glob("tiny_reviews/1.0.0/*train*"))


def test_reads_in_the_order_of_the_files(prepared):
    source = load_source("tiny_reviews", data_dir=prepared)
    assert (source.name, source.version) == ("tiny_reviews", "1.0.0")
    assert source.label_names == ("neg", "pos")
    assert not source.has_pairs
    assert source.num_examples("train") == 20
    assert source.num_bytes("train") > 0
    expected = [(f"text {index}".encode(), None, index % 2) for index in range(20)]
    assert list(source.iterate("train")) == expected == list(source.iterate("train"))


def test_found_through_the_environment(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert load_source("tiny_reviews").num_examples("test") == 6


def test_reads_pairs(tmp_path):
    store_dataset(tmp_path, columns=("hypothesis", "premise"))
    source = load_source("tiny_reviews", data_dir=tmp_path)
    assert source.has_pairs
    assert next(source.iterate("test")) == (b"premise 0", b"hypothesis 0", 0)


def test_fingerprint_changes_with_the_data(prepared, copied):
    source = load_source("tiny_reviews", data_dir=prepared)
    copy = load_source("tiny_reviews", data_dir=copied)
    assert copy.fingerprint("train") == source.fingerprint("train") != source.fingerprint("test")
    copy.check_unchanged("train")
    path = train_file(copied)
    path.write_bytes(flip(path.read_bytes()))  # as many bytes: a label turned round, say
    with pytest.raises(UserError, match=r"data of train changed while it was read"):
        copy.check_unchanged("train")
    again = load_source("tiny_reviews", data_dir=copied)
    assert again.fingerprint("train") != source.fingerprint("train")


def flip(content):
    return content[:40] + bytes([content[40] ^ 255]) + content[41:]


def drop_last_record(content):
    """A whole record less: what no checksum tells. A record is length, crc, data, crc."""
    start = end = 0
    while end < len(content):
        start = end
        end += 8 + 4 + struct.unpack_from("<Q", content, start)[0] + 4
    return content[:start]


DAMAGES = {
    "flipped": flip,
    "truncated": lambda content: content[:-7],
    "shortened": drop_last_record,
    "emptied": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told(damage, copied):
    path = train_file(copied)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    source = load_source("tiny_reviews", data_dir=copied)
    message = r"train split of tiny_reviews in .*tiny_reviews/1.0.0 is damaged: .*Fix: delete"
    with pytest.raises(UserError, match=message):
        list(source.iterate("train"))
    assert len(list(source.iterate("test"))) == 6
    path.unlink()
    with pytest.raises(UserError, match="is damaged"):
        list(load_source("tiny_reviews", data_dir=copied).iterate("train"))


def test_a_broken_description_is_told(copied):
    (copied / "tiny_reviews" / "1.0.0" / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match=r"tiny_reviews in .* cannot be read: .*Fix: .*delete"):
        load_source("tiny_reviews", data_dir=copied)


def test_an_unknown_split_is_told(prepared):
    source = load_source("tiny_reviews", data_dir=prepared)
    with pytest.raises(UserError, match=r'Did you mean "train".*Received: .tran.*one of .*test'):
        source.num_examples("tran")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"columns": ("caption",)}, r"not a text classification.*'caption', 'label'"),
        ({"label": tfds.features.Scalar(np.int64)}, "`label` of classes or of decimal numbers"),
    ],
)
def test_a_dataset_that_cannot_be_learnt_is_told(tmp_path, dataset, message):
    store_dataset(tmp_path, **dataset)
    with pytest.raises(UserError, match=message):
        load_source("tiny_reviews", data_dir=tmp_path)

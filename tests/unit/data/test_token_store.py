import collections
import errno
import json
import shutil
import threading

import numpy as np
import pytest

from kerasft.data.files.source import FileSource
from kerasft.data.plan.splits import text_hashes
from kerasft.data.store import token_writer
from kerasft.data.store.token_store import load_or_build_token_store
from kerasft.errors import UserError

TEXTS = [b"a fine film", b"dull", b"", b"caf\xc3\xa9 \x00 \xff"] * 3


@pytest.fixture
def build(tmp_path, make_preprocessor):
    """Builds in one folder; `preprocessor`, `warn` and the like may be given."""

    def build(source, split="train", **arguments):
        arguments = {"preprocessor": make_preprocessor(), "folder": tmp_path} | arguments
        return load_or_build_token_store(source, split, **arguments)

    return build


def folders(path):
    return [entry for entry in path.iterdir() if entry.is_dir()]


def test_holds_what_was_tokenized(build, make_source):
    store = build(make_source(TEXTS))
    assert len(store) == 12
    assert store.lengths.tolist() == [len(text) for text in TEXTS]
    assert store.labels.tolist() == [0, 1] * 6
    for index, text in enumerate(TEXTS):
        tokens = store.token_ids[store.offsets[index] : store.offsets[index + 1]]
        assert tokens.tolist() == [byte + 1 for byte in text]
    np.testing.assert_array_equal(store.text_hashes, text_hashes(TEXTS))
    assert store.segment_ids is None
    assert isinstance(store.token_ids, np.memmap)
    dtypes = {name: str(getattr(store, name).dtype) for name in ("token_ids", "lengths", "labels")}
    assert set(dtypes.values()) == {"int32"}
    assert store.offsets.dtype == np.int64


def test_holds_pairs(build, make_source):
    store = build(make_source([b"ab", b"c"], [b"xyz", b""]))
    assert store.offsets.tolist() == [0, 5, 6]
    assert store.token_ids[:5].tolist() == [98, 99, 121, 122, 123]
    assert store.segment_ids[:5].tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_array_equal(store.text_hashes, text_hashes([b"ab", b"c"], [b"xyz", b""]))


def test_everything_it_depends_on_makes_another_store(
    build, make_source, make_preprocessor, tmp_path
):
    build(make_source(TEXTS))
    build(make_source(TEXTS), split="test")
    build(make_source(TEXTS, name="other"))
    build(make_source(TEXTS, version="2.0.0"))
    build(make_source([*TEXTS[:-1], b"changed"]))
    build(make_source(TEXTS), preprocessor=make_preprocessor(sequence_length=4))
    assert len(folders(tmp_path)) == 6
    build(make_source(TEXTS))  # the control
    assert len(folders(tmp_path)) == 6


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-4])


def delete(path):
    path.unlink()


FILES = ("token_ids", "segment_ids", "lengths", "labels", "text_hashes", "manifest.json")


@pytest.mark.parametrize("damage", [flip_a_byte, truncate, delete])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_store_is_rebuilt_with_a_warning(damage, name, build, make_source, tmp_path):
    source = make_source([b"ab", b"c"] * 4, [b"xyz", b"w"] * 4)
    good = {key: np.array(value) for key, value in vars(build(source)).items()}
    damage(folders(tmp_path)[0] / name)
    said = []
    store = build(source, log=said.append)
    assert len(said) == 1
    assert "is damaged" in said[0]
    for key, value in good.items():
        np.testing.assert_array_equal(getattr(store, key), value)
    build(source)  # and is whole again: a warning would be an error here


def test_a_manifest_of_other_data_is_not_believed(build, make_source, tmp_path):
    source = make_source(TEXTS)
    build(source)
    manifest = folders(tmp_path)[0] / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"key": {**content["key"], "split": "test"}}))
    with pytest.warns(UserWarning, match="manifest.json belongs to other data"):
        build(source)


def test_two_at_once_build_once(build, make_source):
    source = make_source(TEXTS * 100)
    stores = []
    threads = [threading.Thread(target=lambda: stores.append(build(source))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.num_reads == 1
    assert [len(store) for store in stores] == [1200] * 4


def test_streams_in_batches(build, make_source, monkeypatch):
    source, seen = make_source([b"word"] * 2500), []

    def tokenize(graph, examples, own_source):
        seen.append((len(examples), source.num_yielded))
        return tokenize_batch(graph, examples, own_source)

    tokenize_batch = token_writer._tokenize_batch
    monkeypatch.setattr(token_writer, "_tokenize_batch", tokenize)
    build(source)
    assert seen == [(1024, 1025), (1024, 2049), (452, 2500)]  # one more, to see its size


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(errno.ENOSPC, "none left"), "disk is full"), (KeyboardInterrupt("stop"), "stop")],
)
def test_what_fails_half_way_leaves_nothing(error, said, build, make_source, tmp_path, monkeypatch):
    appended = collections.Counter()

    def fail_late(writer, rows):
        appended["batches"] += 1
        if appended["batches"] > 6:
            raise error

    monkeypatch.setattr(token_writer.ArrayWriter, "append", fail_late)
    with pytest.raises((UserError, KeyboardInterrupt), match=said):
        build(make_source([b"word"] * 2500))
    assert folders(tmp_path) == []


def test_what_a_killed_process_left_is_swept_up(build, make_source, tmp_path):
    build(make_source(TEXTS))
    store = folders(tmp_path)[0]
    shutil.move(store, store.with_suffix(".partial"))
    (store.with_suffix(".partial") / "token_ids").write_bytes(b"half")
    assert len(build(make_source(TEXTS))) == 12
    assert folders(tmp_path) == [store]


def test_too_little_disk_is_told_before_reading(build, make_source, monkeypatch, tmp_path):
    usage = collections.namedtuple("usage", "total used free")(10**12, 10**12, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    source = make_source([b"a word"] * 1000)
    with pytest.raises(UserError, match=r"disk space for the tokens of fake/plain.*Received:"):
        build(source)
    assert source.num_reads == 0
    assert folders(tmp_path) == []


def test_an_empty_split_is_told(build, make_source, tmp_path):
    with pytest.raises(UserError, match=r"train split of fake/plain is empty. Received: 0"):
        build(make_source([]))
    assert folders(tmp_path) == []


def test_lies_in_the_cache_folder_by_default(build, make_source, monkeypatch, tmp_path):
    monkeypatch.setenv("KERASFT_CACHE", str(tmp_path / "cache"))
    build(make_source(TEXTS), folder=None)
    assert len(folders(tmp_path / "cache" / "tokens")) == 1


def test_data_that_changes_while_it_is_tokenized_leaves_no_store(tmp_path, make_preprocessor):
    train = tmp_path / "train.csv"
    before, turned = (
        "text,label\n" + "".join(f"text {i},{names[i % 2]}\n" for i in range(20))
        for names in ("ab", "ba")
    )
    train.write_text(before)
    source = FileSource(train_files=[str(train)])
    iterate = source.iterate

    def iterate_and_rewrite(split):
        for row, example in enumerate(iterate(split)):
            if row == 5:
                train.write_text(turned)
            yield example

    source.iterate = iterate_and_rewrite
    options = {"preprocessor": make_preprocessor(), "folder": tmp_path / "tokens"}
    with pytest.raises(UserError, match=r"data of train changed while it was read: .*train\.csv"):
        load_or_build_token_store(source, "train", **options)
    assert not any(path.is_dir() for path in (tmp_path / "tokens").iterdir())
    train.write_text(before)
    store = load_or_build_token_store(FileSource(train_files=[str(train)]), "train", **options)
    assert store.labels.tolist() == [0, 1] * 10

"""What becomes of the folders: versions, exports at the same time, disks that fill up."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export import saved_model
from kerasft.export.layout import check_new_version, versions_in
from kerasft.export.saved_model import ExportOptions, export_saved_model


@pytest.mark.parametrize(
    ("there", "number"), [([], 1), (["1", "2"], 3), (["9", "10", "x", "v30", "-40", "50.0"], 11)]
)
def test_next_version(parts, quick_save, tmp_path, there, number):
    for name in there:
        (tmp_path / name).mkdir()
    version = export_saved_model(**parts, folder=tmp_path, metadata={})
    assert version == tmp_path / str(number)
    assert sorted(os.listdir(tmp_path)) == sorted([*there, str(number)])


def test_a_version_that_is_asked_for(parts, quick_save, tmp_path):
    parts = {**parts, "options": ExportOptions(verify=False, version=20)}
    assert export_saved_model(**parts, folder=tmp_path / "m", metadata={}).name == "20"
    with pytest.raises(UserError, match=r"has this version already.*20.*another number than 20"):
        export_saved_model(**parts, folder=tmp_path / "m", metadata={})
    assert os.listdir(tmp_path / "m") == ["20"]


@pytest.mark.parametrize(
    ("there", "version", "message"),
    [
        (["007"], 7, r"has this version already: .*007\. Received: 7.*another number than 007"),
        (["7", "8"], 8, r"already: .*/8\. Received: 8.*another number than 7, 8"),
        (["1"], 2**63, "No server reads this version. Received: 9223372036854775808"),
        (["1"], -1, "No server reads this version. Received: -1"),
        (["1", "1" * 20], None, f"/{'1' * 20} is in the way.*Fix: remove or rename"),
        ([str(2**63 - 1)], None, f"/{2**63 - 1} is in the way"),
    ],
)
def test_versions_that_no_server_reads_or_that_are_there(parts, tmp_path, there, version, message):
    for name in there:
        (tmp_path / name).mkdir()
    parts = {**parts, "options": ExportOptions(verify=False, version=version)}
    with pytest.raises(UserError, match=message):
        export_saved_model(**parts, folder=tmp_path, metadata={})
    assert sorted(os.listdir(tmp_path)) == sorted(there)


@pytest.mark.parametrize(
    ("there", "version", "name"),
    [(["007"], None, "8"), (["1" * 20], 0, "0"), (["1" * 20], 2**63 - 1, str(2**63 - 1))],
)
def test_versions_beside_unusual_ones(parts, quick_save, tmp_path, there, version, name):
    for folder in there:
        (tmp_path / folder).mkdir()
    parts = {**parts, "options": ExportOptions(verify=False, version=version)}
    assert export_saved_model(**parts, folder=tmp_path, metadata={}).name == name


def test_a_number_taken_meanwhile_is_passed_over(parts, quick_save, tmp_path, monkeypatch):
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "saved_model.pb").write_bytes(b"theirs")
    monkeypatch.setattr(saved_model, "versions_in", lambda folder: {})
    assert export_saved_model(**parts, folder=tmp_path, metadata={}).name == "3"
    assert (tmp_path / "1" / "saved_model.pb").read_bytes() == b"theirs"


def test_exports_at_the_same_time_get_numbers_of_their_own(parts, tmp_path, quick_save):
    at_work, most_at_work = [], []
    write = quick_save.save

    def save(servable, path, signatures):
        at_work.append(path)
        most_at_work.append(len(at_work))
        write(servable, path, signatures)
        at_work.remove(path)

    quick_save.save = save
    found = []

    def export():
        found.append(export_saved_model(**parts, folder=tmp_path / "imdb", metadata={}).name)

    threads = [threading.Thread(target=export) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["1", "2", "3", "4", "5", "6"]
    assert max(most_at_work) == 1


KILLED = """
import os, sys
from pathlib import Path
from kerasft.export import saved_model
folder = Path(sys.argv[1])
with saved_model._one_export_at_a_time(folder):
    (folder / ".new-killed" / "variables").mkdir(parents=True)
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_export_left_is_skipped_and_removed(parts, quick_save, tmp_path):
    folder = tmp_path / "imdb"
    result = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert result.returncode == -9
    assert os.listdir(folder) == [".new-killed"]
    assert versions_in(folder) == {}
    export_saved_model(**parts, folder=folder, metadata={})
    assert os.listdir(folder) == ["1"]


def test_too_little_disk(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="Not enough disk space for the exported model"):
        export_saved_model(**parts, folder=tmp_path / "imdb", metadata={})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "variables; No space left on device"),
    ],
)
def test_a_disk_that_fills_up_leaves_nothing(parts, quick_save, tmp_path, error):
    write = quick_save.save

    def save(servable, path, signatures):
        write(servable, path, signatures)
        raise error

    quick_save.save = save
    with pytest.raises(UserError, match="The disk is full"):
        export_saved_model(**parts, folder=tmp_path / "imdb", metadata={})
    assert os.listdir(tmp_path) == []


def test_any_other_failure_passes_and_leaves_nothing(parts, quick_save, tmp_path):
    quick_save.save = lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    (tmp_path / "imdb" / "1").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        export_saved_model(**parts, folder=tmp_path / "imdb", metadata={})
    assert os.listdir(tmp_path / "imdb") == ["1"]


@pytest.mark.parametrize("there", ["", "imdb"])
def test_a_folder_without_permission(tmp_path, monkeypatch, there):
    place = tmp_path / there
    place.mkdir(exist_ok=True)
    check_new_version(tmp_path / "imdb")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != place)
    with pytest.raises(UserError, match=rf"imdb cannot be written.*{place}, without permission"):
        check_new_version(tmp_path / "imdb")


def test_a_file_in_the_way(parts, tmp_path):
    (tmp_path / "imdb").write_text("")
    with pytest.raises(UserError, match=r"imdb cannot be written\. Received: '.*/imdb, a file'"):
        export_saved_model(**parts, folder=tmp_path / "imdb", metadata={})

"""An export that does not answer as the model did is not published."""

import json
import os

import numpy as np
import pytest

from kerasft.export import saved_model, verification
from kerasft.export.layout import RECORD
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.export.verification import Probe, VerificationError, sample_probe, verify

FOUND = {"records": 48, "texts": 2, "largest_difference": 0.0}


@pytest.fixture
def probe():
    return Probe(([b"a", b"b"],), np.ones((2, 3)), "the run")


def test_a_fresh_process_gives_the_models_own_answers(all_exported):
    exported = all_exported["single"]
    probe = sample_probe(exported.parts["model"], exported.parts["preprocessor"], False)
    probe.columns[0].extend([b"\xff\xfe", b"", "café\0".encode()])
    logits = exported.after(probe.columns[0][-3:])["logits"]
    probe = Probe(probe.columns, np.concatenate([probe.logits, logits]), probe.origin)
    found = verify(exported.version, probe)
    assert found.pop("largest_difference") < 1e-4
    assert found == {
        "records": 48,
        "texts": 53,
        "compared_with": "the model in memory, on the built-in sample",
    }


def test_control_other_answers_are_refused_and_nothing_is_published(build_parts, tmp_path):
    parts = build_parts()
    probe = sample_probe(parts["model"], parts["preprocessor"], False)
    reversed_labels = Probe(probe.columns, probe.logits[:, ::-1], "the run")
    parts["options"] = ExportOptions(signatures=("embed",), probe=reversed_labels)
    with pytest.raises(VerificationError, match=r"answers otherwise than the run.*differ by up to"):
        export_saved_model(**parts, folder=tmp_path / "imdb", metadata={})
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_loaded_is_told(tmp_path, probe):
    with pytest.raises(VerificationError, match=r"does not work: OSError: SavedModel file does"):
        verify(tmp_path, probe)


def test_a_process_that_dies_is_told(tmp_path, probe, monkeypatch):
    script = tmp_path / "dies.py"
    script.write_text("import sys; sys.exit('no such op')")
    monkeypatch.setattr(verification, "_REPLAY", script)
    with pytest.raises(VerificationError, match="exit code 1: no such op"):
        verify(tmp_path, probe)


@pytest.mark.parametrize(("difference", "passes"), [(9e-4, True), (2e-3, False), (np.nan, False)])
def test_how_far_answers_may_lie_apart(tmp_path, probe, monkeypatch, difference, passes):
    monkeypatch.setattr(verification, "_run", lambda *_: FOUND | {"largest_difference": difference})
    if passes:
        assert verify(tmp_path, probe)["compared_with"] == "the run"
    else:
        with pytest.raises(VerificationError, match="answers otherwise"):
            verify(tmp_path, probe)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_record_says_whether_it_was_verified(
    parts, quick_save, tmp_path, probe, monkeypatch, wanted
):
    monkeypatch.setattr(saved_model, "verify", lambda *_: FOUND)
    parts = {**parts, "options": ExportOptions(verify=wanted, probe=probe)}
    version = export_saved_model(**parts, folder=tmp_path / "m", metadata={})
    record = json.loads((version / RECORD).read_text())
    assert record["verified"] == (FOUND if wanted else None)

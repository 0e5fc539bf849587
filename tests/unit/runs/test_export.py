"""Exports of a run: what they must answer, what quantization may cost, where texts come from."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.errors import UserError
from kerasft.export.options import Quantization, read_warmup_texts
from kerasft.export.saved_model import ExportOptions
from kerasft.runs import export as exporting
from kerasft.runs import outcome
from kerasft.runs.export import build_probe, export_recorded, quantize

RECORDED = {"metrics": {"test/accuracy": 0.5}, "data": "builtin-sample"}


@pytest.fixture
def ready(make_session, monkeypatch):
    """A session whose data is loaded, its outcome, a model; what is exported is remembered."""
    session = make_session()
    session.load()
    model = session.build_model()
    kernel = model.head.logits.kernel
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
    monkeypatch.setattr(outcome.Outcome, "best_model", lambda self: model)
    session.exports = []
    monkeypatch.setattr(
        outcome, "export_saved_model", lambda *_, **options: session.exports.append(options)
    )
    return session, session.outcome(), model


def test_the_probe_is_what_the_run_recorded_of_its_test_texts(ready):
    session, result, model = ready
    logits = result.predict(model, session.data, "test", session.callbacks)
    probe = build_probe(result, session.data)
    assert probe.logits.tolist() == logits.tolist()
    (texts,) = probe.columns
    own = {text.encode() for text, _ in iterate_builtin_sample("test")}
    assert len(texts) == len(logits) == 20
    assert set(texts) <= own
    again = build_probe(result, session.data, model)
    np.testing.assert_allclose(again.logits, logits, atol=1e-5)
    assert np.ptp(logits) > 1e-2
    one = model(session.preprocessor(list(texts[:1])), training=False)
    np.testing.assert_allclose(one[0], logits[0], atol=1e-5)  # text and logits belong together


def test_quantization_is_measured_and_told(ready):
    session, result, model = ready
    lines = []
    _, compressed, figures = quantize(
        model, result, session.data, Quantization("int8", 1.0), lines.append
    )
    assert figures["metric"] == "validation/accuracy"
    assert 0 <= figures["after"] <= 1
    assert figures["weights_bytes"] < 0.3 * figures["weights_bytes_before"]
    assert figures["weights_bytes"] == sum(weight.num_bytes for weight in compressed)
    assert "Quantized to int8: validation/accuracy" in lines[0]


@pytest.mark.parametrize("after", [0.7, np.nan])
def test_quantization_that_costs_too_much_is_refused(ready, monkeypatch, after):
    session, result, model = ready
    found = iter([0.8, after])
    monkeypatch.setattr(exporting, "_validate", lambda *_: next(found))
    with pytest.raises(UserError, match=r"int8 loses too much.*0\.8000 before.*at most 0\.01"):
        quantize(model, result, session.data, Quantization("int8"), print)


def test_what_cannot_be_measured_is_not_quantized(ready, monkeypatch):
    session, result, model = ready
    monkeypatch.setattr(exporting, "_validate", lambda *_: np.nan)
    with pytest.raises(UserError, match=r"validation/accuracy is undefined.*without --quantize"):
        quantize(model, result, session.data, Quantization("int8"), lambda line: None)


def export(ready, load_data, **options):
    session, result, _ = ready
    lines = []
    settings = {"name": None, "options": ExportOptions(), "quantization": None, **options}
    export_recorded(result, RECORDED, load_data, log=lines.append, **settings)
    return session.exports[-1], lines


def test_a_quantized_export_must_answer_as_the_rounded_model(ready):
    session, result, model = ready
    result.predict(model, session.data, "test", session.callbacks)
    options, _ = export(
        ready, lambda: session.data, quantization=Quantization("int8", max_loss=1.0)
    )
    probe = options["options"].probe
    recorded = outcome.read_predictions(result.run_dir, "test")
    rounded = build_probe(result, session.data, model).logits
    assert probe.logits.tolist() == rounded.tolist() != recorded.tolist()
    assert options["metadata"]["quantization"]["method"] == "int8"
    assert options["options"].compressed


def test_data_that_is_gone(ready):
    session, _, _ = ready

    def gone():
        raise UserError("The file is gone.")

    options, lines = export(ready, gone)
    assert options["options"].probe is None
    assert "built-in sample, not on the run's own data: The file is gone" in lines[0]
    with pytest.raises(UserError, match="The file is gone"):
        export(ready, gone, quantization=Quantization("int8"))
    assert export(ready, gone, options=ExportOptions(verify=False))[1] == []
    assert len(session.exports) == 2


def test_warmup_texts_come_from_a_file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"one text\n\n \ncaf\xc3\xa9\r\n")
    assert read_warmup_texts(str(path)) == (b"one text", "café".encode())
    path.write_bytes(b"\n \n")
    with pytest.raises(UserError, match=r"holds none.*a text a line"):
        read_warmup_texts(str(path))
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_warmup_texts(str(tmp_path / "none"))

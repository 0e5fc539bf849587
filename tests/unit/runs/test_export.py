"""Exports of a run: what they must answer, what quantization may cost, where texts come from."""

from __future__ import annotations

import gzip
import os
from typing import NamedTuple

import numpy as np
import pytest

from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.errors import UserError
from kerasft.export.options import Quantization, read_warmup_texts
from kerasft.export.quantization import compress_weights
from kerasft.export.saved_model import ExportOptions
from kerasft.runs import export as exporting
from kerasft.runs import trained as run_trained
from kerasft.runs.context import RunContext
from kerasft.runs.export import build_probe, export_run, quantize
from kerasft.runs.train import build_trained_model
from kerasft.training.checkpoints.checkpoint import save_best
from kerasft.training.step.fine_tuner import FineTuner

RECORDED = {"metrics": {"test/accuracy": 0.5}, "data": "builtin-sample", "has_pairs": False}


class Ready(NamedTuple):
    context: RunContext
    trained: run_trained.Trained
    model: FineTuner
    exports: list
    lines: list

    def quantize(self, *options, log=print):
        """Quantizes the model to int8, with options of `Quantization`."""
        data, task = self.context.data, self.context.task
        return quantize(self.model, self.trained, data, task, Quantization("int8", *options), log)

    def export(self, **options):
        self.lines.clear()
        export_run(self.trained.run_dir, [self.lines], **{"options": ExportOptions(), **options})
        return self.exports[-1]


@pytest.fixture
def ready(make_context, make_run_dir, monkeypatch, tools):
    """A run with a best checkpoint; what is exported is remembered."""
    context, exports = make_context(), []
    model = build_trained_model(context)
    kernel = model.head.logits.kernel
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
    run_dir = make_run_dir(context)
    save_best(run_dir.checkpoints_folder, model.weights, {"step": 1})
    run_dir.write_json("metrics.json", RECORDED | {"task": context.task.record()})
    trained = run_trained.open_trained(context.recipe, run_dir)
    monkeypatch.setattr(
        run_trained, "export_saved_model", lambda *_, **options: exports.append(options)
    )
    return Ready(context, trained, trained.best_model(context.task), exports, tools.Messages())


def test_the_probe_is_what_the_run_recorded_of_its_test_texts(ready):
    context, trained, model, *_ = ready
    logits = trained.predict(model, context.data, "test", context.callbacks)
    probe = build_probe(trained, context.data)
    assert probe.logits.tolist() == logits.tolist()
    (texts,) = probe.columns
    own = {text.encode() for text, _ in iterate_builtin_sample("test")}
    assert len(texts) == len(logits) == 20
    assert set(texts) <= own
    again = build_probe(trained, context.data, model)
    np.testing.assert_allclose(again.logits, logits, atol=1e-5)
    assert np.ptp(logits) > 1e-2
    one = model(context.preprocessor(list(texts[:1])), training=False)
    np.testing.assert_allclose(one[0], logits[0], atol=1e-5)  # text and logits belong together


def test_quantization_is_measured_and_told(ready):
    lines = []
    _, compressed, figures = ready.quantize(1.0, log=lines.append)
    assert figures["metric"] == "validation/accuracy"
    assert 0 <= figures["after"] <= 1
    assert figures["weights_bytes"] < 0.3 * figures["weights_bytes_before"]
    assert figures["weights_bytes"] == sum(weight.num_bytes for weight in compressed)
    assert "Quantized to int8: validation/accuracy" in lines[0]


@pytest.mark.parametrize(
    ("headline", "after"),
    [("accuracy", 0.7), ("accuracy", np.nan), ("log_loss", 0.9), ("log_loss", np.nan)],
)
def test_quantization_that_costs_too_much_is_refused(ready, monkeypatch, headline, after):
    found = iter([0.8, after])
    monkeypatch.setattr(exporting, "_validate", lambda *_: next(found))
    monkeypatch.setattr(ready.context.task, "headline", headline)
    with pytest.raises(UserError, match=r"int8 loses too much.*0\.8000 before.*at most 0\.01"):
        ready.quantize()


@pytest.mark.parametrize(
    ("headline", "after"), [("accuracy", 0.9), ("accuracy", 0.795), ("log_loss", 0.7)]
)
def test_quantization_that_gains_or_costs_little_is_not(ready, monkeypatch, headline, after):
    found = iter([0.8, after])
    monkeypatch.setattr(exporting, "_validate", lambda *_: next(found))
    monkeypatch.setattr(ready.context.task, "headline", headline)
    figures = ready.quantize()[-1]
    assert (figures["metric"], figures["after"]) == (f"validation/{headline}", after)


def test_what_cannot_be_measured_is_not_quantized(ready, monkeypatch):
    monkeypatch.setattr(exporting, "_validate", lambda *_: np.nan)
    with pytest.raises(UserError, match=r"validation/accuracy is undefined.*without --quantize"):
        ready.quantize()


def test_a_quantized_export_must_answer_as_the_rounded_model(ready):
    context, trained, model, *_ = ready
    trained.predict(model, context.data, "test", context.callbacks)
    options = ready.export(quantization=Quantization("int8", max_loss=1.0))
    logits = options["options"].probe.logits
    recorded = run_trained.read_predictions(trained.run_dir, "test")
    compress_weights(model, "int8")
    rounded = build_probe(trained, context.data, model).logits
    assert logits.tolist() == rounded.tolist() != recorded.tolist()
    assert options["metadata"]["quantization"]["method"] == "int8"
    assert options["options"].compressed


def test_data_that_is_gone(ready, monkeypatch):
    def gone(*_, **__):
        raise UserError("The file is gone.")

    monkeypatch.setattr(exporting, "load_data", gone)
    options = ready.export()
    assert options["options"].probe is None
    assert "built-in sample, not on the run's own data: The file is gone" in ready.lines[0]
    with pytest.raises(UserError, match="The file is gone"):
        ready.export(quantization=Quantization("int8"))
    ready.export(options=ExportOptions(verify=False))
    assert ready.lines == []
    assert len(ready.exports) == 2


def test_warmup_texts_come_from_a_file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"one text\n\n \ncaf\xc3\xa9\r\n")
    assert read_warmup_texts(str(path)) == (b"one text", "café".encode())
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfone\n"))
    assert read_warmup_texts(str(path)) == (b"one",)
    path.write_bytes("one\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"texts.txt is in UTF-16.*iconv -f UTF-16 -t UTF-8 < "):
        read_warmup_texts(str(path))
    reader, writer = os.pipe()  # as of `<(head texts.txt)`
    os.write(writer, b"one\n")
    os.close(writer)
    assert read_warmup_texts(f"/dev/fd/{reader}") == (b"one",)
    os.close(reader)
    path.write_bytes(b"\n \n")
    with pytest.raises(UserError, match=r"holds none.*a text a line"):
        read_warmup_texts(str(path))
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_warmup_texts(str(tmp_path / "none"))

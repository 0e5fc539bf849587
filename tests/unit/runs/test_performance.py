"""The automatic choices of `[performance]`."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.runs.model import performance
from kerasft.runs.model.performance import attention_chunk, choose_kernels, length_multiple

LONG = {"model.sequence_length": 1024}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"model.sequence_length": 1023}, 0),
        (LONG, 128),
        ({"training.sequence_length": 1024}, 128),
        ({**LONG, "training.jit_compile": True}, 0),
        ({**LONG, "performance.attention_chunk": 0}, 0),
        ({"performance.attention_chunk": 5}, 5),
    ],
)
def test_attention_is_computed_in_chunks_where_texts_are_long(make_recipe, overrides, expected):
    assert attention_chunk(make_recipe(overrides)) == expected


@pytest.mark.parametrize(
    ("overrides", "gpus", "expected"),
    [
        ({}, [], 1),
        ({}, ["GPU:0"], 8),
        ({"training.jit_compile": True}, [], 8),
        ({"performance.pad_length_to": 4}, ["GPU:0"], 4),
    ],
)
def test_batches_are_as_wide_as_their_longest_text_on_a_cpu(
    make_recipe, monkeypatch, overrides, gpus, expected
):
    monkeypatch.setattr(performance.tf.config, "list_logical_devices", lambda kind: gpus)
    assert length_multiple(make_recipe(overrides)) == expected


class TestKernels:
    @pytest.fixture(autouse=True)
    def _machine(self, monkeypatch):
        self.gpus, self.said, self.failure = [], [], None
        monkeypatch.setattr(performance.tf.config, "list_logical_devices", lambda kind: self.gpus)

        def load(log):
            if self.failure is not None:
                raise self.failure
            log("compiling")
            return "kernels"

        monkeypatch.setattr(performance, "load_kernels", load)

    def choose(self, make_recipe, overrides):
        return choose_kernels(make_recipe(overrides), self.said.append)

    @pytest.mark.parametrize("wanted", [{}, {"performance.kernels": True}])
    def test_are_used_on_a_cpu(self, make_recipe, wanted):
        assert self.choose(make_recipe, wanted) == "kernels"
        assert self.said == ["compiling"]

    @pytest.mark.parametrize(
        "overrides", [{"performance.kernels": False}, {"training.jit_compile": True}]
    )
    def test_are_not_where_they_are_off_or_xla_compiles(self, make_recipe, overrides):
        assert self.choose(make_recipe, overrides) is None
        assert self.said == []

    def test_another_system_has_none_by_itself(self, make_recipe, monkeypatch):
        monkeypatch.setattr(performance.sys, "platform", "darwin")
        assert self.choose(make_recipe, {}) is None
        assert self.choose(make_recipe, {"performance.kernels": True}) == "kernels"

    def test_a_gpu_has_none(self, make_recipe):
        self.gpus = ["GPU:0"]
        assert self.choose(make_recipe, {}) is None
        with pytest.raises(UserError, match="for CPUs, and here is a GPU"):
            self.choose(make_recipe, {"performance.kernels": True})

    def test_without_a_compiler_tensorflow_s_operations_do_and_it_is_told(self, make_recipe):
        self.failure = UserError("There is no compiler.")
        assert self.choose(make_recipe, {}) is None
        assert self.said[0].endswith("which take longer. There is no compiler.")
        with pytest.raises(UserError, match="no compiler"):
            self.choose(make_recipe, {"performance.kernels": True})

"""Checkpoints: bit for bit, whole or not at all, and back to the one before."""

from __future__ import annotations

import errno
import json
import shutil
import threading

import keras
import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.training.checkpoints import checkpoint
from kerasft.training.checkpoints import writer as checkpoint_writer
from kerasft.training.checkpoints.checkpoint import (
    BEST,
    DamagedCheckpointError,
    checkpoints_in,
    discard_after,
    restore,
    restore_latest,
    save_best,
    weights_path,
)
from kerasft.training.checkpoints.writer import CheckpointWriter
from kerasft.training.loop.fit import checkpointed_variables
from kerasft.training.step.averaging import counted_weights
from kerasft.training.step.optimizer import AdamW


def values_of(variables):
    return [variable.numpy() for variable in variables]


def save_checkpoint(folder, step, variables, state, **options):
    """Saves and waits until it stands; returns where."""
    writer = CheckpointWriter(folder, **options)
    writer.save(step, variables, state)
    writer.wait()
    return weights_path(folder, step)


def refuse(text):
    pytest.fail(f"nothing to warn about: {text}")


@pytest.fixture
def variables():
    return [keras.Variable(np.zeros(3, "float32"), name="kernel"), keras.Variable(0.0, name="step")]


@pytest.fixture
def save(tmp_path, variables):
    """Saves a checkpoint whose variables hold the step."""

    def save(step, **state):
        for variable in variables:
            variable.assign(np.full(variable.shape, step, "float32"))
        return save_checkpoint(tmp_path, step, variables, state)

    return save


class TestOfAModel:
    """All that a step changes, in a model as another process would build it."""

    @pytest.fixture
    def build(self, tools):
        def build(trained):
            model = tools.build_tuner(AdamW(1e-2), dropout=0.3)
            for seed in range(trained):
                model.train_step(tools.as_tensors(tools.make_batch(4, seed=seed)))
            return model

        return build

    def test_round_trip_is_exact(self, build, tmp_path):
        trained = checkpointed_variables(build(2))
        fresh = checkpointed_variables(build(0))  # Keras has numbered its seed generators on
        assert [v.path for v in trained] != [v.path for v in fresh]
        save_checkpoint(tmp_path, 2, trained, {"a": 1})
        state = restore_latest(tmp_path, lambda step: fresh, log=refuse)
        assert (state["step"], state["a"]) == (2, 1)
        for received, expected in zip(fresh, trained, strict=True):
            received, expected = received.numpy(), expected.numpy()
            assert received.dtype == expected.dtype
            assert received.shape == expected.shape
            assert received.tobytes() == expected.tobytes()

    def test_holds_all_that_a_step_changes(self, build, tools):
        model = build(1)
        held = checkpointed_variables(model)
        assert len(held) == len({id(variable) for variable in held})
        before = values_of(held)
        model.train_step(tools.as_tensors(tools.make_batch(4, seed=5)))
        changed = {
            variable.path.rpartition("/")[2].rpartition("_")[2]
            for variable, value in zip(held, before, strict=True)
            if not np.array_equal(variable.numpy(), value)
        }
        parts = {"embeddings", "kernel", "state", "momentum", "velocity", "iteration", "total"}
        assert parts < changed

    @pytest.mark.parametrize("other_seeds", [False, True])  # of dropout: the control
    def test_training_goes_on_as_if_nothing_had_happened(self, build, tools, tmp_path, other_seeds):
        trained, resumed = build(2), build(0)
        save_checkpoint(tmp_path, 2, checkpointed_variables(trained), {})
        restore_latest(tmp_path, lambda step: checkpointed_variables(resumed), log=refuse)
        for variable in resumed.variables:
            if other_seeds and "seed_generator" in variable.path:
                variable.assign(variable + 1)
        batch = tools.as_tensors(tools.make_batch(4, seed=9))
        ours, theirs = (float(m.train_step(batch)["batch_loss"]) for m in (trained, resumed))
        assert (ours != theirs) is other_seeds
        weights = zip(*(values_of(model.weights) for model in (trained, resumed)), strict=True)
        assert all(np.array_equal(*pair) for pair in weights) is not other_seeds


def test_a_checkpoint_from_before_a_table_was_lazy_is_resumed(tools, tmp_path):
    """DistilBERT's table was updated whole by earlier versions."""
    table = "token_embedding/embeddings"
    old, new, undisturbed = (
        tools.build_tuner(AdamW(1e-2, lazy_table=lazy)) for lazy in (None, table, None)
    )
    batches = [tools.as_tensors(tools.make_batch(4, seed=seed)) for seed in range(4)]
    for batch in batches[:2]:
        old.train_step(batch)
        new.train_step(batches[3])  # what is pending of it must not be left
        undisturbed.train_step(batch)
    save_checkpoint(tmp_path, 2, checkpointed_variables(old), {})
    restore_latest(tmp_path, lambda step: checkpointed_variables(new), log=refuse)
    for model in (new, undisturbed):
        model.train_step(batches[2])
    with counted_weights(new):
        for ours, theirs in zip(new.weights, undisturbed.weights, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize(("options", "kept"), [({}, [10, 100]), ({"keep": 3}, [9, 10, 100])])
def test_keeps_the_latest_two_or_as_many_as_are_asked_for(tmp_path, variables, options, kept):
    for step in (5, 9, 10, 100):
        save_checkpoint(tmp_path, step, variables, {}, **options)
    names = [f"step-{step:08d}" for step in kept]
    assert [path.name for path in checkpoints_in(tmp_path)] == names
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_what_changes_while_a_checkpoint_is_written_is_not_in_it(tmp_path, variables, monkeypatch):
    go_on = threading.Event()
    write = checkpoint_writer.write_arrays

    def write_late(*arguments):
        assert go_on.wait(60)
        return write(*arguments)

    monkeypatch.setattr(checkpoint_writer, "write_arrays", write_late)
    writer = CheckpointWriter(tmp_path)
    variables[1].assign(3.0)
    writer.save(3, variables, {})
    assert checkpoints_in(tmp_path) == []  # training goes on meanwhile
    variables[1].assign(4.0)
    go_on.set()
    writer.wait()
    restore(tmp_path / "step-00000003", variables)
    assert float(variables[1].numpy()) == 3.0


def test_an_error_of_the_thread_comes_with_the_next_save(tmp_path, variables, monkeypatch):
    def fail(*arguments):
        raise UserError("The disk is full.")

    writer = CheckpointWriter(tmp_path)
    monkeypatch.setattr(checkpoint_writer, "write_arrays", fail)
    writer.save(1, variables, {})
    monkeypatch.undo()
    with pytest.raises(UserError, match="The disk is full"):
        writer.save(2, variables, {})
    writer.save(3, variables, {})
    writer.wait()
    assert [path.name for path in checkpoints_in(tmp_path)] == ["step-00000003"]


def test_later_ones_are_discarded(tmp_path, save):
    for step in (5, 9):
        save(step)
    discard_after(tmp_path, 5)
    assert [path.name for path in checkpoints_in(tmp_path)] == ["step-00000005"]


def test_no_checkpoint_is_none(tmp_path, variables):
    assert restore_latest(tmp_path, lambda step: variables, log=refuse) is None
    assert restore_latest(tmp_path / "missing", lambda step: variables, log=refuse) is None


def test_saving_a_step_again_replaces_it(tmp_path, save, variables):
    save(3, note="first")
    save(3, note="second")
    assert restore_latest(tmp_path, lambda step: variables, log=refuse)["note"] == "second"


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path, save, variables):
    path = save(7)
    path.rename(tmp_path / f".{path.name}.old")  # what such a kill leaves
    variables[1].assign(0.0)
    assert restore_latest(tmp_path, lambda step: variables, log=refuse)["step"] == 7
    assert variables[1].numpy() == 7


def test_a_run_that_was_removed_is_not_made_again(tmp_path, variables):
    folder = tmp_path / "run" / "checkpoints"
    folder.parent.mkdir()
    save_best(folder, variables, {"step": 1})
    shutil.rmtree(folder.parent)
    with pytest.raises(
        UserError, match=r"checkpoints/best cannot be written: .*checkpoints is gone"
    ):
        save_best(folder, variables, {"step": 2})
    assert not folder.parent.exists()


def test_best_is_replaced_and_no_step(tmp_path, variables):
    save_best(tmp_path, variables, {"step": 1})
    variables[1].assign(4.0)
    save_best(tmp_path, variables, {"step": 2})
    variables[1].assign(0.0)
    assert checkpoints_in(tmp_path) == []
    assert restore(tmp_path / BEST, variables)["step"] == 2
    assert float(variables[1].numpy()) == 4.0


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "values truncated": ("variables.safetensors", truncate),
    "values with one wrong bit": ("variables.safetensors", flip),
    "values missing": ("variables.safetensors", lambda path: path.unlink()),
    "state truncated": ("state.json", truncate),
    "state missing": ("state.json", lambda path: path.unlink()),
    "state without checksum": ("state.json", lambda path: path.write_text('{"step": 9}')),
    "state no object": ("state.json", lambda path: path.write_text("[1]")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_goes_back_to_the_one_before(damage, tmp_path, save, variables):
    save(8)
    name, spoil = DAMAGES[damage]
    spoil(save(9) / name)
    warnings = []
    assert restore_latest(tmp_path, lambda step: variables, log=warnings.append)["step"] == 8
    assert values_of(variables)[0].tolist() == [8, 8, 8]
    assert len(warnings) == 1
    assert "step-00000009" in warnings[0]
    assert "Going back" in warnings[0]


def test_all_damaged(tmp_path, save, variables):
    for step in (8, 9):
        flip(save(step) / "variables.safetensors")
    warnings = []
    with pytest.raises(UserError, match=r"No checkpoint in .* is whole\. Fix: start the run anew"):
        restore_latest(tmp_path, lambda step: variables, log=warnings.append)
    assert len(warnings) == 2


def test_a_damaged_one_changes_no_variable(tmp_path, save, variables):
    path = save(9)
    flip(path / "variables.safetensors")
    variables[1].assign(1.0)
    with pytest.raises(DamagedCheckpointError, match="checksum is not the recorded one"):
        restore(path, variables)
    assert float(variables[1].numpy()) == 1.0


@pytest.mark.parametrize(
    "other",
    [
        [keras.Variable(np.zeros(4, "float32"), name="kernel"), keras.Variable(0.0, name="step")],
        [keras.Variable(np.zeros(3, "float32"), name="kernel")],
        [keras.Variable(np.zeros(3, "float32"), name="bias"), keras.Variable(0.0, name="step")],
    ],
    ids=["shape", "fewer", "name"],
)
def test_of_another_model(tmp_path, save, other):
    """No older checkpoint is tried: it would be of the other model, too."""
    save(8)
    save(9)
    with pytest.raises(UserError, match=r"step-00000009 belongs to another model.*with the recipe"):
        restore_latest(tmp_path, lambda step: other, log=refuse)


class TestFullDisk:
    def check_untouched(self, tmp_path, variables):
        assert {path.name for path in tmp_path.iterdir()} == {"step-00000008"}
        assert restore_latest(tmp_path, lambda step: variables, log=refuse)["step"] == 8

    def test_seen_before(self, tmp_path, save, variables, monkeypatch):
        save(8)

        def refuse_space(folder, needed, what):
            raise UserError(f"Not enough disk space for {what}.")

        monkeypatch.setattr(checkpoint, "check_disk_space", refuse_space)
        with pytest.raises(UserError, match="Not enough disk space for a checkpoint"):
            save(9)
        self.check_untouched(tmp_path, variables)

    @pytest.mark.parametrize("step", [8, 9])
    def test_while_writing(self, tmp_path, save, variables, monkeypatch, step):
        save(8)

        def fill(arrays, path):
            path.write_bytes(b"half")
            raise checkpoint.SafetensorError("I/O error: No space left on device (os error 28)")

        monkeypatch.setattr(checkpoint, "save_file", fill)
        with pytest.raises(UserError, match=f"disk is full: .*step-0000000{step} was not written"):
            save(step)
        self.check_untouched(tmp_path, variables)

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
    def test_while_renaming_what_is_replaced(self, tmp_path, save, variables, monkeypatch, error):
        """Also a second Ctrl-C, at the worst moment."""
        save(8)
        rename = checkpoint.Path.rename

        def fail(path, target):
            if path.name.endswith(".new"):
                raise error
            return rename(path, target)

        monkeypatch.setattr(checkpoint.Path, "rename", fail)
        with pytest.raises((UserError, KeyboardInterrupt)):
            save(8)
        monkeypatch.undo()
        self.check_untouched(tmp_path, variables)


def test_state_is_plain_json(save):
    path = save(3, accuracy=np.float32(0.5), loss=float("nan"))
    state = json.loads((path / "state.json").read_text())
    assert (state["accuracy"], state["loss"]) == (0.5, None)

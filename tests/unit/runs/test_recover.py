"""A run whose training breaks down, and goes back, gives up or stops."""

from __future__ import annotations

import json

import pytest

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.runs import train
from kerasft.training.callbacks.history import read_history
from kerasft.training.checkpoints.checkpoint import read_checkpoint
from kerasft.training.loop import loop
from kerasft.training.loop.divergence import DivergedError


@pytest.fixture
def break_down(monkeypatch):
    """Makes training break down at the given steps, as often as they are taken."""

    def at(*steps):
        def check(step, loss, norm, learning_rate):
            if step in steps:
                raise DivergedError(step, loss, f"Broke at {step}.", received="", expected="")

        monkeypatch.setattr(loop, "check_finite", check)

    return at


@pytest.fixture
def run(make_recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def start(callbacks=(), **training):
        settings = {"training.steps": 6, "training.checkpoint_every_steps": 2}
        settings |= {f"training.{name}": value for name, value in training.items()}
        recipe = make_recipe({**settings, "export.enabled": False, "data.test_splits": ()})
        return train.run(recipe, callbacks=callbacks)

    return start


def weights_of(run):
    return read_checkpoint(RunDir(run.path).checkpoints_folder / "step-00000006")[1]


def test_it_goes_back_leaves_out_the_batch_and_names_it(run, break_down, tools):
    break_down(4)
    messages = tools.Messages()
    made = run([messages], on_divergence="skip")
    run_dir = RunDir(made.path)
    assert [row["step"] for row in read_history(run_dir.history_path)] == [1, 2, 3, 5, 6]
    (record,) = json.loads((made.path / "divergences.json").read_text())
    assert record["step"] == 4
    assert len(record["examples"]) == 8
    assert any("Step 4 broke down" in text for text in messages)
    # The steps are those of a run that saved just before it: nothing of step 4 is left.
    for other in (run(on_divergence="skip", checkpoint_every_steps=1), made):
        for name, value in weights_of(other).items():
            assert value.tobytes() == weights_of(made)[name].tobytes(), name


def test_before_the_first_checkpoint_it_goes_back_to_the_start(run, break_down):
    break_down(1, 2)
    made = run(on_divergence="skip", checkpoint_every_steps=100)
    assert [row["step"] for row in read_history(RunDir(made.path).history_path)] == [3, 4, 5, 6]


def test_it_gives_up(run, break_down):
    break_down(2, 3, 4)
    with pytest.raises(UserError, match=r"Broke at 4.*gone back 2 times already, and gives up"):
        run(on_divergence="skip", max_divergences=2)


def test_by_default_it_stops(run, break_down):
    break_down(3)
    with pytest.raises(DivergedError, match="Broke at 3"):
        run()


def test_a_loss_that_blows_up_is_one(run, monkeypatch):
    """The steps are too few to compare with, so that the window is made short."""
    from kerasft.training.loop import divergence

    monkeypatch.setattr(divergence, "_FEWEST", 1)
    with pytest.raises(DivergedError, match="The loss blew up at step"):
        run(divergence_factor=1.001)
    assert run(divergence_factor=100.0).train["steps"] == 6

"""One run: what it refuses before it trains, what it records, what an interruption says."""

from __future__ import annotations

import pytest

from kerasft.data.sources.source import source as sources
from kerasft.data.sources.tfds import DownloadError
from kerasft.errors import UserError
from kerasft.runs import session as session_module
from kerasft.runs import workflow
from kerasft.runs.fitting import training_data
from kerasft.runs.session import Session
from kerasft.training.callbacks.callback import Callback
from kerasft.training.loop.fit_state import FitState
from kerasft.training.loop.interrupt import Interrupted


class Messages(list, Callback):
    on_message = list.append


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """No dataset is prepared anywhere, and none can be downloaded."""

    def download(dataset, folder):
        raise DownloadError("no network in this test")

    monkeypatch.setattr(sources, "search_folders", lambda: [tmp_path / "tfds"])
    monkeypatch.setattr(sources, "download", download)


def test_falling_back_on_the_sample_is_loud_and_recorded(make_session, no_data):
    messages = Messages()
    session = make_session({"model.preset": "tiny_random"}, name="imdb_quick", callbacks=[messages])
    session.load()
    assert messages[0].startswith("THE REAL DATA IS MISSING: imdb_reviews")
    assert session.on_sample
    session.run_dir.write_text("recipe.toml", session.recipe.to_toml())
    resumed = workflow.load_run_recipe(session.run_dir)
    assert resumed.data.dataset == "builtin-sample"
    again = Messages()
    Session(resumed, session.run_dir, [again]).load()  # found at once, and nothing to be loud of
    assert len(again) == 1
    assert again[0].startswith("builtin-sample")


def test_building_a_model_tells_of_the_fall_back_too(make_recipe, no_data):
    messages = Messages()
    recipe = make_recipe({"model.preset": "tiny_random"}, name="imdb_quick")
    workflow.build(recipe, callbacks=[messages])
    assert messages[0].startswith("THE REAL DATA IS MISSING")


@pytest.mark.parametrize("choice", ["data.dataset", "data.data_dir"])
def test_data_that_the_user_chose_never_falls_back(make_session, no_data, choice):
    value = "imdb_reviews" if choice == "data.dataset" else "no/such/folder"
    session = make_session({"model.preset": "tiny_random", choice: value}, name="imdb_quick")
    with pytest.raises(UserError, match="imdb_reviews is not prepared in"):
        session.load()


def test_a_metric_that_the_task_has_not_is_refused_before_training(make_session):
    session = make_session({"training.monitor": "validation/f1/good"})
    expected = r'training\.monitor="validation/f1/good".*Expected: .*validation/f1/pos'
    with pytest.raises(UserError, match=expected):
        session.load()
    make_session({"training.monitor": "validation/f1/pos"}).load()


def test_the_recipes_calibration_bins_count_in_validation_too(make_session):
    def calibration_error(bins):
        session = make_session({"evaluation.calibration_bins": bins, "data.train_examples": None})
        session.load()
        model = session.build_model()
        kernel = model.head.logits.kernel
        kernel.assign(5 * kernel)  # more confident, or all predictions would lie in one bin
        metrics = training_data(session, model).evaluate(lambda rows: None)
        return metrics["expected_calibration_error"]

    assert calibration_error(1) != calibration_error(15)


@pytest.mark.parametrize(("checkpoint", "step"), [("step-00000040", 40), (None, 0)])
def test_an_interruption_without_saving_names_the_step_that_is_saved(
    make_session, monkeypatch, checkpoint, step
):
    """A second Ctrl-C stops at once: the steps since the last checkpoint are lost."""

    def stop(*arguments):
        raise KeyboardInterrupt

    session = make_session()
    session.load()
    if checkpoint:
        (session.run_dir.checkpoints_folder / checkpoint).mkdir(parents=True)
    monkeypatch.setattr(Session, "_restore", lambda self, model: FitState(step=57))
    monkeypatch.setattr(session_module, "fit", stop)
    with pytest.raises(Interrupted, match=f"after step {step}\\.") as raised:
        session.run(None)
    assert (raised.value.step, raised.value.run_dir) == (step, session.run_dir.path)

"""What a training comes to: names of exports, the lines of the report, what must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.runs import outcome


@pytest.fixture
def export_folder(make_session, monkeypatch):
    """The folder that a recipe's model would go to."""
    monkeypatch.setattr(outcome, "export_saved_model", lambda model, *, folder, **_: folder)

    def find(overrides=None, *, on_sample=False, name=None, **options):
        session = make_session(overrides, **options)
        session.load()
        return session.outcome().export(None, metrics={}, on_sample=on_sample, name=name)

    return find


def test_the_model_goes_to_the_pipelines_name(export_folder):
    assert export_folder() == Path("saved_models/imdb")
    assert export_folder({"export.name": "mine"}) == Path("saved_models/mine")
    assert export_folder({"export.name": "mine"}, name="other") == Path("saved_models/other")


def test_a_model_of_the_sample_says_so_in_its_name(export_folder):
    assert export_folder(on_sample=True) == Path("saved_models/imdb_sample")
    assert export_folder({"export.name": "mine"}, on_sample=True).name == "mine_sample"


@pytest.mark.parametrize(
    ("recipe", "pipeline"),
    [
        ("imdb", "imdb"),
        ("imdb_quick", "imdb"),
        ("imdb_base_long", "imdb"),
        ("my_set", "my_set"),
        ("_x", "_x"),
    ],
)
def test_pipeline_of(recipe, pipeline):
    """A name that begins with `_` must not export to the folder of all models."""
    assert outcome.pipeline_of(recipe) == pipeline


def test_the_reports_commands_can_be_pasted():
    run_dir = RunDir(Path("my runs/imdb-1"))
    assert outcome._commands(run_dir, Path("my models/imdb/3")) == [
        "kerasft predict 'my models/imdb/3' \"A quiet, moving film.\"",
        "tensorboard --logdir 'my runs'",
    ]
    pairs = outcome._commands(run_dir, Path("m/1"), has_pairs=True)[0]
    assert pairs == 'kerasft predict m/1 --pair "A film." "A second text."'
    assert outcome._commands(run_dir, None) == ["tensorboard --logdir 'my runs'"]


def test_a_run_without_a_best_checkpoint_says_how_to_go_on(tmp_path):
    with pytest.raises(UserError, match=r"has no best checkpoint.*--resume .*imdb-1"):
        outcome.require_best(RunDir(tmp_path / "imdb-1"))

"""What a training comes to: names of exports, the lines of the report, what must be there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.run_dir.result import Run
from kerasft.runs import trained
from kerasft.runs.finish import _commands


@pytest.fixture
def export_folder(make_recipe, monkeypatch):
    """The folder that a recipe's model would go to."""
    monkeypatch.setattr(trained, "export_saved_model", lambda model, *, folder, **_: folder)

    def find(overrides=None, *, on_sample=False, name=None):
        recorded = {
            "data": "builtin-sample" if on_sample else "imdb",
            "has_pairs": False,
            "metrics": {},
        }
        run_dir = RunDir(Path("runs/imdb-1"))
        made = trained.Trained(make_recipe(overrides), run_dir, preset=None, preprocessor=None)
        return made.export(None, recorded, None, name=name)

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
    assert trained.pipeline_of(recipe) == pipeline


def test_the_reports_commands_can_be_pasted():
    run = Run(Path("my runs/imdb-1"), {}, None, [], {}, "tiny_random", "imdb", (), None)
    assert _commands(run) == ["tensorboard --logdir 'my runs'"]
    exported = dataclasses.replace(run, saved_model=Path("my models/imdb/3"))
    assert _commands(exported) == [
        "kerasft predict 'my models/imdb/3' \"A quiet, moving film.\"",
        "tensorboard --logdir 'my runs'",
    ]
    pairs = dataclasses.replace(run, saved_model=Path("m/1"), has_pairs=True)
    assert _commands(pairs)[0] == 'kerasft predict m/1 --pair "A film." "A second text."'


def test_a_run_without_a_best_checkpoint_says_how_to_go_on(tmp_path):
    with pytest.raises(UserError, match=r"has no best checkpoint.*--resume .*imdb-1"):
        trained.require_best(RunDir(tmp_path / "imdb-1"))

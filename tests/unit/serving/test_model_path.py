from pathlib import Path

import pytest

from kerasft.errors import UserError
from kerasft.export.layout import RECORD
from kerasft.serving.model_path import find_saved_model, find_served_models
from kerasft.serving.predictor import load_predictor


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "saved_models/imbd",
            r"no such model.*Did you mean \"saved_models/imdb\"\?.*'saved_models/im",
        ),
        ("saved_models/imdb/3", r"no such model.*Did you mean.*one of saved_models/imdb/10, "),
        ("saved_models/imdb/99", r"holds no model version.*one of saved_models/imdb/10, "),
        ("saved_models", r"holds no model version.*Fix: give one of saved_models/imdb\."),
        (
            "runs/imdb-20261122-180000",
            r"run directory: the model .* lies elsewhere.*saved_models/imdb",
        ),
        ("notes.txt", r"a folder, and this is a file.*one of saved_models/imdb\."),
        ("", r"holds no model version"),
    ],
)
def test_paths_that_hold_no_model(saved_models, monkeypatch, path, message):
    monkeypatch.chdir(saved_models.parent)
    Path("notes.txt").write_text("")
    Path("runs/imdb-20261122-180000").mkdir(parents=True, exist_ok=True)
    Path("runs/imdb-20261122-180000/recipe.toml").write_text("")
    with pytest.raises(UserError, match=f"(?s){message}") as caught:
        load_predictor(path)
    assert "Expected: a folder such as saved_models/imdb" in str(caught.value)


def test_no_model_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no such model.*Fix: run a pipeline"):
        load_predictor("saved_models/imdb")


def test_versions_with_zeros_before_their_number(tmp_path):
    model = tmp_path / "imdb"
    for name in ("7", "0010", "9" * 20):
        (model / name).mkdir(parents=True)
        (model / name / "saved_model.pb").touch()
    assert find_saved_model(model) == model / "0010"
    assert find_served_models(tmp_path) == find_served_models(model) == {"imdb": model}
    (model / "010").mkdir()
    for find, path in ((find_saved_model, model), (find_served_models, tmp_path)):
        with pytest.raises(UserError, match=r"/0010 and .*/010 are one version\..*remove one of"):
            find(path)


DATA = "variables/variables.data-00000-of-00001"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *((name, b"x", "other") for name in ("saved_model.pb", "variables/variables.index", DATA)),
        ("variables/variables.index", None, "missing"),
        *((RECORD, content, "other") for content in (b"", b"{}", b"[]", b'{"sha256": 1}')),
    ],
)
def test_a_damaged_or_missing_file(version, name, content, message):
    path = version / name
    path.unlink() if content is None else path.write_bytes(content)
    message = f"damaged: {name} is {message}.*Fix: export it anew"
    with pytest.raises(UserError, match=message):
        load_predictor(version)

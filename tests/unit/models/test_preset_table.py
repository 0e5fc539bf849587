"""The table of presets says what KerasHub says, and what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kerasft.models import preset_table, tiny_random
from kerasft.models.preset_table import find_installed, list_presets
from kerasft.models.presets import DEFAULT_PRESET, known_preset_names

BY_NAME = {info.name: info for info in list_presets()}
KERAS_HUB = [info for info in list_presets() if info.handle is not None]


def keras_hub_entry(name):
    import keras_hub

    return keras_hub.models.Backbone.presets[name]


def test_the_presets_of_the_issue_are_there_and_can_be_loaded_by_name():
    expected = {
        "bert_tiny_en_uncased",
        "distil_bert_base_en_uncased",
        DEFAULT_PRESET,
        "tiny_random",
    }
    assert expected <= BY_NAME.keys() <= set(known_preset_names())
    assert len(BY_NAME) == len(list_presets())


@pytest.mark.parametrize("info", KERAS_HUB, ids=lambda info: info.name)
def test_the_table_is_keras_hubs(info):
    entry = keras_hub_entry(info.name)
    description = entry["metadata"]["description"]
    assert info.parameters == entry["metadata"]["params"]
    assert f"kaggle://{info.handle}" == entry["kaggle_handle"]
    assert info.num_layers == int(re.match(r"(\d+)-layer", description)[1])
    assert info.lowercase == ("lowercased" in description)


def test_our_own_presets_are_as_large_as_the_table_says():
    assert (
        BY_NAME[DEFAULT_PRESET].parameters
        == (keras_hub_entry("all_minilm_l6_v2_en")["metadata"]["params"])
    )
    backbone = tiny_random.build_backbone()
    tiny = BY_NAME["tiny_random"]
    assert (tiny.parameters, tiny.num_layers) == (
        backbone.count_params(),
        len(backbone.transformer_layers),
    )


def test_the_default_encoder_is_as_large_as_the_table_says(minilm_folder):
    from safetensors import safe_open

    with safe_open(minilm_folder / "model.safetensors", "np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys() if "_ids" not in name]  # noqa: SIM118
    sizes = [shape[0] * (shape[1] if len(shape) == 2 else 1) for shape in shapes]
    assert sum(sizes) == BY_NAME[DEFAULT_PRESET].parameters


def test_training_memory_is_four_numbers_a_parameter():
    assert BY_NAME["bert_base_en"].training_bytes == 4 * 4 * 108_310_272


def test_what_was_measured_stands_in_the_results(repository):
    page = (repository / "pipelines" / "README.md").read_text(encoding="utf-8")
    rows = {row[1]: row[0] for row in re.finditer(r"^\| `(\w+)` \| .*$", page, re.MULTILINE)}
    measured = [m for info in list_presets() for m in info.measured]
    assert measured
    for measurement in measured:
        row = rows[measurement.recipe]
        assert f"| {measurement.result.removeprefix('accuracy ')} |" in row
        assert f"| {measurement.examples_per_second:g} |" in row
        for fact in (measurement.hardware, measurement.versions, measurement.date):
            assert f"| {fact} |" in row


def test_each_says_in_one_sentence_what_it_is_for():
    sentences = [info.choose for info in list_presets()]
    assert len(set(sentences)) == len(sentences)
    assert all(re.fullmatch(r"[A-Zb][^.]*\.", sentence) for sentence in sentences)


def test_a_download_of_keras_hub_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    info = BY_NAME["bert_tiny_en_uncased"]
    assert find_installed(info) is None
    folder = tmp_path / "models" / "keras" / "bert" / "keras" / "bert_tiny_en_uncased" / "3"
    folder.mkdir(parents=True)
    assert find_installed(info) is None  # begun, and without its weights
    (folder / "model.weights.h5").touch()
    assert find_installed(info) == folder
    assert find_installed(BY_NAME["bert_small_en_uncased"]) is None


def test_the_cache_of_keras_hub_is_where_kagglehub_has_it(monkeypatch, tmp_path):
    from kagglehub.config import get_cache_folder

    assert str(preset_table._kaggle_cache()) == get_cache_folder()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    assert str(preset_table._kaggle_cache()) == get_cache_folder() == str(tmp_path)


def test_the_default_encoder_is_found_where_loading_looks_for_it(monkeypatch, tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setattr(preset_table, "default_preset_candidates", lambda: folders)
    assert find_installed(BY_NAME[DEFAULT_PRESET]) is None
    folders[1].mkdir()
    (folders[1] / "model.safetensors").touch()
    assert find_installed(BY_NAME[DEFAULT_PRESET]) == folders[1]
    assert not isinstance(find_installed(BY_NAME["tiny_random"]), Path)

"""`kerasft presets`: what people and scripts get to see."""

from __future__ import annotations

import json

from kerasft.cli import presets
from kerasft.models.preset_table import list_presets


def test_people_see_size_memory_measurement_and_what_each_is_for(command):
    result = command("presets")
    assert result.code == 0
    for info in list_presets():
        assert f"  {info.name}: {info.choose}\n" in result.out
    (base,) = (line for line in result.out.splitlines() if line.startswith("bert_base_en "))
    assert base.split()[1:7] == ["108.3", "M", "12", "yes", "1.7", "GB"]
    assert "0.885 (0.875-0.894), trained at 17.1 examples/s on 2 cores" in result.out
    assert "2026-11-24" in result.out
    assert result.out.count("measured: ") == sum(len(info.measured) for info in list_presets())


def test_what_is_here_is_told_from_what_would_be_downloaded(command, monkeypatch):
    names = {"bert_base_en"}
    monkeypatch.setattr(
        presets, "find_installed", lambda info: "here" if info.name in names else None
    )
    out = command("presets").out
    installed = [line.split()[0] for line in out.splitlines() if line.endswith("  yes")]
    assert installed == ["bert_base_en"]
    assert out.count("no: the first use downloads it") == len(list_presets()) - 1


def test_as_json(command, monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    result = command("presets", "--json")
    listed = {preset["name"]: preset for preset in json.loads(result.out)["presets"]}
    assert list(listed) == [info.name for info in list_presets()]
    assert listed["bert_tiny_en_uncased"]["parameters"] == 4_385_920
    assert listed["bert_tiny_en_uncased"]["training_bytes"] == 16 * 4_385_920
    assert listed["bert_tiny_en_uncased"]["installed"] is None
    assert listed["tiny_random"]["installed"] == "inside the package"
    measured = [(m["recipe"], m["date"]) for m in listed["minilm_l6_en_uncased"]["measured"]]
    assert measured == [("imdb", "2026-11-24"), ("imdb_quick", "2026-11-25")]

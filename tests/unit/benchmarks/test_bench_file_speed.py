"""The benchmark of reading: the same rows in each format, and ratios of pairs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from kerasft.data.files.table import open_table

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(FOLDER))  # it imports its neighbour
    spec = importlib.util.spec_from_file_location(
        "bench_file_speed", FOLDER / "bench_file_speed.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(FOLDER))
    return module


def test_each_format_has_the_same_rows_and_both_steps_are_measured(bench, tmp_path):
    paths = bench.write_files(tmp_path, 20)
    assert [*paths] == [*bench.FORMATS]
    tables = [open_table(path).select(("body", "verdict")) for path in paths.values()]
    rows = [[row.values for row in table.rows()] for table in tables]
    assert rows == [rows[0]] * 4
    assert len(rows[0]) == 20
    found = bench.measure(paths["jsonl"], tmp_path / "stores")
    assert [*found] == ["source", "tokens"]
    assert min(found.values()) > 0


def test_checkouts_take_turns_and_each_measurement_is_printed(bench, monkeypatch, capsys):
    seconds = iter((1.0, 2.0, 8.0, 4.0, 3.0, 3.0))  # after, before; before, after; after, before
    monkeypatch.setattr(bench, "measure_in_process", lambda path, checkout: next(seconds))
    monkeypatch.setattr(bench, "write_files", lambda folder, rows: {"csv": folder / "a.csv"})
    monkeypatch.setattr(sys, "argv", ["bench", "--before", "old", "--formats", "csv"])
    bench.main()
    *lines, report = map(json.loads, capsys.readouterr().out.splitlines())
    names = [[*line][1] for line in lines]
    assert names == ["after", "before", "before", "after", "after", "before"]
    assert report == {"csv": {"before": 3.0, "after": 3.0, "ratio": 0.5}}

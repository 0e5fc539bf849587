"""The benchmark of lazy rows: what it times, on which batches, and that it finishes."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(FOLDER))  # it imports its neighbours
    spec = importlib.util.spec_from_file_location("bench_lazy_rows", FOLDER / "bench_lazy_rows.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(FOLDER))
    return module


def test_words_are_as_frequent_as_zipfs_law_says(bench):
    first, *others = bench.make_batches(30522, 13)
    assert len(others) == 7
    ids = first[0]["token_ids"].numpy()
    assert ids.shape == (32, 13)
    assert ids.min() > 1000
    assert ids.max() <= 30521
    counts = np.sort(np.unique(ids, return_counts=True)[1])[::-1]
    assert counts[0] > 3 * counts[4]  # the most frequent word, and the fifth
    assert not np.array_equal(ids, others[0][0]["token_ids"])


def test_the_ratio_is_that_of_the_two_steps(bench):
    def step(seconds):
        def run(batch):
            time.sleep(seconds)
            return {"batch_loss": tf.constant(1.0)}

        return run

    steps = {bench.WHOLE: step(0.03), bench.LAZY: step(0.01)}
    figures = bench.measure(steps, [None, None, None], rounds=5)
    assert figures["step_ms"].keys() == {bench.WHOLE, bench.LAZY}
    low, high = figures["quartiles"]
    assert 1.5 < low <= figures["ratio"] <= high


@pytest.mark.slow
def test_it_finishes(bench, monkeypatch, capsys):
    arguments = ["bench", "--rows", "1200", "--lengths", "4", "--rounds", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    bench.main()
    assert '"rows": 1200, "length": 4' in capsys.readouterr().out

"""What TF_CONFIG says, and one process that agrees with itself."""

from __future__ import annotations

import json

import pytest

from kerasft.errors import UserError
from kerasft.training.strategy import build_strategy, build_workers
from kerasft.training.workers import Cluster, expected_cluster, read_cluster

TWO = {"worker": ["a:1", "b:2"]}


@pytest.fixture
def config(monkeypatch):
    def set_to(value):
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv("TF_CONFIG", text)

    return set_to


@pytest.mark.parametrize(("index", "is_chief"), [(0, True), (1, False), ("1", False)])
def test_a_cluster(config, index, is_chief):
    config({"cluster": TWO, "task": {"type": "worker", "index": index}})
    cluster = read_cluster()
    assert cluster == Cluster(2, int(index))
    assert cluster.is_chief is is_chief
    assert expected_cluster("auto") == expected_cluster("multi_worker") == cluster
    assert expected_cluster("one_device") == expected_cluster("mirrored") == Cluster()


@pytest.mark.parametrize("text", ["", "  "])
def test_without_one(config, text):
    config(text)
    assert read_cluster() is None
    assert expected_cluster("auto").is_chief
    with pytest.raises(UserError, match=r"nothing says which they are.*kerasft launch"):
        build_strategy("multi_worker")


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[]",
        {"cluster": TWO},
        {"cluster": TWO, "task": {"type": "worker", "index": 2}},
        {"cluster": TWO, "task": {"type": "worker", "index": -1}},
        {"cluster": TWO, "task": {"type": "chief", "index": 0}},
        {"cluster": {**TWO, "chief": ["c:1"]}, "task": {"type": "worker", "index": 0}},
    ],
)
def test_what_is_no_cluster(config, value):
    config(value)
    with pytest.raises(UserError, match=r"TF_CONFIG does not describe this process"):
        read_cluster()


def test_one_process_agrees_with_itself():
    workers = build_workers(build_strategy("one_device"))
    assert (workers.count, workers.is_chief) == (1, True)
    assert [workers.any(flag) for flag in (True, False)] == [True, False]
    workers.barrier()
    with workers.chief_first():
        pass

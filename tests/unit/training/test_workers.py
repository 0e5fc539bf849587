"""What TF_CONFIG says, and one process that agrees with itself."""

from __future__ import annotations

import json
import os

import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.training.distribution import strategy as strategies
from kerasft.training.distribution.strategy import build_strategy, build_workers
from kerasft.training.distribution.workers import Cluster, expected_cluster, read_cluster

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


WORKER, CHIEF = {"type": "worker", "index": 0}, {"type": "chief", "index": 0}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"cluster": {}, "task": {}},
        {"task": WORKER},
        {"cluster": {}, "task": CHIEF},
        {"cluster": {"chief": ["h:1"]}, "task": CHIEF},
        {"cluster": {"chief": ["h:1"], "worker": []}, "task": CHIEF},
        {"cluster": {"worker": ["h:1"]}, "task": WORKER},
        {"cluster": {"worker": ["[::1]:65535"]}, "task": WORKER, "environment": "cloud"},
    ],
)
def test_a_lone_process(config, monkeypatch, value):
    """Trains as if nothing were set; a MultiWorkerMirroredStrategy is for who asks for one."""
    config(value)
    anew = strategies._build_multi_worker.__wrapped__
    monkeypatch.setattr(strategies, "_build_multi_worker", anew)
    assert read_cluster() == Cluster(1, 0)
    assert type(build_strategy("auto")) is tf.distribute.OneDeviceStrategy
    strategy = build_strategy("multi_worker")
    assert type(strategy) is tf.distribute.MultiWorkerMirroredStrategy
    assert (strategy.num_replicas_in_sync, build_workers(strategy).count) == (1, 1)
    (device,) = strategy.extended.worker_devices
    assert tf.DeviceSpec.from_string(device).job in (None, "localhost")  # it listens on no port
    assert os.environ["TF_CONFIG"] == json.dumps(value)  # for programs that are started


@pytest.mark.parametrize(("task", "index"), [(CHIEF, 0), (WORKER, 1), ({**WORKER, "index": 1}, 2)])
def test_a_chief_comes_before_the_workers(config, task, index):
    config({"cluster": {**TWO, "chief": ["c:1"]}, "task": task})
    assert read_cluster() == Cluster(3, index)
    assert read_cluster().is_chief is (index == 0)


def of(cluster, **task):
    return {"cluster": cluster, "task": {**WORKER, **task}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "it is no JSON"),
        ("[" * 100_000, "recursion"),
        ("[]", "it is no JSON object"),
        ({"cluster": TWO}, '"task" does not say which one this is'),
        ({"cluster": True, "task": WORKER}, '"cluster" is no object'),
        ({"cluster": TWO, "task": [WORKER]}, '"task" is no object'),
        ({"cluster": {"worker": {"0": "a:1"}}, "task": WORKER}, '"worker" is no list'),
        (of({**TWO, "ps": ["c:1"]}), 'the task type "ps"; only "chief" and "worker" train'),
        (of(TWO, type="ps"), 'the type of its task is "ps"; only'),
        (of(TWO, type=None), "the type of its task is null; only"),
        (of(TWO, type="chief"), 'its cluster has 0 of the type "chief", no index 0'),
        (of(TWO, index=2), 'its cluster has 2 of the type "worker", no index 2'),
        (of(TWO, index=-1), "the index of its task is -1, no number from 0"),
        (of(TWO, index=0.0), "the index of its task is 0.0, no number"),
        (of(TWO, index=True), "the index of its task is true, no number"),
        (of({}, index=1), "the index of its task is 1, and there is no cluster"),
        (of({"chief": ["a:1", "b:1"]}, type="chief"), "it has 2 chiefs"),
        (of({"worker": ["a:1", "b"]}), '"b" is no host:port'),
        (of({"worker": ["a:1", "b:65536"]}), '"b:65536" is no host:port'),
        (of({"worker": ["http://a:1"]}), '"http://a:1" is no host:port'),
        (of({"worker": [1]}), "1 is no host:port"),
        (of({"worker": [["a:1"]]}), "is no host:port"),
        (of({"worker": ["a:1", "A:1"]}), '"A:1" is the address of two processes'),
        (of({"chief": ["a:1"], "worker": ["a:1"]}), '"a:1" is the address of two processes'),
    ],
)
def test_what_is_no_cluster(config, value, message):
    config(value)
    for strategy in ("auto", "multi_worker"):
        with pytest.raises(UserError) as caught:
            build_strategy(strategy)
        told = str(caught.value)
        assert told.startswith("The variable TF_CONFIG does not describe this process: ")
        assert message in told
        assert 'Expected: {"cluster": {"worker":' in told
        assert "Fix: let `kerasft launch` set it, or unset it" in told
        assert len(told) < 1200


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_one_process_by_its_recipe_does_not_read_it(config, monkeypatch, strategy):
    """Nor does TensorFlow, whose MirroredStrategy would."""
    config("{")
    anew = strategies._build_mirrored.__wrapped__
    monkeypatch.setattr(strategies, "_build_mirrored", anew)
    assert build_workers(build_strategy(strategy)).count == 1
    assert expected_cluster(strategy) == Cluster()


def test_one_process_agrees_with_itself():
    workers = build_workers(build_strategy("one_device"))
    assert (workers.count, workers.is_chief) == (1, True)
    assert [workers.any(flag) for flag in (True, False)] == [True, False]
    workers.barrier()
    with workers.chief_first():
        pass

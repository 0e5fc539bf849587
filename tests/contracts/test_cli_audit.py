"""`kerasft audit`: its verdicts, its exit codes, its JSON."""

from __future__ import annotations

import json

import pytest
from tensorflow.core.protobuf import saved_model_pb2


@pytest.fixture
def saved_model(tmp_path):
    """Makes a SavedModel's folder with one node of each op that is named."""

    def make(*ops):
        saved = saved_model_pb2.SavedModel()
        graph = saved.meta_graphs.add()
        graph.meta_info_def.tensorflow_version = "2.20.0"
        for op in ops:
            graph.graph_def.node.add(name=f"layer/{op}", op=op)
        version = tmp_path / "model" / "3"
        version.mkdir(parents=True)
        (version / "saved_model.pb").write_bytes(saved.SerializeToString())
        return "model"

    return make


def test_a_model_that_every_server_runs(command, saved_model):
    result = command("audit", saved_model("MatMul", "FastBertNormalize"))
    assert result.code == 0
    first, *_, last = result.out.splitlines()
    assert first == "model/3, written by TensorFlow 2.20.0"  # the latest version
    assert last == "TensorFlow Serving 2.12.1 and newer run it."
    assert "TensorFlow Text      1 ops,      1 nodes  FastBertNormalize" in result.out


def test_a_model_that_no_server_runs_is_3(command, saved_model):
    result = command("audit", saved_model("MatMul", "EagerPyFunc"))
    assert result.code == 3
    assert "Refused by every stock server: EagerPyFunc, once, brought by layer" in result.out
    assert result.out.endswith("No stock TensorFlow Serving runs it.\n")


def test_a_model_that_needs_xla_is_3(command, saved_model):
    result = command("audit", saved_model("MatMul", "XlaDynamicUpdateSlice"))
    assert result.code == 3
    assert (
        "Refused by every stock server: XlaDynamicUpdateSlice, once, brought by layer (node "
        "layer/XlaDynamicUpdateSlice): stock servers have XLA compilation off" in result.out
    )
    assert "\nFix: compute it with TensorFlow's own ops" in result.out
    assert "--xla_cpu_compilation_enabled" in result.out
    assert result.out.endswith("No stock TensorFlow Serving runs it.\n")


@pytest.mark.parametrize(("server", "code"), [("2.20.0", 0), ("2.19.0", 3), ("2.12.1", 3)])
def test_one_server(command, saved_model, server, code):
    result = command("audit", saved_model("TFText>RoundRobinTrim"), "--server", server)
    assert result.code == code
    assert "Servers older than 2.20.0 refuse TFText>RoundRobinTrim, once, brought by" in result.out
    assert ("does not run it; 2.20.0 and newer do." in result.out) == (code == 3)


def test_json(command, saved_model):
    path = saved_model("MatMul", "TFText>RoundRobinTrim")
    result = command("audit", path, "--json", "--server", "2.12.1")
    assert result.code == 3
    answer = json.loads(result.out)
    assert answer.pop("newer") == [
        {
            "op": "TFText>RoundRobinTrim",
            "count": 1,
            "places": ["layer/TFText>RoundRobinTrim"],
            "brought_by": ["layer"],
            "since": "2.20.0",
            "why": "it is new in 2.20.0",
            "fix": "use the server 2.20.0 or newer.",
        }
    ]
    assert answer == {
        "saved_model": "model/3",
        "served": False,
        "server": "2.12.1",
        "oldest_server": "2.20.0",
        "producer": "2.20.0",
        "refused": [],
        "warnings": [],
        "ops": {"MatMul": 1, "TFText>RoundRobinTrim": 1},
    }


def test_a_mistake_is_2(refused, saved_model):
    told = "--server is no version of TensorFlow Serving whose ops are known"
    refused(told, "audit", saved_model("MatMul"), "--server", "2.11")
    refused("There is no such model.", "audit", "nothing")

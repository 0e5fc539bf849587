"""The files that start a server, read by the server's own protos and by a YAML parser."""

import http.server
import json
import subprocess
import threading

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kerasft.export.layout import BATCH_SIZES, BATCHING
from kerasft.export.serving_files import IMAGE, models_config, write_batching, write_serving_files

FLAGS = {
    "--model_config_file=/models/models.config",
    "--model_config_file_poll_wait_seconds=60",
    "--enable_batching=true",
    "--enable_per_model_batching_parameters=true",
}


@pytest.fixture
def models(tmp_path):
    for name in ("imdb", "glue_mrpc", "größe"):
        (tmp_path / name / "3").mkdir(parents=True)
        (tmp_path / name / "3" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "empty" / "1").mkdir(parents=True)
    (tmp_path / "unfinished" / ".new-1a2b").mkdir(parents=True)
    write_serving_files(tmp_path)
    return tmp_path


def test_the_server_reads_how_to_batch(tmp_path):
    write_batching(tmp_path)
    lines = (tmp_path / BATCHING).read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "max_batch_size { value: 32 }",  # the largest allowed size, else the server does not start
        "batch_timeout_micros { value: 1000 }",
        "max_enqueued_batches { value: 100 }",
        *(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES),
    ]


def test_the_server_reads_which_models_there_are(models):
    text = (models / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    found = {c.name: (c.base_path, c.model_platform) for c in config.model_config_list.config}
    assert found == {
        name: (f"/models/{name}", "tensorflow") for name in ("glue_mrpc", "größe", "imdb")
    }
    text = models_config({'a "quoted" one': models})
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert config.model_config_list.config[0].name == 'a "quoted" one'


def test_compose_starts_the_stock_server_on_loopback(models):
    service = yaml.safe_load((models / "docker-compose.yml").read_text())["services"]["serving"]
    assert service["image"] == IMAGE == "tensorflow/serving:2.20.0"
    assert set(service["command"]) == FLAGS
    assert service["ports"] == ["127.0.0.1:8501:8501", "127.0.0.1:8500:8500"]
    assert service["volumes"] == [".:/models:ro"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


def test_kubernetes_starts_it_too(models):
    deployment, service = yaml.safe_load_all((models / "kubernetes.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert set(container["args"]) == FLAGS
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (volume,) = deployment["spec"]["template"]["spec"]["volumes"]
    assert container["volumeMounts"] == [
        {"name": volume["name"], "mountPath": "/models", "readOnly": True}
    ]


class Server(http.server.BaseHTTPRequestHandler):
    """The status of models, as TensorFlow Serving writes it."""

    def do_GET(self):
        version, state = 1, self.server.states.get(self.path)
        status = {"error_code": "OK", "error_message": "not UNAVAILABLE, nor AVAILABLE"}
        found = {"version": str(version), "state": state, "status": status}
        self.send_response(200 if state else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"model_version_status": [found]}, indent=1).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def probes(models):
    """Returns the commands that ask whether a server is healthy."""
    service = yaml.safe_load((models / "docker-compose.yml").read_text())["services"]["serving"]
    kind, *compose = service["healthcheck"]["test"]
    assert (kind, compose[-1].count("$"), compose[-1].count("$$")) == ("CMD", 2, 1)  # escaped
    compose[-1] = compose[-1].replace("$$", "$")
    deployment, _ = yaml.safe_load_all((models / "kubernetes.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    kubernetes = [container[f"{name}Probe"]["exec"]["command"] for name in ("startup", "readiness")]
    return [compose, *kubernetes]


@pytest.mark.parametrize(
    ("changed", "is_healthy"),
    [({}, True), ({"imdb": "LOADING"}, False), ({"gr%C3%B6%C3%9Fe": "END"}, False), (None, False)],
)
def test_probes_wait_for_every_model(models, server, changed, is_healthy):
    names = ("glue_mrpc", "gr%C3%B6%C3%9Fe", "imdb")
    states = {} if changed is None else dict.fromkeys(names, "AVAILABLE") | changed
    server.states = {f"/v1/models/{name}": state for name, state in states.items()}
    for command in probes(models):
        command = [part.replace("8501", str(server.server_port)) for part in command]
        assert (subprocess.run(command, check=False, timeout=20).returncode == 0) == is_healthy


def test_a_server_that_is_not_there_is_not_healthy(models):
    for command in probes(models):
        command = [part.replace("8501", "1") for part in command]
        assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_they_are_written_anew_until_somebody_makes_them_their_own(models):
    mine = models / "docker-compose.yml"
    mine.write_text(mine.read_text().partition("\n")[2].replace("8501:8501", "80:8501"))
    kept = mine.read_text()
    (models / "glue_mrpc" / "3" / "saved_model.pb").unlink()
    write_serving_files(models)
    assert mine.read_text() == kept
    assert "glue_mrpc" not in (models / "models.config").read_text()

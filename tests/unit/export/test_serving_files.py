"""The files that start a server, read by the server's own protos and by a YAML parser."""

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kerasft.export.layout import BATCH_SIZES, BATCHING
from kerasft.export.serving_files import IMAGE, write_batching, write_serving_files

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
    write_serving_files(tmp_path, "imdb")
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


def test_compose_starts_the_stock_server_on_loopback(models):
    service = yaml.safe_load((models / "docker-compose.yml").read_text())["services"]["serving"]
    assert service["image"] == IMAGE == "tensorflow/serving:2.20.0"
    assert set(service["command"]) == FLAGS
    assert service["ports"] == ["127.0.0.1:8501:8501", "127.0.0.1:8500:8500"]
    assert service["volumes"] == [".:/models:ro"]
    assert "GET /v1/models/imdb HTTP/1.0\\r\\n\\r\\n" in service["healthcheck"]["test"][-1]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


def test_kubernetes_starts_it_too(models):
    deployment, service = yaml.safe_load_all((models / "kubernetes.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert set(container["args"]) == FLAGS
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/imdb"
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (volume,) = deployment["spec"]["template"]["spec"]["volumes"]
    assert container["volumeMounts"] == [
        {"name": volume["name"], "mountPath": "/models", "readOnly": True}
    ]


def test_they_are_written_anew_until_somebody_makes_them_their_own(models):
    mine = models / "docker-compose.yml"
    mine.write_text(mine.read_text().partition("\n")[2].replace("8501:8501", "80:8501"))
    kept = mine.read_text()
    (models / "glue_mrpc" / "3" / "saved_model.pb").unlink()
    write_serving_files(models, "imdb")
    assert mine.read_text() == kept
    assert "glue_mrpc" not in (models / "models.config").read_text()

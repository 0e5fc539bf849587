"""Small servers that speak TensorFlow Serving's REST and gRPC, and fail as they are told."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
import time
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest

from kerasft.serving.answers import build_answers

CERTIFICATES = Path(__file__).parent / "certificates"


def tensor_facts(dtype, *sizes):
    dim = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": "x:0"}


OUTPUTS = {
    "single": {
        "label": tensor_facts("DT_STRING", -1),
        "score": tensor_facts("DT_FLOAT", -1),
        "probabilities": tensor_facts("DT_FLOAT", -1, 2),
        "logits": tensor_facts("DT_FLOAT", -1, 2),
    },
    "multi": {
        "labels": tensor_facts("DT_STRING", -1, 2),
        "scores": tensor_facts("DT_FLOAT", -1, 2),
        "selected": tensor_facts("DT_BOOL", -1, 2),
        "logits": tensor_facts("DT_FLOAT", -1, 2),
    },
    "number": {"value": tensor_facts("DT_FLOAT", -1), "logits": tensor_facts("DT_FLOAT", -1, 1)},
}


class Model:
    """What both servers serve: it answers with the lengths of the texts, in bytes, over 3."""

    names = ("short", "long")

    def __init__(self, kind="single", *, has_pairs=False, classify=True):
        self.kind = kind
        texts = ("text", "text_pair")[: 1 + has_pairs]
        self.signatures = {
            "serving_default": {
                "inputs": {name: tensor_facts("DT_STRING", -1) for name in texts},
                "outputs": dict(OUTPUTS[kind]),
                "method_name": "tensorflow/serving/predict",
            }
        }
        if classify:
            self.signatures["classify"] = {"inputs": {"inputs": tensor_facts("DT_STRING", -1)}}
        self.states = [{"version": "3", "state": "AVAILABLE", "status": {"error_message": ""}}]
        self.refuses = lambda columns: None  # the fault of a request that it always refuses
        self.faults = []  # the next requests' own, in turn; `None` for one that gets its answer
        self.requests = []  # protocol's own words for model and version, headers, columns
        self.together = self.most_together = 0  # requests that are under way
        self.pause_seconds = 0.0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def counting(self):
        with self._lock:
            self.together += 1
            self.most_together = max(self.together, self.most_together)
        time.sleep(self.pause_seconds)
        yield
        with self._lock:
            self.together -= 1

    def predict(self, columns):
        """Returns arrays, given columns of bytes."""
        lengths = [sum(map(len, row)) for row in zip(*columns.values(), strict=True)]
        value = np.array(lengths, np.float32) / np.float32(3)
        if self.kind == "number":
            return {"value": value, "logits": value[:, np.newaxis]}
        both = np.stack([value, -value], axis=1)
        names = np.array([name.encode() for name in self.names], object)
        if self.kind == "multi":
            selected = both > [[1, -1]]
            labels = np.full(both.shape, b"", object)
            for row, chosen in zip(labels, selected, strict=True):
                row[: chosen.sum()] = names[chosen]
            return {"labels": labels, "scores": both, "selected": selected, "logits": both}
        label = names[(value > 1).astype(int)]
        return {"label": label, "score": value, "probabilities": both, "logits": both}

    def classify(self, example):
        outputs = self.predict({name: [text] for name, text in example.items()})
        scores = outputs["probabilities" if self.kind == "single" else "scores"][0]
        return list(zip(self.names, scores.tolist(), strict=True))

    def answer(self, text):
        """Returns what the client should make of a single text's answer."""
        (answer,) = build_answers(self.kind, self.predict({"": [text]}), self.names)
        return answer


# --- REST


class RestHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        model = self.server.model
        if self.path.endswith("/metadata"):
            self.serve(lambda: {"metadata": {"signature_def": {"signature_def": model.signatures}}})
        else:
            self.reply(200, {"model_version_status": model.states})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model = self.server.model
        if self.path.endswith(":classify"):
            (example,) = body["examples"]
            example = {name: text.encode() for name, text in example.items()}
            self.serve(lambda: {"results": [model.classify(example)]})
            return
        assert body["signature_name"] == "serving_default"
        columns = {name: [_bytes(t) for t in texts] for name, texts in body["inputs"].items()}
        self.serve(lambda: {"outputs": _plain(model.predict(columns))}, columns)

    def serve(self, answer, columns=None):
        model = self.server.model
        model.requests.append((self.path, dict(self.headers), columns))
        with model.counting():
            fault = model.faults.pop(0) if model.faults else model.refuses(columns)
            if fault is not None:
                fault(self)
            else:
                self.reply(200, answer())

    def reply(self, status, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _bytes(text):
    return base64.b64decode(text["b64"]) if isinstance(text, dict) else text.encode()


def _plain(outputs):
    """Arrays as the server writes them in JSON: a float32 with as few digits as tell it apart."""

    def plain(value):
        if isinstance(value, np.ndarray):
            return [plain(each) for each in value]
        if isinstance(value, bytes):
            return value.decode()
        return bool(value) if isinstance(value, np.bool_) else float(str(value))

    return {name: plain(values) for name, values in outputs.items()}


class RestFaults:
    """What can be put among a model's `faults`, for REST."""

    @staticmethod
    def status(status, body=None, **headers):
        body = {"error": f"a fault with status {status}"} if body is None else body
        return lambda handler: handler.reply(status, body, **headers)

    @staticmethod
    def reset(handler):
        handler.close_connection = True
        handler.connection.close()

    @staticmethod
    def slow(handler):
        time.sleep(1.0)
        handler.close_connection = True


@contextlib.contextmanager
def serve_rest(model, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RestHandler)
    server.handle_error = lambda *_: None  # clients go away here, and are meant to
    server.model = model
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


# --- gRPC


class GrpcFaults:
    """What can be put among a model's `faults`, for gRPC."""

    @staticmethod
    def status(name, detail):
        import grpc

        return lambda context: context.abort(getattr(grpc.StatusCode, name), detail)

    @staticmethod
    def reset(context):
        GrpcFaults.status("UNAVAILABLE", "Socket closed")(context)

    @staticmethod
    def slow(context):
        time.sleep(1.0)
        GrpcFaults.status("UNAVAILABLE", "too late")(context)


for _name, _status, _code, _said in (
    ("busy", 503, "UNAVAILABLE", "no room"),
    ("not_found", 404, "NOT_FOUND", "Servable not found"),
    ("invalid", 400, "INVALID_ARGUMENT", "a bad request"),
    ("forbidden", 401, "UNAUTHENTICATED", "who are you?"),
    ("broken", 500, "INTERNAL", "a broken graph"),
    ("cancelled", 499, "CANCELLED", "stopping"),
):
    setattr(RestFaults, _name, staticmethod(RestFaults.status(_status, {"error": _said})))
    setattr(GrpcFaults, _name, staticmethod(GrpcFaults.status(_code, _said)))


@contextlib.contextmanager
def serve_grpc(model, credentials=None):
    import grpc
    import tensorflow as tf
    from google.protobuf import json_format
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    def note(request, context, columns=None):
        spec = request.model_spec
        version = spec.version_label or spec.version.value
        headers = dict(context.invocation_metadata())
        model.requests.append((f"{spec.name} {version}", headers, columns))
        fault = model.faults.pop(0) if model.faults else model.refuses(columns)
        if fault is not None:
            fault(context)

    class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request, context):  # noqa: N802
            note(request, context)
            found = get_model_metadata_pb2.SignatureDefMap()
            json_format.ParseDict({"signature_def": model.signatures}, found)
            answer = get_model_metadata_pb2.GetModelMetadataResponse()
            answer.metadata["signature_def"].Pack(found)
            return answer

        def Predict(self, request, context):  # noqa: N802
            assert request.model_spec.signature_name == "serving_default"
            columns = {name: list(tensor.string_val) for name, tensor in request.inputs.items()}
            with model.counting():
                note(request, context, columns)
                answer = predict_pb2.PredictResponse()
                for name, values in model.predict(columns).items():
                    answer.outputs[name].CopyFrom(tf.make_tensor_proto(values))
            return answer

        def Classify(self, request, context):  # noqa: N802
            note(request, context)
            (example,) = request.input.example_list.examples
            features = example.features.feature.items()
            answer = classification_pb2.ClassificationResponse()
            row = answer.result.classifications.add()
            for label, score in model.classify({n: f.bytes_list.value[0] for n, f in features}):
                row.classes.add(label=label, score=score)
            return answer

    class Models(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request, context):  # noqa: N802
            answer = get_model_status_pb2.GetModelStatusResponse()
            return json_format.ParseDict({"model_version_status": model.states}, answer)

    server = grpc.server(futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(), server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


# --- fixtures


class Served:
    """A model that a server of one protocol serves.

    Attributes:
        model: The `Model`.
        faults: `RestFaults` or `GrpcFaults`.
    """

    def __init__(self, protocol, model, address, scheme):
        self.protocol, self.model, self.address, self.scheme = protocol, model, address, scheme
        self.faults = RestFaults if protocol == "rest" else GrpcFaults

    def fault(self, status, code, said):
        """A fault of this status of REST, or of this code of gRPC."""
        rest = self.protocol == "rest"
        return self.faults.status(*((status, {"error": said}) if rest else (code, said)))

    def url(self, suffix=""):
        path = "v1/models/imdb" if self.protocol == "rest" else "imdb"
        return f"{self.scheme}://{self.address}/{path}{suffix}"


@pytest.fixture
def serve():
    """Starts a server of a protocol for a model, with a certificate of the tests if asked."""
    with contextlib.ExitStack() as stack:

        def serve(protocol, model=None, certificate=None, *, asks_for_one=False):
            model = model or Model()
            secure = None
            if certificate is not None:
                pem = CERTIFICATES / f"{certificate}.pem"
                secure = _secure(protocol, pem, asks_for_one)
            server = serve_rest if protocol == "rest" else serve_grpc
            scheme = ("http" if protocol == "rest" else "grpc") + ("s" if secure else "")
            return Served(protocol, model, stack.enter_context(server(model, secure)), scheme)

        yield serve


def _secure(protocol, pem, asks_for_one):
    authority = CERTIFICATES / "ca.pem"
    if protocol == "rest":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        if asks_for_one:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(authority)
        return context
    import grpc

    content = pem.read_bytes()
    root = authority.read_bytes() if asks_for_one else None
    return grpc.ssl_server_credentials([(content, content)], root, asks_for_one)


@pytest.fixture(params=["rest", "grpc"])
def served(request, serve):
    """A model for single texts with labels, served over each protocol."""
    return serve(request.param)


@pytest.fixture(scope="session")
def model_of():
    """Makes a model to serve: its kind, whether it reads pairs, whether it names its labels."""
    return Model


@pytest.fixture(scope="session")
def certificates():
    return CERTIFICATES


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    """Lets pauses be short, and keeps the user's headers out."""
    monkeypatch.setattr("kerasft.client.retries._FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.delenv("KERASFT_HEADERS", raising=False)

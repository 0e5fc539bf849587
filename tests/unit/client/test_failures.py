"""What servers and connections do wrong: told as what it is, tried again where it helps."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
import time

import pytest

from kerasft.client import Client, Tls
from kerasft.client.failures import CallError, ServerUnavailableError, Why
from kerasft.errors import UserError

LOADING = [{"version": "4", "state": "LOADING", "status": {"error_message": ""}}]
BROKEN = [
    {"version": "3", "state": "AVAILABLE", "status": {"error_message": ""}},
    {"version": "4", "state": "END", "status": {"error_message": "no such op"}},
]


@pytest.fixture
def client(served):
    with Client(served.url(), attempts=3) as client:
        served.model.requests.clear()
        yield client


@pytest.mark.parametrize(("fault", "times"), [("busy", 7), ("reset", 2), ("cancelled", 2)])
def test_what_may_pass_is_tried_again(served, fault, times):  # a restart: more than six attempts
    with Client(served.url()) as client:
        served.model.requests.clear()
        served.model.faults = [getattr(served.faults, fault)] * times
        assert client.predict(["one"])[0]["score"] == 1.0
    assert len(served.model.requests) == times + 1


def test_a_name_that_goes_while_the_server_is_started_again(served, client, monkeypatch):
    faults = [CallError(Why.UNKNOWN_HOST, "no such name")] * 2
    predict = client._connection.predict

    def gone_for_a_moment(*arguments):
        if faults:
            raise faults.pop()
        return predict(*arguments)

    monkeypatch.setattr(client._connection, "predict", gone_for_a_moment)
    assert client.predict(["one"])[0]["score"] == 1.0


def test_but_not_for_ever(served, client):
    served.model.faults = [served.faults.busy] * 3
    message = r"too busy, or not ready \(3 attempts\): no room\. Fix: try again later"
    with pytest.raises(ServerUnavailableError, match=message) as caught:
        client.predict(["one"])
    assert caught.value.exit_code == 75
    assert len(served.model.requests) == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("invalid", "refused the request: a bad request. Fix: look at what it says"),
        ("forbidden", "does not let us in: who are you?. Fix: give the header authorization"),
        ("broken", "failed: a broken graph. Fix: look into its log."),
    ],
)
def test_what_will_not_pass_is_told_at_once(served, client, fault, message):
    served.model.faults = [getattr(served.faults, fault)]
    with pytest.raises(UserError) as caught:
        client.predict(["one"])
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert len(served.model.requests) == 1


def test_a_failure_among_several_requests_ends_them(served):
    with Client(served.url(), batch_size=1, in_flight=2) as client:
        served.model.pause_seconds = 0.02
        served.model.requests.clear()
        served.model.faults = [None, served.faults.invalid]
        with pytest.raises(UserError, match="a bad request"):
            client.predict(["text"] * 50)
        time.sleep(0.1)
        assert len(served.model.requests) < 10


def test_a_slow_server_is_given_up(served):
    with Client(served.url(), deadline_seconds=0.3) as client:
        served.model.faults = [served.faults.slow]
        began = time.monotonic()
        with pytest.raises(ServerUnavailableError, match=r"did not answer in time: .*--timeout"):
            client.predict(["one"])
        assert time.monotonic() - began < 0.9


def test_a_model_that_is_being_loaded_is_waited_for(served):
    served.model.states = LOADING
    served.model.faults = [served.faults.not_found]
    with Client(served.url()) as client:
        assert client.kind == "single"
    served.model.faults = [served.faults.not_found] * 2
    message = r"still loading the model imdb \(2 attempts\): Servable not found\. Fix: try again"
    with pytest.raises(ServerUnavailableError, match=message):
        Client(served.url(), attempts=2)


@pytest.mark.parametrize(
    ("suffix", "states", "message"),
    [
        ("", [], r"has no model imdb: Servable not found\. Fix: give the name of a model"),
        ("/versions/9", LOADING, r"has no model imdb version 9: Servable not found\. Fix"),
        ("/versions/9", BROKEN, r"imdb version 9: Servable not found; it serves version 3\. Fix"),
        ("/versions/4", BROKEN, r"; version 4 failed to load: no such op; it serves version 3\."),
        ("/labels/new", BROKEN, r"has no model imdb label new: Unrec.*new; version 4 failed to l"),
    ],
)
def test_no_such_model_version_or_label(served, suffix, states, message):
    served.model.states = states
    fault = served.faults.not_found
    if "label" in suffix:
        said = "Unrecognized servable version label: new"
        fault = served.fault(400, "INVALID_ARGUMENT", said)
    served.model.faults = [fault]
    with pytest.raises(UserError, match=message) as caught:
        Client(served.url(suffix))
    assert caught.value.exit_code == 2


def test_an_answer_that_is_not_what_the_metadata_says(served, client):
    served.model.predict = lambda columns: {"label": [b"short"], "score": [1.0, 2.0]}
    if served.protocol == "rest":
        served.model.faults = [served.faults.status(200, {"outputs": {"label": ["short"]}})]
    with pytest.raises(UserError, match=r"not TensorFlow Serving: an answer that is not what its"):
        client.predict(["one"])


def test_a_closed_client_says_so(served, client):
    client.close()
    with pytest.raises(UserError, match=r"The client is closed\. Fix: make a new one\."):
        client.predict(["one"])
    assert served.model.requests == []


# --- nobody there, or somebody else


@pytest.mark.parametrize("url", ["http://{}/v1/models/imdb", "grpc://{}/imdb"])
def test_nobody_listens_or_the_name_leads_nowhere(url):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        message = r"No server is reached at \w+://127.0.0.1:\d+ \(2 attempts\): .*refused.*start"
        with pytest.raises(ServerUnavailableError, match=message):
            Client(url.format(place), attempts=2)
    with pytest.raises(UserError, match=r"name nowhere\.invalid leads to no machine") as caught:
        Client(url.format("nowhere.invalid:8500"), deadline_seconds=10)
    assert caught.value.exit_code == 2


@pytest.fixture
def shell():
    """Starts a server that says these bytes to everybody; gives its port."""
    with contextlib.ExitStack() as stack:

        def start(content):
            def say(connection, *_):
                connection.recv(1 << 16)
                connection.sendall(content)

            server = stack.enter_context(socketserver.TCPServer(("127.0.0.1", 0), say))
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(server.shutdown)
            return server.server_address[1]

        yield start


PAGE = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<html>Hi</html>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not TensorFlow Serving: what it says is no HTTP. Expect"),
        (PAGE, "is not TensorFlow Serving: status 200 with '<html>Hi</html>'. Expected: the ans"),
        (PAGE.replace(b"200 OK", b"404 No"), "not TensorFlow Serving: status 404 with '<html>"),
        (PAGE.replace(b"<html>Hi</html>", b'{"status":"up"}'), "an answer without metadata as ex"),
        (PAGE.replace(b"<html>Hi</html>", b"[[[[[[[[[[[[[[["), "status 200 with '[[[["),
        (PAGE.replace(b"200 OK", b"502 No"), "too busy, or not ready: status 502. Fix"),
        (PAGE.replace(b"200 OK", b"413 No"), "too large for http://127.0.0.1:"),
        (
            b"HTTP/1.1 307 No\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n",
            "sends us elsewhere: to http://elsewhere/. Fix: give that address",
        ),
        (PAGE.replace(b"15", b"99"), "broke off the connection: "),
    ],
)
def test_another_service(shell, content, message):
    with pytest.raises(UserError) as caught:
        Client(f"http://127.0.0.1:{shell(content)}/v1/models/imdb", attempts=1)
    assert message in str(caught.value)


def test_the_port_of_the_other_protocol(serve):
    rest, grpc = serve("rest"), serve("grpc")
    message = r"What answers at grpc://127.0.0.1:\d+ is not .*Fix: give the port .* speaks gRPC\."
    with pytest.raises(UserError, match=message):
        Client(f"grpc://{rest.address}/imdb")
    message = r"What answers at http://127.0.0.1:\d+ is not .*Fix: give the port .* speaks REST\."
    with pytest.raises(UserError, match=message):
        Client(f"http://{grpc.address}/v1/models/imdb")


def test_an_answer_that_drips_in_is_given_up(serve):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    served = serve("rest")
    with Client(served.url(), deadline_seconds=0.3, attempts=1) as client:
        served.model.faults = [drip]
        began = time.monotonic()
        with pytest.raises(ServerUnavailableError, match=r"in time: its answer came too slowly"):
            client.predict(["one"])
        assert time.monotonic() - began < 0.9


# --- TLS


def options(certificates, **files):
    return Tls(**{name: certificates / f"{file}.pem" for name, file in files.items()})


@pytest.fixture(params=["rest", "grpc"])
def secured(request, serve):
    return lambda *arguments, **asks: serve(request.param, None, *arguments, **asks)


def test_tls(secured, certificates):
    url = secured("server").url()
    with Client(url, tls=options(certificates, ca_file="ca")) as client:
        assert client.predict(["one"])[0]["score"] == 1.0
    with pytest.raises(UserError, match=r"connection to .* cannot be made: .*--ca-file") as caught:
        Client(url)  # nobody vouches for it
    assert caught.value.exit_code == 2  # and is not tried again


def test_a_certificate_of_another_host(secured, certificates):
    with pytest.raises(UserError, match=r"encrypted connection to \w+://127.0.0.1.*cannot be made"):
        Client(secured("other").url(), tls=options(certificates, ca_file="ca"))


def test_a_server_that_asks_for_a_certificate(secured, certificates):
    url = secured("server", asks_for_one=True).url()
    tls = options(certificates, ca_file="ca", certificate_file="client")
    with Client(url, tls=tls) as client:
        assert client.predict(["one"])[0]["score"] == 1.0
    with pytest.raises(UserError, match=r"a certificate of (your own|its client)"):
        Client(url, tls=options(certificates, ca_file="ca"), attempts=1)


def test_encryption_on_one_side_only(secured, served, certificates):
    tls = options(certificates, ca_file="ca")
    with pytest.raises(UserError, match=r"encrypted connection to \w+://127.0.0.1.*cannot be made"):
        Client(served.url().replace("://", "s://"), tls=tls, attempts=1)
    with pytest.raises(UserError, match=r"broke off .* wants an encrypted connection"):
        Client(secured("server").url().replace("s://", "://"), attempts=1)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ca_file": "none"}, r"cannot be read: No such file.*Received: '.*none.pem'"),
        ({"ca_file": "script"}, r"not what it should be: .*a PEM file with certificates"),
        ({"certificate_file": "ca"}, r"not what it should be: .*with the key of the certificate"),
        ({"certificate_file": "client", "key_file": "server"}, r"Received: '.*server.pem'"),
        ({"key_file": "client"}, r"key is of no use without its certificate"),
    ],
)
def test_files_that_are_none(certificates, tmp_path, files, message):
    paths = {name: certificates / f"{file}.pem" for name, file in files.items()}
    if files.get("ca_file") == "script":
        paths["ca_file"] = certificates / "make_certificates.sh"
    for scheme, path in (("https", "v1/models/imdb"), ("grpcs", "imdb")):
        with pytest.raises(UserError, match=message):
            Client(f"{scheme}://127.0.0.1:1/{path}", tls=Tls(**paths), attempts=1)


# --- light


LIGHT = """
import sys
from kerasft.client import Client
from kerasft.errors import UserError
try:
    Client("{url}", attempts=1)
except UserError as error:
    print("tensorflow" in sys.modules, "grpc" in sys.modules, "No server is reached" in str(error))
"""


def test_rest_imports_neither_tensorflow_nor_grpc():
    script = LIGHT.format(url="http://127.0.0.1:9/v1/models/m")
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.split() == ["False", "False", "True"], result.stderr

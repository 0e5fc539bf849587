"""`kerasft serve`: which server it starts, with which flags, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import grpc
import pytest
import urllib3

from kerasft.cli import serve
from kerasft.errors import UserError
from kerasft.serving.real_server import find_real_server

RECORD = 'printf "%s\\n" "$0" "$@" > "$RECORD"\n'
RECORD_CONFIG = 'for a in "$@"; do case "$a" in --model_config_file=*) cat "${a#*=}"; esac; done'
DOCKER = '[ "$1" = info ] && exit ${DOCKER_INFO:-0}\n'
NO_SERVER = ("--embedded",)


@pytest.fixture
def folder(tmp_path):
    """A folder of models that nobody will load."""
    for name in ("imdb/1", "imdb/2", "my model/7"):
        version = tmp_path / "models" / name
        version.mkdir(parents=True)
        (version / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "models" / "notes").mkdir()
    return tmp_path / "models"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """`program(name, script)` puts a program on an otherwise empty PATH; returns its record."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    record = tmp_path / "record"
    monkeypatch.setenv("RECORD", str(record))
    os.symlink("/bin/cat", tmp_path / "bin" / "cat")

    def put(name, script):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return record

    return put


def run(*arguments):
    """Runs the command; returns its exit code."""
    with pytest.raises(SystemExit) as done:
        serve.main([str(argument) for argument in arguments])
    return done.value.code


def test_the_program_is_started_with_its_flags(folder, program, capfd):
    record = program("tensorflow_model_server", f"{RECORD}{RECORD_CONFIG}\nexit 3")
    ports = ["--port", 0, "--grpc-port", 0]
    assert run(folder, *ports, "--poll-seconds", "5", "--timeout", "2.5") == 3
    name, *flags = record.read_text().splitlines()
    assert name.endswith("tensorflow_model_server")
    grpc_port, rest_port = (int(flag.partition("=")[2]) for flag in flags[:2])
    assert [flag.partition("=")[0] for flag in flags[:2]] == ["--port", "--rest_api_port"]
    assert 0 < grpc_port != rest_port > 0
    assert flags[2].startswith("--model_config_file=")
    assert flags[3:] == [
        "--file_system_poll_wait_seconds=5",
        "--rest_api_timeout_in_ms=2500",
        "--enable_batching=true",
        "--enable_per_model_batching_parameters=true",
    ]
    config, told = capfd.readouterr()
    assert 'name: "imdb"' in config
    assert f'base_path: "{folder}/my model"' in config
    assert "warning: tensorflow_model_server has no option for the address" in told
    assert f"REST http://127.0.0.1:{rest_port}, gRPC 127.0.0.1:{grpc_port}." in told
    assert not os.path.exists(flags[2].partition("=")[2])  # nothing is left behind
    assert run(folder, *ports, "--no-batching", "--host", "0.0.0.0") == 3
    assert "enable_batching" not in record.read_text()


def test_docker_is_started_on_loopback(folder, program, capfd):
    record = program("docker", DOCKER + RECORD)
    assert run(folder, "--port", 0, "--grpc-port", 0) == 0
    command = record.read_text().splitlines()[1:]
    assert command[:3] == ["run", "--rm", "--init"]
    published = [word for word in command if word.startswith("--publish=127.0.0.1:")]
    assert [word.rsplit(":", 1)[1] for word in published] == ["8501", "8500"]
    mounts = [word for word in command if word.startswith("--mount=")]
    assert f"--mount=type=bind,source={folder}/imdb,target=/models/imdb,readonly" in mounts
    assert len(mounts) == 3  # two models and their list
    assert command[command.index("tensorflow/serving:2.20.0") :] == [
        "tensorflow/serving:2.20.0",
        "--port=8500",
        "--rest_api_port=8501",
        "--model_config_file=/models/models.config",
        "--file_system_poll_wait_seconds=1",
        "--rest_api_timeout_in_ms=30000",
        "--enable_batching=true",
        "--enable_per_model_batching_parameters=true",
    ]
    assert "TensorFlow Serving (docker) serves imdb, my model" in capfd.readouterr().err


def test_docker_that_does_not_work_is_none(program, monkeypatch):
    assert find_real_server() is None
    program("docker", DOCKER)
    assert find_real_server() == "docker"
    monkeypatch.setenv("DOCKER_INFO", "1")
    assert find_real_server() is None
    program("tensorflow_model_server", "")
    assert find_real_server() == "tensorflow_model_server"


def test_signals_are_handed_on(folder, program, tmp_path, repository):
    wait = (
        'trap "echo got > $RECORD; exit 143" TERM\n'
        'echo up > "$RECORD"\n'
        "i=0; while [ $i -lt 300 ]; do i=$((i + 1)); /bin/sleep 0.1; done"
    )
    record = program("tensorflow_model_server", wait)
    command = [sys.executable, "-m", "kerasft", "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--grpc-port", "0"], cwd=repository, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while not (record.exists() and record.read_text() == "up\n"):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert record.read_text() == "got\n"
    finally:
        process.kill()


# --- what is refused


def refused(match, *arguments):
    with pytest.raises(UserError, match=match):
        serve.main([str(argument) for argument in arguments])


def test_a_folder_without_models_is_refused(folder, tmp_path):
    refused("There is no such folder", tmp_path / "nope")
    refused("This is a file", folder / "imdb" / "1" / "saved_model.pb")
    refused("This folder holds no model", folder / "notes")
    refused("This is one version of a model.*kerasft serve ", folder / "imdb" / "1")


def test_settings_that_cannot_be_are_refused(folder):
    refused("--port is no port.*70000", folder, "--port", 70000)
    refused("--grpc-port is no port", folder, "--grpc-port=-1")
    refused("a port each", folder, "--port", 8500)
    refused("--timeout is no such number", folder, "--timeout", 0)
    refused("--max-body-mb is no such number", folder, "--max-body-mb", "nan")
    refused("--poll-seconds is no such number", folder, "--poll-seconds", "-1")


def test_a_port_that_is_taken_is_refused(folder, program):
    program("tensorflow_model_server", RECORD)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for server in ([], NO_SERVER):
            options = [folder, *server]
            refused(f"cannot listen on 127.0.0.1, port {port}", *options, "--port", port)
            match = f"port {port}.*another --grpc-port"
            refused(match, *options, "--port", 0, "--grpc-port", port)
    refused("cannot listen on 192.0.2.1", folder, "--host", "192.0.2.1", *NO_SERVER)


def test_models_that_cannot_be_loaded_are_refused(folder, capsys):
    ports = ["--port", 0, "--grpc-port", 0]
    refused("No model can be served", folder, *ports, *NO_SERVER)
    told = capsys.readouterr().err
    assert "imdb: version 2 cannot be loaded" in told
    assert "my model: version 7 cannot be loaded" in told


# --- the embedded server, from its first line to the signal


@pytest.fixture
def until(demo, monkeypatch):
    """`until(ask, *arguments)` serves, lets `ask(rest, grpc)` work; returns code and what was told.

    `ask` runs in a thread: the server needs the main one, for its signals.
    """

    def serve_until(ask, *arguments):
        told = []
        monkeypatch.setattr(serve, "log", told.append)

        def work():
            end = time.monotonic() + 60
            while "Ctrl-C" not in "".join(told):
                assert time.monotonic() < end, told
                time.sleep(0.02)
            ask(*re.search(r"REST http://(\S+), gRPC (\S+)\. ", "".join(told)).groups())

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            ports = ["--port", 0, "--grpc-port", 0]
            code = run(demo, *NO_SERVER, *ports, *arguments)
            working.result()
        return code, "".join(told)

    return serve_until


def ask_slowly(address, seconds):
    body = json.dumps({"signature_name": "slow", "instances": [seconds]})
    url = f"http://{address}/v1/models/demo:predict"
    return urllib3.request("POST", url, body=body, retries=False, timeout=20)


@pytest.fixture(scope="module")
def load_server(repository):
    """The names in `load_server.py`, which finds its neighbours beside it."""
    folder = repository / "tests" / "benchmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield SimpleNamespace(**runpy.run_path(str(folder / "load_server.py")))


OUTCOMES = ("right", "refused", "wrong", "lost")


class ThisProcess:
    """Gets the signals that the load script sends."""

    send_signal = staticmethod(lambda number: os.kill(os.getpid(), number))


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_sigterm_under_load_loses_nothing_in_flight(until, load_server, protocol):
    found = {}

    def ask(rest, grpc_address):
        url = f"http://{rest}/v1/models/demo:predict"
        connect = partial(load_server.PROTOCOLS[protocol], url, grpc_address)
        found["load"] = load_server.run_load(connect, 16, 160)
        found["sigterm"] = load_server.run_load(connect, 16, None, ThisProcess)

    assert until(ask)[0] == 143
    load, stopped = ([found[name][n] for n in OUTCOMES] for name in ("load", "sigterm"))
    assert load == [160, 0, 0, 0]
    assert stopped[0] > 100
    assert stopped[1:] == [16, 0, 0]


def test_the_load_script_counts_what_goes_wrong(load_server):
    """The control of the test above."""
    found = Counter()
    expected = ("a", [0.5, 0.5])

    def lost(_):
        raise ConnectionResetError

    for ask in (lambda _: expected, lambda _: ("a", [0.4, 0.6]), lambda _: ("b", [0.5, 0.5]), lost):
        load_server.count_outcome(ask, "a text", expected, found)
    assert found == {"right": 1, "wrong": 2, "lost": 1, "lost: ConnectionResetError": 1}


def test_sigterm_ends_the_server_when_all_is_answered(until):
    found = []

    def ask(address, grpc_address):
        asker = threading.Thread(target=lambda: found.append(ask_slowly(address, 1.5)))
        asker.start()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.4)
        with pytest.raises(urllib3.exceptions.HTTPError):  # nobody else is let in
            ask_slowly(address, 0.0)
        with grpc.insecure_channel(grpc_address) as channel, pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")(b"")
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert error.value.details() == "The server is stopping."
        asker.join()

    code, told = until(ask)
    assert code == 143
    assert found[0].status == 200
    assert found[0].headers["connection"] == "close"
    assert found[0].json()["predictions"][0] >= 1.5
    assert "Embedded server, for trying and for tests" in told
    assert "Stopping: new requests are refused, those in flight are answered." in told
    assert "warning" not in told


def test_ctrl_c_ends_the_server(until):
    code, told = until(lambda *_: os.kill(os.getpid(), signal.SIGINT), "--host", "0.0.0.0")
    assert code == 130
    assert "warning: the server listens on 0.0.0.0: whoever reaches this machine" in told


def test_a_second_signal_does_not_wait(until, monkeypatch):
    ends = []
    monkeypatch.setattr("kerasft.serving.server.embedded.os._exit", ends.append)

    def ask(address, _):
        asker = threading.Thread(target=lambda: ask_slowly(address, 1.0))
        asker.start()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        asker.join()

    assert until(ask)[0] == 143
    assert ends == [143]


def test_the_command_line_needs_no_tensorflow(folder, program):
    program("tensorflow_model_server", "exit 0")
    code = (
        "import sys; from kerasft.cli import serve\n"
        f"try: serve.main([{str(folder)!r}, '--port', '0', '--grpc-port', '0'])\n"
        "except SystemExit: pass\n"
        "sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    control = "import sys, numpy; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", control], check=False).returncode == 1
    assert shutil.which("tensorflow_model_server")

"""`kerasft launch`, with processes that do not need TensorFlow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from kerasft.cli import launch as command
from kerasft.errors import UserError
from kerasft.training.distribution.launch import _first_to_fail, free_ports, launch, tf_config

TELL = "import os, sys, json; i = json.loads(os.environ['TF_CONFIG'])['task']['index']; "


def python(code):
    return [sys.executable, "-c", TELL + code]


def test_each_process_knows_which_it_is(capfd):
    code = launch(python("print('out', i); print('err', i, file=sys.stderr)"), 3)
    out, err = capfd.readouterr()
    assert code == 0
    assert out == "out 0\n"  # the chief's results, as they are
    lines = {"[worker 1] out 1", "[worker 2] out 2"} | {f"[worker {i}] err {i}" for i in range(3)}
    assert set(err.splitlines()) == lines


def test_what_tensorflow_is_told():
    told = json.loads(tf_config(["a:1", "b:2"], 1))
    assert told == {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    assert len(set(free_ports(8))) == 8


@pytest.mark.parametrize("failing", [0, 1])
def test_when_one_fails_the_others_are_ended(capfd, failing):
    start = time.monotonic()
    code = launch(python(f"import time; sys.exit(7) if i == {failing} else time.sleep(100)"), 2)
    assert code == 7
    assert time.monotonic() - start < 50
    assert f"[launch] worker {failing} ended with 7: ending all." in capfd.readouterr().err


def told_at_the_end(err):
    """What stands below "Its last lines:", and above it how the process ended."""
    how, _, rest = err.rpartition(" Its last lines:\n")
    return how.splitlines()[-1], [line.removeprefix("[launch] ") for line in rest.splitlines()]


def test_the_last_lines_of_the_one_that_failed_stand_last(capfd):
    """The others miss it, and say so for many lines, with the code that says so."""
    code = "import time, signal; "
    code += "[print('line', n, file=sys.stderr) for n in range(40)] if i else None; "
    code += "time.sleep(0.3) if i else time.sleep(100); "
    code += "print('Out of luck', file=sys.stderr); sys.exit(9)"
    lost = "signal.signal(15, lambda *_: (print('it is gone', file=sys.stderr), sys.exit(75))); "
    assert launch(python(code.replace("signal; ", f"signal; {lost}")), 2) == 9
    how, lines = told_at_the_end(capfd.readouterr().err)
    assert how == "[launch] worker 1 ended with 9."
    assert [line.strip() for line in lines[:-1]] == [
        *(f"line {n}" for n in range(26, 40)),
        "Out of luck",
    ]
    assert "with --resume goes on from the last checkpoint" in lines[-1]


def test_a_process_that_was_killed_without_a_word(capfd):
    assert (
        launch(python("import time; os.kill(os.getpid(), 9) if i else time.sleep(100)"), 2) == 137
    )
    how, lines = told_at_the_end(capfd.readouterr().err)
    assert how == (
        "[launch] worker 1 ended with 137: it was killed, as the system does where memory runs "
        "short."
    )
    assert lines[0].strip() == "nothing"
    assert launch(python("sys.exit(2)"), 2) == 2  # control: a mistake has said what to do
    assert "Its last lines" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("codes", "failed"),
    [([75, 1], 1), ([1, 75], 0), ([75, None], 0), ([None, -9, 3], 1), ([0, 0], None)],
)
def test_who_misses_another_did_not_fail_first(codes, failed):
    assert _first_to_fail(codes) == failed


def test_who_does_not_end_is_killed(capfd):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    code += "sys.exit(3) if i else time.sleep(100)"
    start = time.monotonic()
    assert launch(python(code), 2, grace=0.5) == 3
    assert time.monotonic() - start < 50


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_to_all(capfd, number):
    """Once each: a second one would end a process that still saves, long after the other."""
    code = "import signal, time; "
    code += "end = lambda n, _: (print('told', i), time.sleep(i), print('saved', i), sys.exit(n)); "
    code += "[signal.signal(n, end) for n in (signal.SIGINT, signal.SIGTERM)]; "
    code += "print('ready', file=sys.stderr); time.sleep(100)"
    timer = threading.Timer(3.0, os.kill, (os.getpid(), number))
    timer.start()
    assert launch(python(code), 2) == number
    out, err = capfd.readouterr()
    assert out == "told 0\nsaved 0\n"
    assert err.count("[worker 1] told 1") == 1
    assert "[worker 1] saved 1" in err
    assert "[launch]" not in err  # nobody failed


JOIN = [sys.executable, "-m", "kerasft", "launch", "--hosts", "a:1,b:2,c:3"]


def joined(arguments, **variables):
    """What a process is told that joins others; it becomes the command."""
    command = [*JOIN, *arguments, "--", *python("print(os.environ['TF_CONFIG'])")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **variables}, check=False
    )
    return json.loads(done.stdout)["task"]["index"] if done.returncode == 0 else done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "index"),
    [
        (["--index", "2"], {}, 2),
        ([], {"JOB_COMPLETION_INDEX": "1"}, 1),
        ([], {"SLURM_PROCID": "0"}, 0),
        (["--index", "0"], {"SLURM_PROCID": "1"}, 0),
    ],
)
def test_on_several_machines_each_joins_the_others(arguments, variables, index):
    assert joined(arguments, **variables) == index


def test_who_does_not_know_which_it_is():
    assert "Which of the hosts is this?" in joined([])
    assert "This process is none of the hosts." in joined(["--index", "3"])


@pytest.mark.parametrize(
    ("hosts", "fault"), [("a:1,b", '"b" is no host:port'), ("a:1,a:1", "of two processes")]
)
def test_hosts_that_would_wait_for_ever(hosts, fault):
    """The last `--hosts` counts."""
    told = joined(["--hosts", hosts, "--index", "0"])
    assert "These hosts cannot train together: " in told
    assert fault in told


def test_the_files_for_kubernetes_and_slurm_start_as_many_as_they_name(monkeypatch):
    """No cluster is at hand: what they would run is run with what they would set."""
    deploy = Path(__file__).parents[3] / "docs" / "deploy"
    service, job = yaml.safe_load_all((deploy / "kubernetes.yaml").read_text())
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    hosts = container["command"][container["command"].index("--hosts") + 1].split(",")
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == len(hosts)
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    names = [f"{job['metadata']['name']}-{i}.{service['metadata']['name']}" for i in range(2)]
    assert [host.partition(":")[0] for host in hosts] == names
    script = (deploy / "slurm.sh").read_text()
    fakes = 'scontrol() { printf "n1\\nn2\\n"; }; srun() { printf "%s\\n" "$*"; }\n'
    done = subprocess.run(
        ["bash", "-c", fakes + script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SLURM_JOB_NODELIST": "n[1-2]"},
    )
    assert "kerasft launch --hosts n1:2222,n2:2222 -- " in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--workers", "2", "--hosts", "a:1", "--", "true"], "give one of them"),
        (["--index", "1", "--", "true"], "--index is one of the hosts."),
        (["--workers", "0", "--", "true"], "--workers is how many processes there are."),
        (["--workers", "2"], "Which command?"),
        (["--workers", "2", "--", "no-such-program"], "There is no such program."),
    ],
)
def test_mistakes(argv, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        command.main(argv)

"""A search over KerasTuner's service: a chief and a worker, in threads of one process."""

from __future__ import annotations

import threading

import pytest

from kerasft.errors import UserError
from kerasft.studies.tuning.journal import Journal
from kerasft.studies.tuning.plan import join_plan, make_plan
from kerasft.studies.tuning.private import offered
from kerasft.studies.tuning.searching import join
from kerasft.training.distribution.launch import free_ports

NAMES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


@pytest.fixture
def service(monkeypatch):
    """Sets the variables of the service for this process, which gets a name."""
    port = free_ports(1)[0]

    def be(tuner_id):
        for name, value in zip(NAMES, (tuner_id, "127.0.0.1", str(port)), strict=True):
            monkeypatch.setenv(name, value)

    return be


def test_a_worker_shares_the_trials_of_a_chief(study, make_runner, make_arguments, service):
    service("chief")
    told, errors = [], []
    here, there = make_runner(), make_runner()
    begun, go_on = threading.Event(), threading.Event()

    def run(job, *, plain=here.run, **more):
        if job.name.startswith("trial-"):
            begun.set()  # the chief holds one trial, until the worker has run one
            assert go_on.wait(60)
        return plain(job, **more)

    here.run = run

    def work():
        try:
            assert begun.wait(60)
            folder = told[0].removeprefix("The search is kept in ").rstrip(".")
            service("tuner-1")
            plan = join_plan(make_arguments(None, join=folder))
            plain = there.run
            there.run = lambda job, **more: (go_on.set(), plain(job, **more))[1]
            join(plan, runner=there)
        except BaseException as error:
            errors.append(error)
            go_on.set()

    worker = threading.Thread(target=work)
    worker.start()
    found, folder, _ = study(here, trials=4, finalists=1, seeds=1, told=told)
    worker.join(60)
    assert errors == []
    assert there.names
    assert sorted(there.names + [n for n in here.names if n.startswith("trial-")]) == [
        f"trial-{number:03d}" for number in range(1, 5)
    ]
    started = {e["job"]: e for e in Journal(folder.path / "journal.jsonl").of("started")}
    assert started[there.names[0]]["worker"] == "tuner-1"
    # What was run is what the journal says, to the last bit.
    for job in there.jobs:
        rate = started[job.name]["values"]["training.learning_rate"]
        assert job.changes["training.learning_rate"] == rate
    assert {trial.job for trial in found.tried} >= set(there.names)


def test_an_address_that_cannot_be_listened_on_is_told():
    message = r"The chief cannot listen there\. Received: '256\.0"
    with pytest.raises(UserError, match=message), offered(None, "256.0.0.1:1"):
        pass


ONE_CHIEF = r"has one chief, which workers --join"


@pytest.mark.parametrize(
    ("tuner_id", "arguments", "message"),
    [
        (None, {"join": "runs/x"}, rf"{ONE_CHIEF}.*Received: ''"),
        ("chief", {"join": "runs/x"}, rf"{ONE_CHIEF}.*_TUNER_ID=chief"),
        ("t1", {"join": "runs/none"}, r"not the folder of a search"),
        ("t1", {"join": "runs/x", "trials": 4}, r"nothing to decide.*Received: 'trials'"),
        ("t1", {"join": "runs/x", "workers": 2}, r"nothing to decide.*Received: 'workers'"),
        ("t1", {}, rf"{ONE_CHIEF}.*_TUNER_ID=t1.*has chief in it without --join"),
    ],
)
def test_a_mistake_of_a_worker_is_told(make_arguments, service, tuner_id, arguments, message):
    if tuner_id:
        service(tuner_id)
    with pytest.raises(UserError, match=message):
        (join_plan if arguments else make_plan)(make_arguments(None, **arguments))


@pytest.mark.parametrize("tuner_id", ["chief", "tuner-1"])
def test_a_service_named_in_part_is_told(make_arguments, service, monkeypatch, tuner_id):
    service(tuner_id)
    monkeypatch.delenv("KERASTUNER_ORACLE_PORT")
    for read, arguments in ((make_plan, {}), (join_plan, {"join": "runs/x"})):
        with pytest.raises(UserError, match=rf"{ONE_CHIEF}.*Expected: all of KERASTUNER_TUNER_ID"):
            read(make_arguments(None, **arguments))

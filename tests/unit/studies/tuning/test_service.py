"""A search over KerasTuner's service: a chief and a worker, in threads of one process."""

from __future__ import annotations

import threading

import pytest

from kerasft.errors import UserError
from kerasft.studies.tuning.keras_tuner.journal import Journal
from kerasft.studies.tuning.keras_tuner.service import join_study, offered
from kerasft.studies.tuning.plan import join_plan, make_plan
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
            join_study(plan, there, plan.service.tuner_id, log=lambda line: None)
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


@pytest.mark.parametrize(
    ("tuner_id", "arguments", "message"),
    [
        (None, {"join": "runs/x"}, r"Who leads the search\? Received: 'nothing'"),
        ("chief", {"join": "runs/x"}, r"Who leads the search\?.*=chief"),
        ("t1", {"join": "runs/none"}, r"not the folder of a search"),
        ("t1", {"join": "runs/x", "trials": 4}, r"nothing to decide.*Received: 'trials'"),
        ("t1", {"join": "runs/x", "workers": 2}, r"nothing to decide.*Received: 'workers'"),
    ],
)
def test_a_mistake_of_a_worker_is_told(make_arguments, service, tuner_id, arguments, message):
    if tuner_id:
        service(tuner_id)
    with pytest.raises(UserError, match=message):
        join_plan(make_arguments(None, **arguments))


def test_a_worker_is_no_chief_and_a_service_named_in_part_is_told(
    make_arguments, service, monkeypatch
):
    service("tuner-1")
    with pytest.raises(UserError, match=r"a worker of a search that another one leads.*--join"):
        make_plan(make_arguments())
    monkeypatch.delenv("KERASTUNER_ORACLE_PORT")
    with pytest.raises(UserError, match=r"named in part.*_TUNER_ID, KERASTUNER_ORACLE_IP"):
        make_plan(make_arguments())

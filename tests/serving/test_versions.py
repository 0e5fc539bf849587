"""Versions that come and go while the server answers."""

from __future__ import annotations

import shutil
import threading

import pytest

BODY = {"instances": ["four"]}


def length(server):
    """Returns what tells the version that answers: 4 of `demo`, 104 of `later`."""
    status, answer = server.post("demo:predict", BODY)
    assert status == 200, answer
    return answer["predictions"][0]["length"]


def one_bad_record(making):
    return [making.warmup_record("a"), making.warmup_record("a", "texts")]


def test_a_new_version_takes_over_and_no_request_is_lost(serving, own_demo, later, publish):
    versions = own_demo / "demo"
    answers, done = [], threading.Event()

    def ask_on(server):
        while not done.is_set():
            answers.append(server.post("demo:predict", BODY))

    with serving(own_demo) as server:
        askers = [threading.Thread(target=ask_on, args=[server]) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            publish(later, versions / "2")
            server.wait_for(lambda: server.versions() == {1: "END", 2: "AVAILABLE"})
            publish(versions / "1", versions / "10")  # 10 is newer than 2, by number
            server.wait_for(lambda: server.versions().get(10) == "AVAILABLE")
        finally:
            done.set()
            for asker in askers:
                asker.join()
        assert server.post("demo/versions/2:predict", BODY)[0] == 404
    assert {status for status, _ in answers} == {200}
    lengths = [answer["predictions"][0]["length"] for _, answer in answers]
    assert set(lengths) == {4, 104}  # both have answered


def test_a_version_that_is_still_written_is_passed_over(serving, own_demo, later):
    versions = own_demo / "demo"
    with serving(own_demo) as server:
        (versions / "2").mkdir()
        shutil.copytree(later / "variables", versions / "2" / "variables")
        shutil.copytree(later, versions / ".beside")
        shutil.copytree(later, versions / "tmp-3")
        shutil.copytree(later, versions / "4.tmp")
        polls_of(server, 3)
        assert (server.versions(), length(server)) == ({1: "AVAILABLE"}, 4)
        shutil.copy(later / "saved_model.pb", versions / "2")
        server.wait_for(lambda: server.versions().get(2) == "AVAILABLE")
        assert length(server) == 104


def polls_of(server, times):
    """Waits until the server has looked for versions so often."""
    models = server.embedded._models
    seen, update = [], models.update

    async def counting():
        await update()
        seen.append(1)

    models.update = counting
    server.wait_for(lambda: len(seen) >= times)
    models.update = update


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (
            lambda folder, _: (folder / "saved_model.pb").write_bytes(b"\x0a\xff no proto"),
            "DATA_LOSS",
            "saved_model.pb is damaged",
        ),
        (lambda folder, _: shutil.rmtree(folder / "variables"), "INTERNAL", "ariable"),
        (
            lambda folder, making: making.write_warmup(folder, one_bad_record(making)),
            "INVALID_ARGUMENT",
            "warm-up record 2: The inputs must be text, not texts.",
        ),
    ],
    ids=["graph", "variables", "warm-up"],
)
def test_a_version_that_cannot_be_loaded_leaves_the_old_one_until_it_is_mended(
    serving, own_demo, later, publish, making, tmp_path, spoil, code, message
):
    versions = own_demo / "demo"
    spoilt = shutil.copytree(later, tmp_path / "spoilt")
    spoil(spoilt, making)
    with serving(own_demo) as server:
        publish(spoilt, versions / "2")
        server.wait_for(lambda: server.versions().get(2) == "END")
        assert length(server) == 4
        assert server.versions()[1] == "AVAILABLE"
        _, answer = server.get("demo/versions/2")
        (found,) = answer["model_version_status"]
        assert found["status"]["error_code"] == code
        assert message in found["status"]["error_message"]
        polls_of(server, 3)
        assert sum("version 2 cannot" in line for line in server.lines) == 1  # not at every look
        shutil.copytree(later, versions / "2", dirs_exist_ok=True)  # mended
        server.wait_for(lambda: server.versions().get(2) == "AVAILABLE")
        assert length(server) == 104


def test_a_version_that_is_removed_makes_room_for_the_one_before_the_last_one_for_none(
    serving, own_demo, later, publish
):
    versions = own_demo / "demo"
    publish(later, versions / "2")
    with serving(own_demo) as server:
        assert length(server) == 104
        shutil.rmtree(versions / "2")
        server.wait_for(lambda: server.versions() == {1: "AVAILABLE", 2: "END"})
        assert length(server) == 4
        shutil.rmtree(versions / "1")
        server.wait_for(lambda: server.versions() == {1: "END", 2: "END"})
        found, answer = server.post("demo:predict", BODY)
        assert (found, answer["error"]) == (404, "There is no model demo.")
        publish(later, versions / "1")
        server.wait_for(lambda: server.versions() == {1: "AVAILABLE", 2: "END"})
        assert length(server) == 104


def test_a_version_that_is_loaded_needs_neither_its_files_nor_its_folder(serving, own_demo):
    with serving(own_demo) as server:
        (own_demo / "demo" / "1" / "saved_model.pb").unlink()
        polls_of(server, 3)
        assert (length(server), server.versions()) == (4, {1: "AVAILABLE"})
        (own_demo / "demo").rename(own_demo / "elsewhere")
        polls_of(server, 3)
        assert length(server) == 4
        (own_demo / "elsewhere").rename(own_demo / "demo")
        polls_of(server, 2)
        assert server.versions() == {1: "AVAILABLE"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            lambda making: [making.warmup_record("a", signature_name="nope")],
            "warm-up record 1: No signature 'nope'",
        ),
        (lambda _: [b"\xff\xff no proto"], "is not a PredictionLog"),
        (lambda making: [making.warmup_record("a")] * 1001, "has more than 1000 records"),
        (None, "truncated record"),
    ],
    ids=["unknown signature", "no record", "too many", "damaged file"],
)
def test_a_version_whose_warm_up_fails_is_not_served(making, later, tmp_path, records, message):
    from kerasft.serving.server.servable import load_servable
    from kerasft.serving.server.status import ServingError
    from kerasft.serving.server.warmup import warm_up

    folder = shutil.copytree(later, tmp_path / "1")
    servable = load_servable("demo", 1, folder)
    assert warm_up(servable, folder) == 1  # control
    if records is None:
        path = folder / "assets.extra" / "tf_serving_warmup_requests"
        path.write_bytes(path.read_bytes()[:-3])
    else:
        making.write_warmup(folder, records(making))
    with pytest.raises(ServingError) as error:
        warm_up(servable, folder)
    assert message in error.value.message


def test_several_models_and_one_that_cannot_be_loaded(serving, own_demo, later):
    shutil.copytree(later, own_demo / "other" / "7")
    shutil.copytree(later, own_demo / "broken" / "1")
    (own_demo / "broken" / "1" / "saved_model.pb").write_bytes(b"\xff")
    with serving(own_demo) as server:
        assert length(server) == 4
        assert server.post("other:predict", BODY)[1]["predictions"][0]["length"] == 104
        assert server.post("broken:predict", BODY)[0] == 404
        assert server.versions("broken") == {1: "END"}

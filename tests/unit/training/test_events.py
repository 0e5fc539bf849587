"""The listeners' fan-out, and which metrics are watched."""

import pytest

from kerasft.training.callbacks.callback import BatchStats, Callback, Callbacks, StepResult

STATS = BatchStats(examples=32, tokens=3000, positions=4000)
VALIDATION = {"accuracy": 0.875, "f1_macro": 0.8712345678, "log_loss": 0.3, "f1/neg": 0.9}


def step_result(step):
    return StepResult(step, 1 / step, 1e-4, 2.5, 0.5, {"loss": 0.7, "accuracy": 0.5})


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name == "close" or name.startswith("on_"):
            return lambda *args, **kwargs: self.calls.append((name, args, kwargs))
        return object.__getattribute__(self, name)


def tell_everything(events):
    events.on_start(start_step=0, total_steps=4, steps_per_epoch=2)
    events.on_step(step_result(1), STATS)
    events.on_epoch(1, 2, {"loss": 0.5})
    events.on_evaluation_start("validation", 10)
    events.on_evaluation_batch(5)
    events.on_predictions("validation", [0, 1], [[1.0, 0.0], [0.0, 1.0]])
    events.on_evaluation("validation", 2, VALIDATION, True)
    events.on_results(2, {"validation/accuracy": 0.875})
    events.on_message("hello")
    events.close()


def test_all_listeners_are_told_everything():
    told, expected = [Recorder(), Recorder()], Recorder()
    tell_everything(expected)
    tell_everything(Callbacks(told))
    assert told[0].calls == told[1].calls == expected.calls
    overridable = {name for name in vars(Callback) if not name.startswith("_")}
    assert {name for name, _, _ in expected.calls} == overridable


def test_the_base_class_ignores_everything():
    tell_everything(Callback())


def test_every_listener_is_closed_though_one_fails():
    class Failing(Callback):
        def close(self):
            raise OSError("disk")

    before, after = Recorder(), Recorder()
    with pytest.raises(OSError, match="disk"):
        Callbacks([before, Failing(), after]).close()
    assert before.calls == after.calls == [("close", (), {})]

"""The listeners' fan-out, and which metrics are watched."""

import pytest

from kerasft.training.callbacks.callback import BatchStats, Callback, Callbacks, watched_metrics
from kerasft.training.loop.loop import StepResult

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


@pytest.mark.parametrize(
    ("names", "headline", "watched"),
    [
        (
            {"log_loss", "accuracy", "f1_macro", "roc_auc"},
            None,
            ("accuracy", "f1_macro", "log_loss"),
        ),
        ({"spearman", "pearson", "mean_squared_error", "r2"}, "pearson", None),
        ({"f1_micro", "f1_macro", "log_loss"}, "f1_macro", ("f1_micro", "f1_macro", "log_loss")),
        (["a", "b", "c", "d"], "d", ("d", "a", "b", "c")),
    ],
)
def test_watched_metrics(names, headline, watched):
    expected = watched or ("pearson", "spearman", "mean_squared_error")
    assert watched_metrics(names, headline) == expected


def test_the_monitored_metric_is_watched_once():
    names = ["accuracy", "f1_macro", "log_loss", "roc_auc"]
    usual = ("accuracy", "f1_macro", "log_loss")
    assert watched_metrics(names, monitor="validation/roc_auc") == (*usual, "roc_auc")
    assert watched_metrics(names, "roc_auc", "validation/roc_auc") == ("roc_auc", *usual)
    assert watched_metrics(names, monitor="validation/log_loss") == usual

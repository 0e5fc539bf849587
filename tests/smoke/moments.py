"""The moments of a run at which `test_accidents.py` lets something happen.

    python tests/smoke/moments.py ARGUMENTS...

runs `python -m kerasft.pipelines.classify ARGUMENTS...` and stops it at each moment (SIGSTOP): what
is on the disk then is what a process that is killed at that moment leaves.
"""

from __future__ import annotations

import functools
import os
import pkgutil
import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

STOPPED = "STOPPED AT "  # what a process says before it stops, and where


class Moment(NamedTuple):
    """The moment before a call of a function of kerasft.

    Args:
        function: Its name, `package.module:Class.function`, where it is looked up.
        number: Which of the calls, from 1.
        counts: From the call's arguments to whether it counts. Defaults to all.
    """

    function: str
    number: int = 1
    counts: Callable[..., bool] = lambda *arguments: True


def _replaces_best(place, target) -> bool:
    """Tells whether a rename is the second of the two that replace the best weights."""
    return place.name == ".best.new" and (place.parent / ".best.old").exists()


# For files of some 60 rows, three epochs of 8 steps, a checkpoint every 6 steps, and evaluations in
# 3 batches. Training begins with "training": before that there is no run to resume.
MOMENTS = {
    "reading": Moment("kerasft.data.files.source:FileSource._why_dropped", 40),
    "tokenizing": Moment("kerasft.data.store.token_store:write_arrays"),
    "writing tokens": Moment("kerasft.data.store.token_writer:ArrayWriter.append", 3),
    "training": Moment("kerasft.training.callbacks.history:HistoryCallback.on_step", 15),
    "validation": Moment("kerasft.training.callbacks.callback:Callbacks.on_evaluation_batch", 5),
    "saving, between the files": Moment(
        "kerasft.training.checkpoints.checkpoint:_digest",
        1,
        lambda path: "step-00000012" in str(path),
    ),
    "saving, between the renames": Moment("pathlib:Path.rename", 1, _replaces_best),
    "saved the best alone": Moment(
        "kerasft.training.callbacks.callback:Callbacks.on_evaluation", 2
    ),
    "final evaluation": Moment(
        "kerasft.training.callbacks.callback:Callbacks.on_evaluation_batch", 11
    ),
    "export": Moment("kerasft.export.saved_model:_publish"),
    "exported": Moment(
        "kerasft.run_dir.folder:write_atomically", 1, lambda path, _: path.name == "metrics.json"
    ),
}


def at(moment: str, happen: Callable[[], object], patch: Callable[[object, str, object], None]):
    """Lets something happen once, at a moment of what this process does.

    Args:
        moment: One of `MOMENTS`.
        happen: What happens; the function that was called goes on afterwards.
        patch: `setattr`, or that of a `MonkeyPatch`, which undoes it.

    Returns:
        A list that something is added to when it has happened.
    """
    function, number, counts = MOMENTS[moment]
    place, _, name = function.rpartition("." if "." in function.partition(":")[2] else ":")
    owner, calls, happened = pkgutil.resolve_name(place), [], []
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments, **options):
        if counts(*arguments):
            calls.append(name)
            if len(calls) == number:
                happened.append(moment)
                happen()
        return original(*arguments, **options)

    patch(owner, name, call)
    return happened


def main() -> int:
    """Runs the pipeline, which stops at each moment until it gets SIGCONT."""
    from kerasft.pipelines import classify

    def stop(moment: str) -> None:
        print(f"{STOPPED}{moment}", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)

    for moment in MOMENTS:
        at(moment, functools.partial(stop, moment), setattr)
    return classify.main()


if __name__ == "__main__":
    sys.exit(main())

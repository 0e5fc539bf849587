"""Where the processes of a run write: the chief into the run directory, the others aside.

Each process keeps its own checkpoints, best weights and history, so that all go the same way step
for step. Those of the others lie in a temporary folder, which is gone when they end.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from kerasft.run_dir import RunDir
from kerasft.training.distribution.workers import Workers

_READ_BY_NOBODY = shutil.ignore_patterns(".lock", "tensorboard", "adapter", ".*.new")


@contextlib.contextmanager
def working_folder(
    workers: Workers, resumed: RunDir | None, prepare: Callable[[], RunDir]
) -> Iterator[RunDir]:
    """Gives each process the folder that it writes to.

    Args:
        workers: The processes, all of which must come here.
        resumed: The run directory that is gone on with; `None` for a new run.
        prepare: Makes the run directory, or makes ready the one to go on with; the chief's.
    """
    workers.barrier()  # all have read a run that is resumed as it was
    if workers.is_chief:
        run_dir = prepare()
        workers.barrier()  # it is ready
        workers.barrier()  # the others have read it
        yield run_dir
        return
    with tempfile.TemporaryDirectory(prefix="kerasft-worker-") as folder:
        workers.barrier()
        if resumed is not None:
            shutil.copytree(resumed.path, folder, dirs_exist_ok=True, ignore=_READ_BY_NOBODY)
        workers.barrier()
        yield RunDir(Path(folder))

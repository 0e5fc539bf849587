"""A step that is too large for the memory that there is, and the run resumed as it says."""

from __future__ import annotations

import random
import re
import resource
import shlex
import subprocess
import sys

import pytest

from kerasft.run_dir import latest_run_dir

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "darwin", reason="has no limit on the address space"),
]

PATIENCE_SECONDS = 300
LIMIT_BYTES = 6_500_000_000  # the attention of 512 texts of 512 tokens takes a GiB a tensor
WORDS = ["quiet", "long", "film", "plot", "actor", "story", "music", "scene", "good", "bad"]
START = [
    *("-m", "kerasft.pipelines.classify", "data.train_files=train.csv", "model.preset=tiny_random"),
    *("model.sequence_length=512", "training.batch_size=512", "training.epochs=1"),
    *("training.dtype_policy=float32", "logging.plots=false", "export.verify=false"),
]


def run_limited(place, arguments):
    """Runs Python in a place with little memory."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES)),
    )


def test_a_run_that_is_too_large_ends_in_words_and_goes_on_in_parts(tmp_path):
    generator = random.Random(1)
    rows = [
        f"{' '.join(generator.choices(WORDS, k=700))},{'pos' if i % 2 else 'neg'}"
        for i in range(600)
    ]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows, ""]))
    result = run_limited(tmp_path, START)
    told = result.stderr.splitlines()[-1]
    assert result.returncode == 2, result.stderr
    assert re.search(r"Memory ran out in step 1, a batch of 512 texts and 262,144 tokens", told)
    assert "what fits into 6.05 GiB" in told
    assert "Traceback" not in result.stderr
    command = re.search(r"go on with \S+ (run --resume .*?)(?:, and if|; or)", told)[1]
    again = run_limited(tmp_path, ["-m", "kerasft", *shlex.split(command)])
    assert again.returncode == 0, again.stderr
    assert latest_run_dir("classify", tmp_path / "runs").metrics_path.exists()

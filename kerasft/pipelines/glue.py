"""GLUE, one task or all of them: `python -m kerasft.pipelines.glue --task mrpc`.

Wang et al., 2018, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
Understanding". Settings and checkpoints are chosen on a tenth held out of train. GLUE's validation
split, whose labels are public, is reported, once. One recipe per task: `glue_<task>`.
"""

from __future__ import annotations

import sys

from kerasft.cli.glue_command import run_glue
from kerasft.console import run_guarded


def main() -> int:
    """Runs the pipeline with the command-line arguments; returns the exit code."""
    return run_guarded(run_glue)


if __name__ == "__main__":
    sys.exit(main())

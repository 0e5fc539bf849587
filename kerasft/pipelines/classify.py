"""Texts of one's own: `python -m kerasft.pipelines.classify --train reviews.csv`.

Files with a text and its label, the labels being classes, several at once, or numbers; or a
dataset of TFDS. docs/your-own-data.md tells all of it. What is run stands in the recipe
`classify`; each option here stands for one of its fields.
"""

from __future__ import annotations

import sys

from kerasft.cli.data_arguments import DATA_ARGUMENTS
from kerasft.cli.run_command import run_pipeline
from kerasft.console import run_guarded


def main() -> int:
    """Runs the pipeline as the command line says; returns the exit code."""
    return run_guarded(lambda: run_pipeline("classify", shorthands=DATA_ARGUMENTS))


if __name__ == "__main__":
    sys.exit(main())

"""Your own texts: `python -m kerasft.pipelines.classify --train reviews.csv`.

Files with a text and a label (class, multi-label or regression), or a TFDS dataset; see
docs/your-own-data.md. The recipe is `classify`; each option sets one of its fields.
"""

from __future__ import annotations

import sys

from kerasft.cli.data_arguments import DATA_ARGUMENTS
from kerasft.cli.run_command import run_pipeline
from kerasft.console import run_guarded


def main() -> int:
    """Runs the pipeline with the command-line arguments; returns the exit code."""
    return run_guarded(lambda: run_pipeline("classify", shorthands=DATA_ARGUMENTS))


if __name__ == "__main__":
    sys.exit(main())

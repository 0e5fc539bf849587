"""IMDB movie reviews, positive or negative: `python -m kerasft.pipelines.imdb`.

50,000 reviews of the Large Movie Review Dataset (Maas et al., 2011), half of them for testing.
The recipe is `imdb`, with variants such as `imdb_quick`.
"""

from __future__ import annotations

import sys

from kerasft.cli.run_command import run_pipeline
from kerasft.console import run_guarded


def main() -> int:
    """Runs the pipeline with the command-line arguments; returns the exit code."""
    return run_guarded(lambda: run_pipeline("imdb"))


if __name__ == "__main__":
    sys.exit(main())

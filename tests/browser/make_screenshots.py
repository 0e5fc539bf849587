"""Writes the pictures of docs/tensorboard.md: `python tests/browser/make_screenshots.py RUNS`.

RUNS is a folder of some runs on the built-in sample, since pictures may show texts:

    for rate in 2e-5 1e-4; do python -m kerasft.pipelines.imdb --recipe imdb_sample \\
        training.learning_rate=$rate training.evaluate_every_steps=20 \\
        logging.norms_every_steps=10 logging.projector_texts=240; done
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from chromium import open_page
from conftest import serve_tensorboard
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
_COLORS = 96
_SETTLING_SECONDS = 3  # for animations
_COLOR_BY_LABEL = (
    "all('vz-projector-data-panel').forEach((panel) => panel.selectedColorOptionName = 'label')"
)
_CLOSE_SETTINGS = (
    "all('button').filter((b) => b.innerText.trim().endsWith('Settings'))[0].click() || true"
)
_PARALLEL = "all('paper-tab').filter((t) => t.innerText.includes('PARALLEL'))[0].click() || true"
# The name of the picture; tab and query; what the page says when it is there; what is done then.
PICTURES = (
    (
        "tensorboard",
        "timeseries",
        "runFilter=train%7Cvalidation&tagFilter=epoch.accuracy%7Cgradient_norm%7Cupdate&smoothing=0",
        "gradient_norm",
        _CLOSE_SETTINGS,
    ),
    ("tensorboard-hparams", "hparams", "", "training.learning_rate", _PARALLEL),
    ("tensorboard-images", "images", "", "plots/confusion_matrix", None),
    ("tensorboard-pr-curves", "pr_curves", "", "pr_curve/pos", None),
    ("tensorboard-projector", "projector", "", "Total variance described", _COLOR_BY_LABEL),
)


def main(runs: Path) -> None:
    """Takes every picture."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        serve_tensorboard(runs) as address,
        open_page(Path(profile), width=1440, height=900) as page,
    ):
        for name, tab, query, said, action in PICTURES:
            page.open("about:blank")
            page.open(f"{address}/?{query or tab}#{tab}")
            page.wait_for(f"text().includes({said!r})")
            time.sleep(_SETTLING_SECONDS)
            if action is not None:
                page.run(action)
                time.sleep(_SETTLING_SECONDS)
            path = DOCS / f"{name}.png"
            page.screenshot(path)
            # Few colours do for an interface, and a third of the bytes.
            with Image.open(path) as picture:
                small = picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
            small.save(path, optimize=True)
            print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""`make bench`: what kerasft is measured by, in one table; beside it the peer, where it is there.

    python tests/benchmarks/table.py [--peer-python PEER_VENV/bin/python] [--output FILE]
        [--only NAME ...] [--rounds 3]

The peer is Hugging Face's `Trainer`, `pipeline` and `tokenizers` on PyTorch, in an environment of
its own: `pip install torch transformers accelerate`. Both take turns. A figure is the median of the
rounds, with the lowest and the highest; a ratio is that of the medians, above 1 where kerasft is
ahead. Each line is a script beside this one, which says more. Takes about half an hour; keep the
machine quiet.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PACKAGES = ("kerasft", "tensorflow", "keras", "keras-hub", "tensorflow-text")
PEER_PACKAGES = ("torch", "transformers", "tokenizers")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")

# With the parts of a batch that were the fastest for the peer, of 8 and 32.
SST2 = ("--dataset", "glue/sst2", "--length", "128", "--examples", "6400")
SST2 += ("--peer-batch-sizes", "32")
IMDB = ("--examples", "640", "--peer-batch-sizes", "8")


class Line(NamedTuple):
    """A line of the table: what both did in each round.

    Args:
        what: Name.
        unit: Unit of both.
        ours: Figure of each round.
        peer: The peer's; none where it is not there.
        less_is_better: Whether it is a time.
    """

    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    less_is_better: bool = False

    def __str__(self) -> str:
        ratio = ""
        if self.peer:
            ours, peer = statistics.median(self.ours), statistics.median(self.peer)
            ratio = f"**{peer / ours if self.less_is_better else ours / peer:.2f}**"
        ours, peer = _spread(self.ours), _spread(self.peer)
        return f"| {self.what} | {self.unit} | {ours} | {peer} | {ratio} |"


def _spread(figures: Sequence[float]) -> str:
    if not figures:
        return ""
    low, middle, high = (
        f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
        for figure in (min(figures), statistics.median(figures), max(figures))
    )
    return middle if len(figures) == 1 else f"{middle} ({low}-{high})"


def training(arguments, what: str, *options: str) -> list[Line]:
    """Training and predicting, from bench_training.py."""
    from kerasft.processor import BFLOAT16_FLAGS, cpu_flags

    command = [*options, "--pairs", str(arguments.rounds), "--evaluate"]
    # Elsewhere bfloat16 is emulated, and slower for both.
    precision = ["--peer-bf16"] if BFLOAT16_FLAGS & cpu_flags() else []
    found = run("bench_training.py", command, _peer(arguments, *precision))
    best = max(found["peer"].values(), key=lambda runs: _median(runs, "examples_per_second"))

    def column(runs, name):
        return [run[name] for run in runs]

    return [
        Line(
            f"training on {what}",
            "examples/s",
            column(found["ours"], "examples_per_second"),
            column(best, "examples_per_second"),
        ),
        Line(
            "the same, graph traced",
            "examples/s",
            column(found["ours"], "examples_per_second_traced"),
            column(best, "examples_per_second"),
        ),
        Line(
            "share of the matrix products' rate",
            "%",
            [100 * share for share in column(found["ours"], "gemm_share")],
        ),
        Line(
            "most memory",
            "GiB",
            column(found["ours"], "peak_gib"),
            column(best, "peak_gib"),
            less_is_better=True,
        ),
        Line(
            f"predicting {what}",
            "examples/s",
            column(found["ours"], "evaluated_per_second"),
            column(best, "evaluated_per_second"),
        ),
    ]


def _median(runs, name: str) -> float:
    return statistics.median(run[name] for run in runs) if runs else 0.0


def tokenizing(arguments) -> list[Line]:
    """Tokenizing IMDB, from bench_tokenizer.py; its peer is among our own packages for tests."""
    found = run("bench_tokenizer.py", ["--rounds", str(max(arguments.rounds, 3))])
    rates = found["tokens_per_second"]
    return [Line("tokenizing IMDB", "tokens/s", [rates["kerasft"]], [rates["hugging_face"]])]


def file_of_texts(arguments) -> list[Line]:
    """A file of reviews, from bench_predict.py."""
    peer = _peer_model(arguments)
    found = run("bench_predict.py", ["--texts", "600", "--rounds", str(arguments.rounds)], peer)
    rates = found["texts_per_second"]
    peers = [rates[name] for name in rates if name.startswith("pipeline")]
    best: Sequence[float] = max(peers, key=statistics.median, default=())
    return [
        Line("`kerasft predict`, 600 reviews", "texts/s", rates["sorted"], best),
        Line("the same, not sorted by length", "texts/s", rates["unsorted"], best),
    ]


def latency(arguments) -> list[Line]:
    """An exported model in TensorFlow's C loader, from bench_latency.py."""
    peer = _peer_model(arguments)
    found = run("bench_latency.py", ["--repeats", "200"], peer)
    peers = found.get("peers", {})
    return [
        Line(
            f"answer to {size} short text{'s' if size != '1' else ''}, median",
            "ms",
            [ours["p50"]],
            [peers[size]["pipeline"]["p50"]] if peers else (),
            less_is_better=True,
        )
        for size, ours in found["ours"]["batch"].items()
    ]


LINES: dict[str, Callable[[argparse.Namespace], list[Line]]] = {
    "sst2": lambda a: training(a, "SST-2", *SST2),
    "imdb": lambda a: training(a, "IMDB, 256 tokens", *IMDB),
    "tokenize": tokenizing,
    "predict": file_of_texts,
    "latency": latency,
}


def run(script: str, options: Sequence[str], peer: Sequence[str] = ()) -> dict:
    """Runs a script beside this one; returns the JSON object that it prints last."""
    sys.stderr.write(f"{script} {' '.join(options)}\n")
    command = [sys.executable, str(HERE / script), *options, *peer]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout[done.stdout.index("{") :])


def _peer(arguments, *options: str) -> list[str]:
    return ["--peer-python", arguments.peer_python, *options] if arguments.peer_python else []


def _peer_model(arguments) -> list[str]:
    """Returns the options that set the peer on the weights of the default encoder."""
    from kerasft.models.presets import DEFAULT_PRESET, find_preset

    return _peer(arguments, "--peer-model", find_preset(DEFAULT_PRESET))


def surroundings(arguments) -> str:
    """Returns what the figures hold for: processor, its flags, versions."""
    info = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    values = dict(line.split("\t: ", 1) for line in info.splitlines() if "\t: " in line)
    values = {name.strip(): value for name, value in values.items()}
    known = set(values.get("flags", "").split())
    flags = ", ".join(flag for flag in FLAGS if flag in known) or "unknown"
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    if arguments.peer_python:
        ask = "import importlib.metadata as m, sys; [print(p, m.version(p)) for p in sys.argv[1:]]"
        command = [arguments.peer_python, "-c", ask, *PEER_PACKAGES]
        versions += subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.splitlines()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores of "
        f"{values.get('model name', 'an unknown processor')} ({flags}). {', '.join(versions)}."
    )


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer-python", default=os.environ.get("KERASFT_PEER_PYTHON"))
    parser.add_argument("--output", type=Path, help="a Markdown file; else it is printed")
    parser.add_argument("--only", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = [surroundings(arguments), ""]
    lines += ["| what | unit | kerasft | peer | ratio |", "| --- | --- | --- | --- | --- |"]
    for name in arguments.only:
        lines += map(str, LINES[name](arguments))
        text = "\n".join(lines) + "\n"
        if arguments.output:
            arguments.output.write_text(text, encoding="utf-8")
    if not arguments.output:
        print(text, end="")


if __name__ == "__main__":
    main()

"""`kerasft export`: a new SavedModel version of a run's best checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.console import predict_command, results_only
from kerasft.errors import UserError
from kerasft.export.layout import BFLOAT16, FLOAT16, INT8, MAX_VERSION
from kerasft.export.options import Quantization, read_warmup_texts
from kerasft.recipe import describe_fields
from kerasft.run_dir import open_run_dir
from kerasft.runs.arguments import add_overrides
from kerasft.runs.terminal import build_progress


def main(argv: Sequence[str]) -> None:
    """Exports a run and prints the new version's folder."""
    arguments = _build_parser().parse_intermixed_args(argv)
    _check_name(arguments.name)
    run_dir = open_run_dir(arguments.run_dir)
    warmup_texts = read_warmup_texts(arguments.warmup_texts) if arguments.warmup_texts else ()
    with results_only():
        from kerasft.export.saved_model import ExportOptions
        from kerasft.runs import export

        method = arguments.quantize
        saved_model = export.export_run(
            run_dir,
            [build_progress()],
            arguments.name,
            options=ExportOptions(
                signatures=tuple(filter(None, arguments.signatures.split(","))),
                warmup_texts=warmup_texts,
                verify=arguments.verify,
                version=arguments.version,
                length_buckets=arguments.length_buckets,
            ),
            quantization=Quantization(method, arguments.max_loss) if method else None,
            overrides=arguments.overrides,
        )
    print(saved_model)  # alone on stdout, for scripts
    has_pairs = run_dir.read_json("metrics.json")["has_pairs"]
    command = predict_command(saved_model.parent, has_pairs=has_pairs)
    print(f"Next: {command}", file=sys.stderr)


def _build_parser() -> argparse.ArgumentParser:
    parser = command_parser("export")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="a folder under runs/")
    parser.add_argument("--name", help="folder of the model; else as the run's recipe says")
    parser.add_argument(
        "--version", type=_version, metavar="V", help="its number; else the next that is free"
    )
    parser.add_argument(
        "--signatures",
        default="",
        metavar="NAMES",
        help="some of serving_default, classify, regress, tokens, embed, with commas; else all",
    )
    parser.add_argument(
        "--quantize",
        choices=(INT8, FLOAT16, BFLOAT16),
        help="store the weights in fewer bits; with bfloat16 also compute in fewer, faster where "
        "the server's processor has it (AVX512_BF16, AMX) and slower elsewhere",
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        default=Quantization.max_loss,
        metavar="L",
        help="how much of the headline metric quantization may lose on validation (%(default)s)",
    )
    parser.add_argument(
        "--warmup-texts",
        metavar="FILE",
        help="a text a line, for the requests that a server runs before the first one; they can "
        "be read by whoever has the model (else the built-in sample)",
    )
    parser.add_argument(
        "--length-buckets",
        type=_lengths,
        default=(),
        metavar="TOKENS",
        help="widen each request to the first of these lengths that holds it, such as 32,64,128, "
        "for servers that compile with XLA (else it is as wide as its longest text)",
    )
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="publish without asking a fresh process whether it gives the run's own answers",
    )
    add_overrides(parser)
    return parser


def _version(text: str) -> int:
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit() and len(digits) < 20 and int(digits) <= MAX_VERSION):
        raise argparse.ArgumentTypeError(
            f"a version is a whole number from 0 to {MAX_VERSION}, not {text[:40]!r}"
        )
    return int(digits)


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"lengths are whole numbers with commas between, such as 32,64,128, not {text!r}"
        ) from None


def _check_name(name: str | None) -> None:
    """Checks `--name` by the rules of `export.name`, which it replaces."""
    (setting,) = (field for field in describe_fields() if field.name == "export.name")
    if name is not None and setting.find_fault(name):
        raise UserError("--name is not usable.", received=name, expected=setting.expected)

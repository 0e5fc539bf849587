"""`kerasft presets`: the available encoders and what each is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kerasft.cli import command_parser
from kerasft.console import print_json
from kerasft.models.preset_table import (
    TRAINING_BYTES_PER_PARAMETER,
    TRAINING_MEMORY_NOTE,
    PresetInfo,
    find_installed,
    list_presets,
)


def main(argv: Sequence[str]) -> None:
    """Prints each preset's size, whether it is installed, measured figures, and its purpose."""
    parser = command_parser("presets", "Any other WordPiece preset of KerasHub works as well.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    if arguments.json:
        print_json(
            {
                "presets": [as_json(info) for info in list_presets()],
                "training_bytes_per_parameter": TRAINING_BYTES_PER_PARAMETER,
            }
        )
    else:
        print("\n".join(as_text(list_presets())))


def as_json(info: PresetInfo) -> dict[str, object]:
    """Returns a preset as plain data."""
    installed = find_installed(info)
    return info._asdict() | {
        "training_bytes": info.training_bytes,
        "installed": None if installed is None else str(installed),
        "measured": [measurement._asdict() for measurement in info.measured],
    }


def as_text(presets: Sequence[PresetInfo]) -> Iterator[str]:
    """Yields the lines for people."""
    width = max(len(info.name) for info in presets)
    yield (
        f"{'preset':<{width}}  {'parameters':>10}  {'layers':>6}  {'cased':<5}  "
        f"{'training':>8}  installed"
    )
    for info in presets:
        yield (
            f"{info.name:<{width}}  {info.parameters / 1e6:>8.1f} M  {info.num_layers:>6}  "
            f"{'no' if info.lowercase else 'yes':<5}  {info.training_bytes / 1e9:>5.1f} GB  "
            f"{'yes' if find_installed(info) else 'no: the first use downloads it'}"
        )
    yield ""
    yield "Which for what:"
    for info in presets:
        yield f"  {info.name}: {info.choose}"
        for measured in info.measured:
            yield (
                f"    measured: {measured.recipe}, {measured.result}, trained at "
                f"{measured.examples_per_second:g} examples/s on {measured.hardware}, "
                f"{measured.versions}, {measured.date}"
            )
    yield ""
    yield TRAINING_MEMORY_NOTE
    yield "Choose one with model.preset=NAME. What was not measured here has no figures."

"""`kerasft audit`: which stock TensorFlow Serving runs a SavedModel, and which op prevents it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerasft.cli import command_parser
from kerasft.console import print_json, results_only
from kerasft.errors import UserError
from kerasft.export.server_ops import SERVERS
from kerasft.serving.model_path import find_saved_model

if TYPE_CHECKING:
    from kerasft.export.op_audit import Audit, RefusedOp

EXIT_NOT_SERVED = 3  # a finding: neither a user error (2) nor a bug (1)
_NOT_CHECKED = (
    "Not checked: kernels for the CPU, types that an op takes, versions of an op's behaviour."
)


def main(argv: Sequence[str]) -> None:
    """Prints the audit; exits with 3 if no server, or not the requested one, runs the model."""
    parser = command_parser(
        "audit", "Any SavedModel, not only kerasft's. Exit code 3: it is not served."
    )
    parser.add_argument(
        "saved_model", metavar="SAVED_MODEL", help="a version's folder, or a folder of versions"
    )
    parser.add_argument(
        "--server", metavar="VERSION", help=f"ask for one server: {SERVERS[0]} ... {SERVERS[-1]}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    server = _find_server(arguments.server)
    version = find_saved_model(arguments.saved_model)
    with results_only():
        from kerasft.export.op_audit import audit_saved_model

        audit = audit_saved_model(version)
    if arguments.json:
        print_json(as_json(version, audit, server))
    else:
        print("\n".join(as_text(version, audit, server)))
    if not is_served(audit, server):
        sys.exit(EXIT_NOT_SERVED)


def is_served(audit: Audit, server: str | None) -> bool:
    """Returns whether a server runs the model; `None`: any server."""
    return not (audit.refused if server is None else audit.refused_by(server))


def as_json(version: Path, audit: Audit, server: str | None) -> dict[str, object]:
    """Returns the audit as plain data."""
    return {
        "saved_model": str(version),
        "served": is_served(audit, server),
        "server": server,
        "oldest_server": audit.oldest_server,
        "producer": audit.producer,
        "refused": [op._asdict() for op in audit.refused],
        "newer": [op._asdict() for op in audit.newer],
        "warnings": list(audit.warnings),
        "ops": audit.ops,
    }


def as_text(version: Path, audit: Audit, server: str | None) -> Iterator[str]:
    """Yields the lines for people."""
    yield f"{version}, written by TensorFlow {audit.producer or '(it does not say)'}"
    for family, ops in audit.by_family().items():
        named = ", ".join(ops) if family != "TensorFlow" else ""
        yield f"  {family:<16}  {len(ops):>4} ops, {sum(ops.values()):>6} nodes  {named}".rstrip()
    for op in audit.refused:
        yield f"Refused by every stock server: {op.op}, {_where(op)}: {op.why}"
    for op in audit.newer:
        yield f"Servers older than {op.since} refuse {op.op}, {_where(op)}"
    yield from (f"Fix: {fix}" for fix in dict.fromkeys(op.fix for op in audit.refused))
    yield from (f"Warning: {warning}" for warning in audit.warnings)
    yield _NOT_CHECKED
    yield _verdict(audit, server)


def _where(op: RefusedOp) -> str:
    times = "once" if op.count == 1 else f"{op.count} times"
    return f"{times}, brought by {', '.join(op.brought_by)} (node {op.places[0]})"


def _verdict(audit: Audit, server: str | None) -> str:
    if audit.oldest_server is None:
        return "No stock TensorFlow Serving runs it."
    if server is not None and not is_served(audit, server):
        return f"TensorFlow Serving {server} does not run it; {audit.oldest_server} and newer do."
    return f"TensorFlow Serving {audit.oldest_server} and newer run it."


def _find_server(version: str | None) -> str | None:
    """Returns the server of the same minor version, which has the same ops."""
    if version is None:
        return None
    minor = version.split(".")[:2]
    for server in SERVERS:
        if server.split(".")[:2] == minor:
            return server
    raise UserError(
        "--server is no version of TensorFlow Serving whose ops are known.",
        received=version,
        expected=f"one of {', '.join(SERVERS)}",
        fix=f"leave --server out to be told the oldest that runs the model, or give {SERVERS[-1]}.",
    )

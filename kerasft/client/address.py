"""Parses the address of a served model."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from kerasft.errors import UserError

_PORTS = {"http": 80, "https": 443, "grpc": 8500, "grpcs": 8500}
_EXPECTED = (
    "http://HOST:8501/v1/models/NAME, https://... or grpc://HOST:8500/NAME, grpcs://...; "
    "at the end perhaps /versions/N or /labels/LABEL"
)
_PATH = re.compile(
    r"(?P<prefix>(?:/[^/]+)*?)(?P<api>/v1/models)?/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?(?::predict)?/?"
)


@dataclasses.dataclass(frozen=True)
class Address:
    """The address of a served model."""

    scheme: str  # `http`, `https`, `grpc` or `grpcs`
    host: str  # name or number; IPv6 without brackets
    port: int
    model: str
    version: int | None  # `None`: the server's choice, usually the latest
    label: str | None  # of the version, in the server's configuration
    prefix: str  # path before `/v1/models`, for a server behind a proxy

    @property
    def is_grpc(self) -> bool:
        """Whether the protocol is gRPC, not REST."""
        return self.scheme.startswith("grpc")

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("https", "grpcs")

    @property
    def server(self) -> str:
        """`host:port`, for gRPC."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def path(self) -> str:
        """The model's REST path, without the version."""
        return f"{self.prefix}/v1/models/{urllib.parse.quote(self.model, safe='')}"

    @property
    def version_path(self) -> str:
        """The REST path of the chosen version, or of the model."""
        if self.version is not None:
            return f"{self.path}/versions/{self.version}"
        if self.label is not None:
            return f"{self.path}/labels/{urllib.parse.quote(self.label, safe='')}"
        return self.path

    @property
    def which(self) -> str:
        """The model for a message: `imdb`, `imdb version 3`, `imdb label stable`."""
        if self.version is not None:
            return f"{self.model} version {self.version}"
        return self.model if self.label is None else f"{self.model} label {self.label}"


def parse_address(url: str) -> Address:
    """Parses the address of a served model.

    Args:
        url: `http://localhost:8501/v1/models/imdb`, `grpc://localhost:8500/imdb`, the same with
            `https` and `grpcs`, each optionally followed by `/versions/3` or `/labels/stable`.

    Raises:
        UserError: If it is invalid.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _fault(url, f"This is no address of a served model: {error}.") from error
    if "@" in parts.netloc:
        # Not shown: it is a password.
        raise UserError(
            "A user or a password in the address is not sent.",
            expected=_EXPECTED,
            fix="give the header authorization (see --header and KERASFT_HEADERS).",
        )
    if parts.scheme not in _PORTS or not host:
        raise _fault(url, "This is no address of a served model.")
    match = _PATH.fullmatch(parts.path)
    is_grpc = parts.scheme.startswith("grpc")
    if any(map(str.isspace, url)):  # a text that begins with --url=, most likely
        raise _fault(url, "An address has no blanks: in a name, write %20.")
    if parts.query or parts.fragment or not match or not (match["api"] or is_grpc):
        raise _fault(url, "The path of this address names no model.")
    if is_grpc and match["prefix"]:
        raise _fault(url, "An address of gRPC has nothing before the model's name.")
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        model=urllib.parse.unquote(match["model"]),
        version=None if match["version"] is None else int(match["version"]),
        label=None if match["label"] is None else urllib.parse.unquote(match["label"]),
        prefix=match["prefix"],
    )


def _fault(url: str, what: str) -> UserError:
    return UserError(what, received=url, expected=_EXPECTED)

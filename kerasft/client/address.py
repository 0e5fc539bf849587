"""From the address that somebody gives to server, protocol, model and version."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from kerasft.errors import UserError

_PORTS = {"http": 80, "https": 443, "grpc": 8500, "grpcs": 8500}
_SECURE = ("https", "grpcs")
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
    """Where a model is served.

    Args:
        scheme: `http`, `https`, `grpc` or `grpcs`.
        host: Name or number; of IPv6 without brackets.
        port: The port.
        model: The model's name.
        version: Which version; the server's choice, usually the latest, if `None`.
        label: Which version, by the label that the server's configuration gives it.
        prefix: What stands before `/v1/models` in the path, for a server behind a proxy.
    """

    scheme: str
    host: str
    port: int
    model: str
    version: int | None = None
    label: str | None = None
    prefix: str = ""

    @property
    def is_grpc(self) -> bool:
        """Whether gRPC is spoken, and not REST."""
        return self.scheme.startswith("grpc")

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in _SECURE

    @property
    def server(self) -> str:
        """`host:port`, as gRPC takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def path(self) -> str:
        """The model's path in REST, without the version."""
        return f"{self.prefix}/v1/models/{urllib.parse.quote(self.model, safe='')}"

    @property
    def version_path(self) -> str:
        """The path of the version that was chosen; the model's if none was."""
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
    """Reads the address of a served model.

    Args:
        url: `http://localhost:8501/v1/models/imdb`, `grpc://localhost:8500/imdb`, the same with
            `https` and `grpcs`, each perhaps with `/versions/3` or `/labels/stable` at its end.

    Raises:
        UserError: It is none.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _fault(url, f"This is no address of a served model: {error}.") from error
    if "@" in parts.netloc:
        # Not shown: what stands there is a password.
        raise UserError(
            "A user or a password in the address is not sent.",
            expected=_EXPECTED,
            fix="give the header authorization (see --header and KERASFT_HEADERS).",
        )
    if parts.scheme not in _PORTS or not host:
        raise _fault(url, "This is no address of a served model.")
    match = _PATH.fullmatch(parts.path)
    is_grpc = parts.scheme.startswith("grpc")
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

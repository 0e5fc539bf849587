"""Client credentials: headers and certificates."""

from __future__ import annotations

import dataclasses
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

from kerasft.errors import UserError, first_line

VARIABLE = "KERASFT_HEADERS"
_EXPECTED = "NAME: VALUE, such as authorization: Bearer ..."
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110
_SHORTEST_SECRET = 6  # characters; replacing shorter ones would make a message unreadable
_OURS = ("content-type", "content-length", "host")


@dataclasses.dataclass(frozen=True)
class Tls:
    """The files of an encrypted connection, all PEM.

    Args:
        ca_file: Certificate authorities for the server; `None`: those of the system.
        certificate_file: The client's certificate, for servers that require one.
        key_file: Its key; `None` if `certificate_file` includes it.
    """

    ca_file: str | os.PathLike[str] | None = None
    certificate_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None

    def context(self) -> ssl.SSLContext:
        """Returns the SSL context.

        Raises:
            UserError: If a file is missing or no PEM, or the key belongs to another certificate.
        """
        if self.key_file is not None and self.certificate_file is None:
            raise UserError("A client's key is of no use without its certificate.")
        for path in (self.ca_file, self.certificate_file, self.key_file):
            if path is not None:
                _read(path)  # reports a missing file by name
        where, what = self.ca_file, "certificates"
        try:
            context = ssl.create_default_context(cafile=where)
            if self.certificate_file is not None:
                where = self.key_file or self.certificate_file
                what = "the key of the certificate, without password"
                # An encrypted key would prompt for its password; with an empty one it is refused.
                context.load_cert_chain(self.certificate_file, self.key_file, password="")
        except ssl.SSLError as error:
            raise UserError(
                f"A file of the encrypted connection is not what it should be: {first_line(error)}",
                received=None if where is None else os.fspath(where),
                expected=f"a PEM file with {what}",
            ) from error
        return context

    def contents(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Returns authorities, key and certificate for gRPC; raises as `context`."""
        # gRPC has its own authorities; use those of the system, as REST does.
        authorities = self.ca_file or ssl.get_default_verify_paths().cafile
        key = self.key_file or self.certificate_file
        paths = (authorities, key, self.certificate_file)
        return tuple(None if path is None else _read(path) for path in paths)  # type: ignore


def read_headers(lines: Iterable[str] = ()) -> dict[str, str]:
    """Reads headers from `KERASFT_HEADERS`, one per line, and from `lines`, which take precedence.

    Each is `NAME: VALUE`. No error shows a value.
    """
    headers = {}
    origins = {VARIABLE: os.environ.get(VARIABLE, "").splitlines(), "--header": lines}
    for origin, several in origins.items():
        for line in filter(str.strip, several):
            name, colon, value = line.partition(":")
            if not colon:
                raise UserError(f"A header of {origin} has no colon.", expected=_EXPECTED)
            headers[name.strip()] = value.strip()
    return check_headers(headers)


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers with lower-case names; an error for an invalid one hides its value."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise UserError("A header of this name cannot be sent.", received=name[:40])
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise UserError(
                f"The value of the header {name} cannot be sent.",
                expected="ASCII without line breaks",
            )
    return {name.lower(): value for name, value in headers.items()}


def without_secrets(text: str, headers: Mapping[str, str]) -> str:
    """Removes the values of headers, which a server may have returned, from a message."""
    for value in headers.values():
        for secret in (value, value.rpartition(" ")[2]):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "[header]")
    return text


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"A file of the encrypted connection cannot be read: {error.strerror}.",
            received=os.fspath(path),
            expected="a PEM file",
        ) from error

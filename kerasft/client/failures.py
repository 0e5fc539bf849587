"""Failures between client and server, with their fixes."""

from __future__ import annotations

import enum
from typing import NamedTuple

from kerasft.client.address import Address
from kerasft.console import EXIT_TRY_AGAIN
from kerasft.errors import UserError

_SHOWN = 300  # characters of a server's message


class ServerUnavailableError(UserError):
    """The server does not respond now; the exit code says that a retry may succeed."""

    exit_code = EXIT_TRY_AGAIN


class RequestTooLargeError(UserError):
    """The server takes no request of this size: in bytes, or in texts."""


class _Words(NamedTuple):
    what: str
    fix: str
    expected: str | None = None


class Why(enum.Enum):
    """Reasons of a failed call, and their messages."""

    UNREACHABLE = _Words(
        "No server is reached at {server}",
        "start the server, or give the host and port at which it listens.",
    )
    CUT_OFF = _Words(
        "The server at {server} broke off the connection",
        "look into the server's log; perhaps the port is that of another protocol, or the server "
        "wants an encrypted connection (https://, grpcs://) or a certificate of its client.",
    )
    BUSY = _Words(
        "The server at {server} is too busy, or not ready",
        "try again later, or ask for less at a time (--in-flight, --batch-size).",
    )
    LOADING = _Words("The server is still loading the model {which}", "try again later.")
    TIMED_OUT = _Words(
        "The server at {server} did not answer in time",
        "allow more time (--timeout), or ask for less at a time (--batch-size).",
    )
    UNKNOWN_HOST = _Words("The name {host} leads to no machine", "look at its spelling.")
    TLS = _Words(
        "The encrypted connection to {server} cannot be made",
        "give the authority that signed the server's certificate (--ca-file), and the host by "
        "the name that stands in it; where the server asks for one, a certificate of your own "
        "(--client-certificate). A server without encryption has http:// or grpc://.",
    )
    NOT_FOUND = _Words(
        "The server at {server} has no model {which}", "give the name of a model that it serves."
    )
    REFUSED = _Words(
        "The server at {server} refused the request",
        "look at what it says; perhaps the version that is served has changed.",
    )
    TOO_LARGE = _Words(
        "The request is too large for {server}",
        "let the server take larger ones (kerasft serve --max-body-mb), or shorten the text.",
    )
    NOT_ALLOWED = _Words(
        "The server at {server} does not let us in",
        "give the header authorization (see --header and KERASFT_HEADERS).",
    )
    ANOTHER_SERVICE = _Words(
        "What answers at {server} is not TensorFlow Serving",
        "give the port at which the server speaks {protocol}.",
        "the answers of TensorFlow Serving's {protocol}",
    )
    REDIRECTED = _Words(
        "The server at {server} sends us elsewhere", "give that address, if it is to be trusted."
    )
    SERVER_ERROR = _Words("The server at {server} failed", "look into its log.")


TEMPORARY = {Why.UNREACHABLE, Why.CUT_OFF, Why.BUSY, Why.LOADING, Why.TIMED_OUT}


class CallError(Exception):
    """A call failed.

    `detail` is the message of the server or the library; the server asks to be called again after
    `retry_after` seconds, if given.
    """

    def __init__(self, why: Why, detail: str, retry_after: float | None = None):
        super().__init__(detail)
        self.why = why
        self.detail = " ".join(detail.split())[:_SHOWN].rstrip(".")
        self.retry_after = retry_after
        self.attempts = 1  # made before giving up


def user_error(error: CallError, address: Address) -> UserError:
    """Returns the user's error for a failed call."""
    words = error.why.value
    places = {
        "server": f"{address.scheme}://{address.server}",
        "host": address.host,
        "which": address.which,
        "protocol": "gRPC" if address.is_grpc else "REST",
    }
    tried = f" ({error.attempts} attempts)" if error.attempts > 1 else ""
    kind, how_long = UserError, ""
    if error.why in TEMPORARY:
        kind = ServerUnavailableError
        how_long = " How long it is tried: --timeout SECONDS, --attempts N."
    elif error.why is Why.TOO_LARGE:
        kind = RequestTooLargeError
    return kind(
        f"{words.what.format(**places)}{tried}: {error.detail}.",
        expected=words.expected and words.expected.format(**places),
        fix=words.fix.format(**places) + how_long,
    )

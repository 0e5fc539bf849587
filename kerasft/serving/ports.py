"""Ports to listen on. No TensorFlow is imported here."""

from __future__ import annotations

import socket

from kerasft.errors import UserError


def take_port(host: str, port: int, option: str) -> socket.socket:
    """Binds a port, without listening on it yet: whoever knocks is refused.

    Args:
        host: An address of this machine.
        port: 0 takes a free one.
        option: The command's option that it came from, for the message.

    Raises:
        UserError: It is taken, or the address is not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise cannot_listen(host, port, option, error.strerror or str(error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise cannot_listen(host, port, option, error.strerror or str(error)) from error
    return listener


def cannot_listen(host: str, port: int, option: str, why: str) -> UserError:
    """Returns the error about a port that cannot be had."""
    return UserError(
        f"The server cannot listen on {host}, port {port}: {why}.",
        received=f"{host}:{port}",
        fix=f"give another {option} (0 takes a free one) or --host.",
    )


def in_address(host: str) -> str:
    """Returns a host as it stands before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host

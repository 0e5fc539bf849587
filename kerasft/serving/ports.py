"""Binds ports, without TensorFlow."""

from __future__ import annotations

import socket

from kerasft.errors import UserError


def take_port(host: str, port: int, option: str) -> socket.socket:
    """Binds a port without listening yet, so that connections are refused.

    Args:
        host: An address of this machine.
        port: 0 for a free one.
        option: The command line option, for the error message.

    Raises:
        UserError: If it is in use, or the address is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise cannot_listen(host, port, option, error.strerror or str(error)) from error
    return listener


def cannot_listen(host: str, port: int, option: str, why: str) -> UserError:
    """Returns the error for an unavailable port."""
    return UserError(
        f"The server cannot listen on {host}, port {port}: {why}.",
        received=f"{host}:{port}",
        fix=f"give another {option} (0 takes a free one) or --host.",
    )


def in_address(host: str) -> str:
    """Returns a host as written before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host

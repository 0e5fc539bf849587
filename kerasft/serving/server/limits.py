"""What a request may take, so that no caller can take the server from the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes and times.

    Attributes:
        seconds: For an answer, waiting included; gRPC callers may ask for less.
        body_bytes: Of a request.
        body_seconds: For a request to come in, and for some of a long answer to be read.
        head_seconds: For the head of an HTTP request to come in.
        connections: HTTP connections, and gRPC requests, at a time.
        drain_seconds: For what is in the house when the server is told to stop.
    """

    seconds: float = 30.0
    body_bytes: int = 16 << 20
    body_seconds: float = 30.0
    head_seconds: float = 10.0
    connections: int = 1000
    drain_seconds: float = 30.0

    @property
    def all_bodies_bytes(self) -> int:
        """Bytes of all requests that are in the house at a time."""
        return 16 * self.body_bytes

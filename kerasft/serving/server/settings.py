"""Settings of a server, and limits of a request, so that no client can block the others."""

from __future__ import annotations

from dataclasses import dataclass

MOST_VALUES = 1_000_000  # of a request: numbers and texts. Python objects take 30 to 200 bytes each


@dataclass(frozen=True)
class Settings:
    """Where a server listens; sizes and times, from `body_bytes` of the embedded server alone."""

    host: str = "127.0.0.1"  # TensorFlow Serving's program listens on all addresses
    port: int = 8501  # REST; 0: a free one
    grpc_port: int = 8500  # 0: a free one
    batching: bool = True
    poll_seconds: float = 1.0  # between checks for new versions
    seconds: float = 30.0  # for a response, queueing included; gRPC callers may ask for less
    body_bytes: int = 16 << 20  # of a request
    body_seconds: float = 30.0  # to receive a request, and to read some of a long response
    head_seconds: float = 10.0  # to receive the head of an HTTP request
    connections: int = 1000  # concurrent HTTP connections, and gRPC requests

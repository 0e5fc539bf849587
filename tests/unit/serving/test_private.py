"""What the embedded server expects of uvicorn's protocol, which is not a public class."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.config import Config
from uvicorn.server import ServerState

from kerasft.serving.server.http.http_protocol import protocol_with_patience


def test_a_connection_has_the_parts_and_methods_that_patience_needs(tools):
    async def build():
        config = Config(lambda: None, log_config=None)
        config.load()
        return protocol_with_patience(1.0, 1.0)(config, ServerState(), {})

    with tools.expect_of("uvicorn's H11Protocol", "a connection of h11, a loop and a transport"):
        connection = asyncio.run(build())
        assert connection.conn.their_state is h11.IDLE
        assert connection.loop is not None
        assert connection.transport is None
        base = type(connection).__mro__[1]
        for name in ("connection_made", "data_received", "connection_lost"):
            assert name in vars(base)
        for name in ("pause_writing", "resume_writing", "send_400_response"):
            assert callable(getattr(base, name))

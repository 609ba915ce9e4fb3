"""How long the local page waits for a visitor, and for how many: open connections cost memory.

A server that waits for ever is blocked by visitors who connect and say nothing, send half a
request, or do not take their answer. So whenever it is the visitor's turn, a clock runs.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 30.0
"""How long a whole request may take, from connecting or from the last answer."""
LEAST_BYTES = 16 * 2**10
"""What a visitor has to take of a large answer within these seconds."""
MOST = 200
"""Open connections; a further one takes the place of who has been waited for longest."""
MOST_HEAD_BYTES = 64 * 2**10
"""The first line and the headers of a request; cookies are shared by all servers of a host."""


class _Connection(H11Protocol):
    """A connection with a clock that runs while it is the visitor's turn."""

    seconds, most = SECONDS, MOST
    _clock: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            others = [
                connection for connection in self.connections if isinstance(connection, _Connection)
            ]
            waited = [
                connection
                for connection in others
                if connection is not self and connection._clock is not None  # noqa: SLF001
            ]
            min(waited, key=_Connection._due, default=self).drop()
        if not transport.is_closing():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # a request is whole, and it is the server's turn
            self._stop()

    def on_response_complete(self) -> None:
        self._wait()  # until it is taken, and another request is whole
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.cycle.response_complete:
            self._stop()

    def drop(self) -> None:
        """End the connection at once, whatever is still to be sent, by the system as well."""
        self._stop()
        with suppress(OSError):
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _wait(self) -> None:
        self._stop()
        self._unsent = self.transport.get_write_buffer_size()
        self._clock = self.loop.call_later(self.seconds, self._late)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        taken = self._unsent - self.transport.get_write_buffer_size()
        if self._unsent and taken >= min(self._unsent, LEAST_BYTES):
            self._wait()
        else:
            self.drop()

    def _due(self) -> float:
        return float("inf") if self._clock is None else self._clock.when()


def make_server(app: ASGIApp, *, seconds: float = SECONDS, most: int = MOST) -> uvicorn.Server:
    """Return the server of an application, to be run on a socket that listens.

    Args:
        app: what is served.
        seconds: how long a visitor may take for a request, and for each part of an answer.
        most: how many connections are open at once.
    """
    limits: dict[str, Any] = {"seconds": seconds, "most": most}
    config = uvicorn.Config(
        app,
        http=type("Connection", (_Connection,), limits),
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        proxy_headers=False,
    )
    return uvicorn.Server(config)

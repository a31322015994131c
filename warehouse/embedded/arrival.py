"""How many connections may be open, and how long a request may take to come before and after the door looks at it.

The door reads in time the body of a request that it takes. It never sees headers that trickle, and does not read the
body of a request that it refused; each would hold a connection for ever. A connection is a file of the process, and the
engine needs files for its own.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from warehouse.embedded.errors import TOO_MANY_SIMULTANEOUS_QUERIES, ClickHouseError
from warehouse.embedded.exchange import failure

HEAD_SECONDS: Final = 30.0
# The door is the first to give a body up, since it says so.
_LATER_SECONDS: Final = 5.0


def arriving(connections: int, body_seconds: float) -> type[H11Protocol]:
    """uvicorn's HTTP, which refuses more than so many connections at once, and ends one whose headers take more than
    HEAD_SECONDS, or whose body takes longer than the ``body_seconds`` that the door waits for one."""
    too_many = ClickHouseError(
        TOO_MANY_SIMULTANEOUS_QUERIES,
        f"Too many open connections. Maximum: {connections}. (TOO_MANY_SIMULTANEOUS_QUERIES)",
    )
    limits = {
        h11.IDLE: min(HEAD_SECONDS, body_seconds),
        h11.SEND_BODY: body_seconds + _LATER_SECONDS,
    }

    class Arriving(H11Protocol):
        _phase: Any = None
        _clock: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > connections:
                self._refuse()
            else:
                self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _refuse(self) -> None:
            """Answer, and end the connection, before there is a request."""
            answer = failure(too_many, query_id="")
            headers = [*answer.raw_headers, (b"connection", b"close")]
            head = h11.Response(status_code=503, reason=b"Service Unavailable", headers=headers)
            for event in (head, h11.Data(bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
            self.transport.close()

        def _watch(self) -> None:
            """Have the clock run while the client is the one to send; what it sends does not set it back."""
            phase = self.conn.their_state
            if phase is self._phase:
                return
            self._stop()
            self._phase = phase
            if phase in limits:
                self._clock = self.loop.call_later(limits[phase], self.transport.abort)

        def _stop(self) -> None:
            if self._clock is not None:
                self._clock.cancel()

    return Arriving

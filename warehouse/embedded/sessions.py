"""Sessions over HTTP: what SET, USE and temporary tables leave, kept between the requests of one ``session_id``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from warehouse.embedded.errors import (
    CANNOT_SCHEDULE_TASK,
    INVALID_SESSION_TIMEOUT,
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    ClickHouseError,
)

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

AT_MOST: Final = 256
DEFAULT_SECONDS: Final = 60
LONGEST_SECONDS: Final = 3600
_LOOKS_EVERY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """Which session a request asks for: ``owner`` is the token's name, so that nobody enters another's session.

    It is kept for ``timeout`` seconds after its last query; ``check`` wants one that exists, ``closes`` ends it.
    """

    owner: str
    name: str
    timeout: int = DEFAULT_SECONDS
    check: bool = False
    closes: bool = False

    @classmethod
    def read(cls, owner: str, name: str, timeout: str, *, check: bool, closes: bool) -> SessionTerms:
        """From a request's arguments. Raises ClickHouseError 374 for a timeout that is none."""
        if timeout and not (timeout.isdecimal() and 0 < int(timeout) <= LONGEST_SECONDS):
            raise ClickHouseError(
                INVALID_SESSION_TIMEOUT,
                f"Invalid session timeout: not a number of seconds up to {LONGEST_SECONDS}. (INVALID_SESSION_TIMEOUT)",
            )
        return cls(owner, name, int(timeout or DEFAULT_SECONDS), check, closes)


@dataclass(slots=True)
class _Session:
    connection: Connection
    busy: bool
    ends: float


class Sessions:
    """The sessions that are kept: so many at most, each for one query at a time, and closed when unused for long."""

    def __init__(self, connect: Callable[[], Connection], at_most: int = AT_MOST) -> None:
        self._connect = connect
        self._at_most = at_most
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._expire, name="sessions", daemon=True).start()

    @contextmanager
    def hold(self, terms: SessionTerms) -> Iterator[Connection]:
        """A session for one query.

        Raises ClickHouseError: 372 when it must exist and does not, 373 while another query runs in it, 439 when as
        many as are kept are all in use.
        """
        key = (terms.owner, terms.name)
        session = self._take(key, terms)
        try:
            yield session.connection
        finally:
            with self._lock:
                session.busy = False
                session.ends = time.monotonic() + terms.timeout
                if terms.closes:
                    del self._sessions[key]
            if terms.closes:
                session.connection.close()

    def close(self) -> None:
        """Close every session that runs nothing."""
        self._closed.set()
        self._close_those(lambda session: True)

    def _take(self, key: tuple[str, str], terms: SessionTerms) -> _Session:
        self._close_those(lambda session: session.ends < time.monotonic())
        with self._lock:
            session = self._sessions.get(key)
            if session is not None and session.busy:
                raise ClickHouseError(
                    SESSION_IS_LOCKED, "The session is locked by a concurrent client. (SESSION_IS_LOCKED)"
                )
            if session is None:
                if terms.check:
                    raise ClickHouseError(SESSION_NOT_FOUND, "The session is not found. (SESSION_NOT_FOUND)")
                self._make_room()
                session = self._sessions[key] = _Session(self._connect(), True, 0.0)
            session.busy = True
            return session

    def _make_room(self) -> None:
        """Without the one that is unused for longest: clients make a session each and few say goodbye."""
        if len(self._sessions) < self._at_most:
            return
        idle = [key for key, session in self._sessions.items() if not session.busy]
        if not idle:
            raise ClickHouseError(
                CANNOT_SCHEDULE_TASK,
                f"Too many sessions at once. Maximum: {self._at_most}. (CANNOT_SCHEDULE_TASK)",
            )
        self._sessions.pop(min(idle, key=lambda key: self._sessions[key].ends)).connection.close()

    def _close_those(self, wanted: Callable[[_Session], bool]) -> None:
        with self._lock:
            ended = [key for key, session in self._sessions.items() if not session.busy and wanted(session)]
            for key in ended:
                self._sessions.pop(key).connection.close()

    def _expire(self) -> None:
        while not self._closed.wait(_LOOKS_EVERY_SECONDS):
            self._close_those(lambda session: session.ends < time.monotonic())

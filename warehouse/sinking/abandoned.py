"""When a member must not insert any more."""

from __future__ import annotations

import threading
import time


class AbandonedError(Exception):
    """The batch is another member's now."""


class Abandoned(threading.Event):
    """Set once an assignment was taken from this member; and by itself once nothing was heard of its own thread for so
    long that Kafka may have given the partitions to others.

    A process that was frozen goes on in all its threads at once: one that inserts must not rely on the other to have
    heard already. If records of its batch are gone by then, what others made of the rest has other tokens.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def renew(self) -> None:
        """The member's own thread is alive. Once it was silent for too long it stays so: others may have heard that."""
        if self.is_set():
            self.set()
        self._until = time.monotonic() + self._seconds

    def is_set(self) -> bool:
        return super().is_set() or time.monotonic() >= self._until

"""When dead letters are no longer a few bad records but a stage that fails on everything.

A bad record goes to ``dead-letters`` and its partition moves on. If nearly all do, the cause is a broken release, a
missing schema or a wrong configuration: moving on would only empty the topic into ``dead-letters``. Then the worker
stops before it writes them, and what it has not written is read again once the cause is mended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

ADVICE: Final = (
    "It is the stage, its configuration or its schemas that are broken, not the records: they stay on their topic. "
    "Mend the cause and start the worker again; LEADLINE_DEAD_LETTER_RUN and LEADLINE_DEAD_LETTER_SHARE move the limit."
)


class DeadLetterLimitError(Exception):
    """Too much fails; nothing of the step at hand is written."""


@dataclass
class DeadLetterLimit:
    """Stops at ``run`` dead letters without one good record between, or when more than ``share`` of the last records,
    ``window`` of them or a few more, are dead."""

    run: int = 200
    share: float = 0.5
    window: int = 1000
    _batches: deque[tuple[int, int]] = field(default_factory=deque)
    _records: int = 0
    _dead: int = 0
    _in_a_row: int = 0

    def observe(self, records: int, dead: Sequence[int]) -> None:
        """Take note of ``records`` in order; ``dead`` are the places of the dead ones, ascending.

        Raises:
            DeadLetterLimitError: the limit is reached.
        """
        following = 0
        for place in dead:
            self._in_a_row = self._in_a_row + 1 if place == following else 1
            following = place + 1
            if self._in_a_row >= self.run:
                raise DeadLetterLimitError(f"{self._in_a_row} records in a row failed. {ADVICE}")
        if following != records:
            self._in_a_row = 0
        self._batches.append((records, len(dead)))
        self._records += records
        self._dead += len(dead)
        while self._records - self._batches[0][0] >= self.window:
            oldest, oldest_dead = self._batches.popleft()
            self._records -= oldest
            self._dead -= oldest_dead
        if self._records >= self.window and self._dead > self.share * self._records:
            raise DeadLetterLimitError(f"{self._dead} of the last {self._records} records failed. {ADVICE}")

"""What the sandbox buyers received: one JSON line per arrival, on disk before the buyer answers.

The only personal data is what the sender put into the idempotency key or the lead id: use random ids.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.sandbox.behaviour import Answer, Mode, Status


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that reached a buyer.

    ``arrival`` counts this key's arrivals at this buyer from 1. ``answer`` is None when the buyer recorded no lead.
    ``new`` says that this arrival made a lead, rather than repeated one. ``at``: UTC, ISO 8601.
    """

    buyer: str
    idempotency_key: str
    lead_id: str | None
    arrival: int
    at: str
    answer: Answer | None
    new: bool
    failure: Mode | None

    def to_json(self) -> dict[str, object]:
        """Flat, as in the journal and in ``GET /received``; the status of an unrecorded arrival is ``failed``."""
        told = self.answer
        return {
            "buyer": self.buyer,
            "idempotency_key": self.idempotency_key,
            "lead_id": self.lead_id,
            "status": told.status if told else "failed",
            "at": self.at,
            "arrival": self.arrival,
            "new": self.new,
            "failure": self.failure,
            "reference": told.reference if told else None,
            "reason": told.reason if told else None,
            "price": told.price if told else None,
        }


class JournalError(Exception):
    """The journal cannot be used; the message says what to do."""


class Journal:
    """An append-only file with one owner at a time. What was appended survives kill -9 of the process."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            JournalError: another process has it open.
        """
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise JournalError(f"{path}: another sandbox uses this journal; pass --journal OTHER_FILE") from None

    def load(self) -> Iterator[Arrival]:
        """Every arrival so far. A torn last line, cut short by a kill, was never answered: it is removed.

        Raises:
            JournalError: a line is no arrival.
        """
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, os.fstat(self._file).st_size - len(line))
                    return
                try:
                    yield _arrival(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    raise JournalError(f"{self._path}: line {number} is no arrival; move the file away") from None

    def append(self, arrival: Arrival) -> None:
        """Write one line, whole or not at all.

        Raises:
            OSError: the disk does not take it.
        """
        line = json.dumps(arrival.to_json(), separators=(",", ":")).encode() + b"\n"
        written = os.write(self._file, line)
        if written < len(line):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(f"{self._path}: the disk is full")

    def close(self) -> None:
        """Give the file up."""
        os.close(self._file)


def _arrival(line: dict[str, object]) -> Arrival:
    told = None
    if line["status"] != "failed":
        reason, price = line["reason"], line["price"]
        told = Answer(
            Status(str(line["status"])),
            str(line["reference"]),
            None if reason is None else str(reason),
            None if price is None else float(str(price)),
        )
    return Arrival(
        buyer=str(line["buyer"]),
        idempotency_key=str(line["idempotency_key"]),
        lead_id=None if line["lead_id"] is None else str(line["lead_id"]),
        arrival=int(str(line["arrival"])),
        at=str(line["at"]),
        answer=told,
        new=bool(line["new"]),
        failure=None if line["failure"] is None else Mode(str(line["failure"])),
    )

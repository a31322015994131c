"""A fault in a configuration: where it is, what is wrong, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands in a file; line and column count from 1."""

    file: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Fault:
    """``field`` is a path in the file's own terms, such as ``campaigns[3] "sunpath-west".states[0]``; may be empty, as
    ``hint`` may."""

    place: Place
    field: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        about = f"{self.field}: " if self.field else ""
        return f"{self.place}: {about}{self.message}" + (f" ({self.hint})" if self.hint else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: file, line, column, field, message, hint."""
        return asdict(self.place) | {
            "file": str(self.place.file),
            "field": self.field,
            "message": self.message,
            "hint": self.hint,
        }


class ConfigurationError(Exception):
    """The configuration cannot be used; the message has every fault in it, a line each, sorted by place."""

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults

    @classmethod
    def of(cls, path: Path, faults: Iterable[Fault]) -> ConfigurationError:
        """An error of these faults, of which there is one at least."""
        ordered = tuple(sorted(set(faults)))
        count = f"{len(ordered)} faults" if len(ordered) > 1 else "a fault"
        return cls("\n".join([f"{path} has {count}:", *(f"  {fault}" for fault in ordered)]), ordered)

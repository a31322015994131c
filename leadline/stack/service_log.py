"""The log file of a service: appended to, rotated once when it has grown large."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_ROTATE_BYTES = 50 * 1024 * 1024
_TAIL_BYTES = 16 * 1024


def open_log(path: Path, rotate_bytes: int = _ROTATE_BYTES) -> BinaryIO:
    """The file to append to. One larger than `rotate_bytes` becomes ``<name>.1`` first; an older ``.1`` is dropped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > rotate_bytes:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def tail(path: Path, lines: int = 15) -> list[str]:
    """The last `lines` lines, or fewer."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-lines:]

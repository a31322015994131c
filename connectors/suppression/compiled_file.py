"""A compiled list: one file, memory-mapped, that all workers of a machine share.

Layout: 8 bytes of magic, the header's length (4 bytes, little-endian), the header in JSON, the index, the entries. An
entry is a hash of 8 bytes and, where rows have dates, the date's ordinal in 4 (big-endian); entries are sorted. The
index has for every value of the first ``index_bits`` bits the number of the first entry that begins with it, and one
number more: about eight entries are between two of them, so that one C-speed search of 64 bytes finds a hash.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.suppression.errors import SuppressionError
from connectors.suppression.keyed_hashes import HASH_BYTES, KeyedHashes, Shape
from schemas.config.entity import Name
from schemas.config.suppression import ListField, ListKind, MatchRule

MAGIC: Final = b"LLSUPP\x001"
_LENGTH: Final = struct.Struct("<I")
_BOUNDS: Final = struct.Struct("<II")
DAY_BYTES: Final = 4


class Header(BaseModel):
    """What a compiled list says about itself. ``rows`` = ``accepted`` + ``duplicates`` + ``bad``."""

    model_config = ConfigDict(frozen=True)

    name: Name
    kind: ListKind
    rule: MatchRule
    shapes: tuple[Shape, ...] = ()
    dated: bool = False
    source: str
    imported_at: datetime
    rows: int
    accepted: int
    duplicates: int
    bad: int
    entries: int
    index_bits: int
    key_check: str


class SuppressionSet:
    """An opened list. It stays as it was opened until :meth:`refresh`, also when the file is replaced or removed."""

    def __init__(self, path: Path, secret: bytes) -> None:
        self.path = path
        self._secret = secret
        self._load()

    @classmethod
    def open(cls, path: Path, secret: bytes) -> SuppressionSet:
        """Open a compiled list, in milliseconds whatever its size.

        Raises:
            SuppressionError: it is missing, damaged, or was made with another pseudonym key.
        """
        return cls(path, secret)

    @property
    def rule(self) -> MatchRule:
        """How leads are compared with it."""
        return self.header.rule

    def __len__(self) -> int:
        return self.header.accepted

    @property
    def replaced(self) -> bool:
        """Whether there is another file in place of the one that is open. A removed one leaves the list as it is:
        nobody may be contacted because a file went missing."""
        try:
            return _identity(self.path.stat()) != self._file
        except OSError:
            return False

    def refresh(self) -> bool:
        """Open the file again if it was replaced; whether it was.

        Raises:
            SuppressionError: the new file cannot be used; the old list stays open.
        """
        if not self.replaced:
            return False
        self._load()
        return True

    def find(self, values: Mapping[ListField, str]) -> dict[Shape, Sequence[int]]:
        """The fields by which a lead is on the list, each with the ordinals of the rows' dates (none without dates)."""
        found: dict[Shape, Sequence[int]] = {}
        for fields, digest in self._hashes.of_lead(values, self._shapes):
            if (days := self._look_up(digest)) is not None:
                found[fields] = (*found[fields], *days) if fields in found else days
        return found

    def _look_up(self, digest: bytes) -> Sequence[int] | None:
        data, base, width = self._data, self._base, self._width
        bucket = int.from_bytes(digest[:4], "big") >> self._shift
        first, end = _BOUNDS.unpack_from(data, self._index + bucket * 4)
        low, high = base + first * width, base + end * width
        at = data.find(digest, low, high)
        while at >= 0 and (at - base) % width:  # across two entries
            at = data.find(digest, at + 1, high)
        if at < 0:
            return None
        if width == HASH_BYTES:
            return ()
        days = []
        while at < high and data[at : at + HASH_BYTES] == digest:
            days.append(int.from_bytes(data[at + HASH_BYTES : at + width], "big"))
            at += width
        return days

    def _load(self) -> None:
        try:
            with self.path.open("rb") as file:
                identity = _identity(os.fstat(file.fileno()))
                header, index = _read_header(self.path, file.read(1 << 20), identity[1])
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise SuppressionError(f"{self.path}: {error.strerror}; `leadline suppression import` makes it") from None
        hashes = KeyedHashes(header.rule, self._secret)
        if hashes.key_check != header.key_check:
            raise SuppressionError(
                f"{self.path} was made with another pseudonym key; run `leadline suppression import` again"
            )
        self.header, self._hashes, self._file, self._data = header, hashes, identity, data
        self._shapes, self._index, self._shift = header.shapes, index, 32 - header.index_bits
        self._base, self._width = index + _index_bytes(header), entry_bytes(header.dated)


def read_header(path: Path) -> Header:
    """What a list says about itself; needs no key.

    Raises:
        SuppressionError: it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            return _read_header(path, file.read(1 << 20), os.fstat(file.fileno()).st_size)[0]
    except OSError as error:
        raise SuppressionError(f"{path}: {error.strerror}; `leadline suppression import` makes it") from None


def write_compiled(path: Path, header: Header, index: bytes, entries: bytes | bytearray) -> None:
    """Replace the file in one step: a reader sees the old list or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = header.model_dump_json().encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            for part in (MAGIC, _LENGTH.pack(len(text)), text, index, entries):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def entry_bytes(dated: bool) -> int:
    """The length of an entry."""
    return HASH_BYTES + DAY_BYTES if dated else HASH_BYTES


def _read_header(path: Path, start: bytes, size: int) -> tuple[Header, int]:
    """The header, and where the index begins."""
    problem = f"{path} is no compiled list, or damaged; run `leadline suppression import` again"
    at = len(MAGIC) + _LENGTH.size
    if not start.startswith(MAGIC) or len(start) < at:
        raise SuppressionError(problem)
    index = at + _LENGTH.unpack_from(start, len(MAGIC))[0]
    try:
        header = Header.model_validate_json(start[at:index])
    except ValidationError:
        raise SuppressionError(problem) from None
    if size != index + _index_bytes(header) + header.entries * entry_bytes(header.dated):
        raise SuppressionError(problem)
    return header, index


def _index_bytes(header: Header) -> int:
    return ((1 << header.index_bits) + 1) * 4


def _identity(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

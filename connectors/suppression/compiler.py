"""Sorting the hashes of a list and leaving out what is there twice, in about twice the memory of the result.

Hashes go by their first byte into 256 parts as they come; each part is sorted alone at the end. An entry carries its
row's number while it is here, so that a row counts as a duplicate exactly when it brought nothing new.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable
from typing import Final, NamedTuple

from connectors.suppression.compiled_file import entry_bytes

PER_BUCKET_BITS: Final = 3
_ROW: Final = struct.Struct(">I")
_DAY_AND_ROW: Final = struct.Struct(">II")


class Compiled(NamedTuple):
    """Sorted entries with their index; ``accepted`` rows brought something new."""

    accepted: int
    entries: int
    index_bits: int
    starts: bytes
    data: bytearray


class Compiler:
    """Takes rows in their order, up to 2^32 of them."""

    def __init__(self, *, dated: bool) -> None:
        self.rows = 0
        self._dated = dated
        self._parts = [bytearray() for _ in range(256)]

    def add(self, hashes: Iterable[bytes], day: int = 0) -> None:
        """Take one row: its hashes, and its date's ordinal where rows have dates."""
        tail = _DAY_AND_ROW.pack(day, self.rows) if self._dated else _ROW.pack(self.rows)
        for digest in hashes:
            self._parts[digest[0]] += digest + tail
        self.rows += 1

    def finish(self) -> Compiled:
        """Sort all of it. The parts are used up."""
        kept = entry_bytes(self._dated)
        width = kept + _ROW.size
        bits = max(0, (sum(map(len, self._parts)) // width).bit_length() - PER_BUCKET_BITS)
        starts, shift = array("I", bytes(4 * ((1 << bits) + 1))), 32 - bits
        fresh, data, entries = bytearray(self.rows), bytearray(), 0
        for number, part in enumerate(self._parts):
            last = b""
            for entry in sorted([bytes(part[at : at + width]) for at in range(0, len(part), width)]):
                found = entry[:kept]
                if found != last:
                    last = found
                    data += found
                    entries += 1
                    fresh[int.from_bytes(entry[kept:], "big")] = 1
                    starts[(int.from_bytes(entry[:4], "big") >> shift) + 1] += 1
            self._parts[number] = bytearray()
        for bucket in range(1, len(starts)):
            starts[bucket] += starts[bucket - 1]
        if sys.byteorder == "big":
            starts.byteswap()
        return Compiled(sum(fresh), entries, bits, starts.tobytes(), data)

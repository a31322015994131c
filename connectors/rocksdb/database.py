"""One RocksDB database: bytes to bytes, written in atomic batches. The only place that opens its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

MIB: Final = 1024 * 1024
BLOOM_BITS_PER_KEY: Final = 10
ENTRIES_PER_CHUNK: Final = 1000


class DatabaseError(Exception):
    """RocksDB refuses: files that it cannot read, no space, no permission."""


class LockedError(DatabaseError):
    """Another process, or this one, has the database open."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Memory in bytes: ``block_cache`` for all databases of a process together, ``write_buffer`` for each one, of which
    two may be full at a time."""

    block_cache: int = 64 * MIB
    write_buffer: int = 16 * MIB


class Batch:
    """Puts and deletes that become one write."""

    __slots__ = ("_content", "delete", "put")

    def __init__(self) -> None:
        self._content = content = WriteBatch(raw_mode=True)
        self.put = content.put
        self.delete = content.delete

    def __len__(self) -> int:
        return len(self._content)


class Database:
    """An open database. Not for use by several threads at once.

    Raises:
        LockedError: it is open elsewhere.
        DatabaseError: its files cannot be read or made.
    """

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._rdict = Rdict(str(path), _options(limits or Limits()))
        except Exception as error:  # the library raises nothing more special
            raise _explained(path, error) from error
        self._unlogged = WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[assignment, method-assign]  # the stub is wrong: it is a property

    @property
    def empty(self) -> bool:
        """Whether there is no entry."""
        return next(iter(self._rdict.keys()), None) is None

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        return cast("bytes | None", self._rdict.get(key))

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values under keys, in their order."""
        return cast("list[bytes | None]", self._rdict.get(list(keys))) if keys else []

    def write(self, batch: Batch, *, logged: bool = True) -> None:
        """Write all of a batch or nothing.

        It survives the process. One that is not ``logged`` is cheaper and survives only from the next :meth:`flush` on;
        nothing may be logged in between, or a crash would lose the earlier and keep the later.
        """
        content = batch._content  # noqa: SLF001  # the two are one
        if logged:
            self._rdict.write(content)
        else:
            self._rdict.write(content, self._unlogged)

    def scan(self, first: bytes, end: bytes, chunk: int = ENTRIES_PER_CHUNK) -> Iterator[tuple[bytes, bytes]]:
        """The entries with ``first <= key < end`` in the order of their keys.

        The database may be written meanwhile; what is written behind the place that is reached is seen or not.
        """
        while True:
            bounds = ReadOptions()
            bounds.set_iterate_upper_bound(end)
            # No iterator outlives its chunk: as long as there is one, closing does not let go of the files.
            entries = list(islice(cast("Any", self._rdict.items(from_key=first, read_opt=bounds)), chunk))
            yield from entries
            if len(entries) < chunk:
                return
            first = entries[-1][0] + b"\0"

    def flush(self) -> None:
        """Put into files what is in memory, and wait for it."""
        self._rdict.flush()

    def close(self) -> None:
        """Flush and let go of the files, so that opening them again has nothing to redo. Twice does nothing."""
        if self._rdict is not None:
            self._rdict.flush()
            self._rdict.close()
            self._rdict = cast("Rdict", None)  # the lock goes with the last reference


def destroy(path: Path) -> None:
    """Remove a database that is closed.

    Raises:
        LockedError: it is open.
    """
    if path.exists():
        try:
            Rdict.destroy(str(path), Options(raw_mode=True))
        except Exception as error:
            if isinstance(refusal := _explained(path, error), LockedError):
                raise refusal from error
        shutil.rmtree(path, ignore_errors=True)


@cache
def _block_cache(size: int) -> Cache:
    return Cache(size)


def _options(limits: Limits) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(_block_cache(limits.block_cache))
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(limits.write_buffer)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_level_compaction_dynamic_level_bytes(True)
    # RocksDB's own log is for its developers.
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(MIB)
    options.set_stats_dump_period_sec(0)
    return options


def _explained(path: Path, error: Exception) -> DatabaseError:
    text = str(error)
    if "lock hold by" in text or "While lock file" in text:
        return LockedError(f"{path} is open in another process: stop it, or wait until it has closed its files")
    return DatabaseError(f"{path}: {text}")

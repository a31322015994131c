"""One chDB engine on one folder, and a fresh session in it for every statement."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from warehouse.embedded.context import Context, entered
from warehouse.embedded.deduplication import forget_unnamed
from warehouse.embedded.errors import BAD_ARGUMENTS, INCORRECT_DATA, ClickHouseError
from warehouse.embedded.sessions import Sessions, SessionTerms
from warehouse.embedded.spool import spooled
from warehouse.embedded.statement import Statement, verb
from warehouse.quoting import quote

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

log = logging.getLogger(__name__)

# Or an INSERT … SELECT would write the blocks of its data in any order, so that a deduplication token, which counts
# them, would mean other rows the next time. As a server reads input().
_IN_ORDER: Final = {"max_insert_threads": "1", "parallelize_output_from_storages": "0"}


# What has no answer when it works, if not for ON CLUSTER.
_SILENT: Final = frozenset(
    (
        *("ALTER", "ATTACH", "CREATE", "DELETE", "DETACH", "DROP", "EXCHANGE", "INSERT", "OPTIMIZE", "OTHER", "RENAME"),
        *("SET", "SYSTEM", "TRUNCATE", "UPDATE", "USE"),
    )
)


class FolderInUseError(Exception):
    """The database folder belongs to another process; an engine's folder is one process's, readers included."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement gave. ``blocks`` joined are the answer in ``format``; ``elapsed`` is in seconds.

    ``has_rows`` is False for a statement that has no answer, as CREATE has none; a SELECT without rows has one.
    """

    blocks: tuple[bytes, ...]
    format: str
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    result_rows: int
    elapsed: float
    has_rows: bool = True


@dataclass(frozen=True, slots=True)
class Chunk:
    """A block of an answer, as a document of its own, and what it took."""

    data: bytes
    rows: int
    read_rows: int
    read_bytes: int


class Engine:
    """Runs statements; safe to share between threads. Never use it in a forked child: the engine hangs there."""

    def __init__(self, path: Path, root: Connection, lock: int) -> None:
        self._path = path
        self._root = root
        self._lock = lock
        self._sessions = Sessions(lambda: _connect(str(path)))
        self._running = 0
        self._closed = False
        self._idle = threading.Condition()
        self.version, self.timezone = root.query("SELECT version(), timezone()", "TSV").data().split()

    @classmethod
    def open(cls, path: Path, *, memory_share: float = 0.5, mark_cache_bytes: int = 64 << 20) -> Engine:
        """Open the database in ``path``, creating the folder if it is missing.

        The engine may use ``memory_share`` of the machine's memory (or of the container's). Raises FolderInUseError
        when another process has the folder open, ClickHouseError when the database does not open.
        """
        path = path.resolve()
        if "?" in str(path):
            raise ClickHouseError(BAD_ARGUMENTS, f"the folder's name may not hold a question mark: {path}")
        path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        try:
            if not _engine_holds(path) and (forgotten := forget_unnamed(path)):
                log.info(
                    "%d blocks were not there yet when the engine was killed: their tokens are forgotten", forgotten
                )
            with _config_file(memory_share, mark_cache_bytes) as config:
                return cls(path, _connect(f"{path}?config-file={config}"), lock)
        except RuntimeError as error:
            os.close(lock)
            if _engine_holds(path):
                raise FolderInUseError(path) from error
            raise ClickHouseError.from_engine(str(error)) from error

    def execute(
        self, statement: Statement, context: Context | None = None, *, default_format: str = "TabSeparated"
    ) -> Result:
        """Run one statement in a session of its own, so that nothing of it (settings, database) outlives it.

        An insert is durable (fsynced) when this returns. Raises ClickHouseError with the engine's code.
        """
        context = context or Context()
        if statement.input_at is not None and context.analyst is None:
            context = replace(context, settings=_IN_ORDER | dict(context.settings))
        with self._session(context.kept) as session, entered(session, statement, context):
            if statement.data is not None:
                return _insert(session, statement, statement.data, context.parameters)
            done = _query(session, statement.sql, statement.format or default_format, context.parameters)
            return replace(done, has_rows=any(done.blocks) or verb(statement.sql) not in _SILENT)

    def stream(
        self, statement: Statement, context: Context, *, default_format: str = "TabSeparated"
    ) -> Generator[Chunk, None, None]:
        """Run one SELECT as `execute` does and give its blocks as they come; closing the iterator ends the query.

        To be used in one thread. Raises ClickHouseError, also after some blocks.
        """
        with self._session(context.kept) as session, entered(session, statement, context):
            output_format = statement.format or default_format
            parameters = dict(context.parameters)
            chunks = session.send_query(statement.sql, output_format, params=parameters)  # type: ignore[arg-type]
            try:
                for chunk in chunks:
                    yield Chunk(
                        bytes(chunk.bytes()), chunk.rows_read(), chunk.storage_rows_read(), chunk.storage_bytes_read()
                    )
            finally:
                chunks.close()  # type: ignore[no-untyped-call]

    def kill(self, mark: str) -> None:
        """End the statements with that mark, without waiting for it."""
        try:
            self.execute(
                Statement(b"KILL QUERY WHERE Settings['log_comment'] = {mark:String} ASYNC"),
                Context(parameters={"mark": mark}),
            )
        except ClickHouseError as error:
            log.warning("a query whose client has gone goes on: code %d", error.code)

    def close(self, timeout: float) -> bool:
        """Refuse new statements, wait up to ``timeout`` seconds for running ones, close the database.

        False: statements still ran, and the database stays open; ending the process is then safe, as a kill is.
        """
        with self._idle:
            self._closed = True
            if not self._idle.wait_for(lambda: self._running == 0, timeout):
                return False
        self._sessions.close()
        self._root.close()
        os.close(self._lock)
        return True

    @contextmanager
    def _session(self, kept: SessionTerms | None) -> Iterator[Connection]:
        with self._idle:
            if self._closed:
                raise ClickHouseError(BAD_ARGUMENTS, "the warehouse server is stopping")
            self._running += 1
        try:
            if kept is not None:
                with self._sessions.hold(kept) as session:
                    yield session
                return
            # A session costs a third of a millisecond while the engine is open, and isolates completely.
            session = _connect(str(self._path))
            try:
                yield session
            finally:
                session.close()
        except (RuntimeError, UnicodeDecodeError) as error:  # ChdbError is one too
            raise ClickHouseError.from_engine(_words(error)) from error
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()


def _words(error: Exception) -> str:
    """The engine's words of an error, which quote what failed: that need not be UTF-8. Python 3.11.2 leaves nothing
    of them then, but that a value was quoted."""
    undecoded = error.__cause__ if isinstance(error, RuntimeError) else error
    if isinstance(undecoded, UnicodeDecodeError):
        return undecoded.object.decode("utf-8", "replace")
    words = str(error)
    if words.removeprefix("Streaming query failed:").strip():
        return words
    return f"Code: {INCORRECT_DATA}. DB::Exception: A value that is no UTF-8. (INCORRECT_DATA)"


def _connect(target: str) -> Connection:
    # Importing chdb starts half a gigabyte of engine, which reads TZ at that moment: not before it is needed.
    from chdb.state.sqlitelike import Connection

    return Connection(target)


def _insert(session: Connection, statement: Statement, data: bytes, parameters: Mapping[str, str]) -> Result:
    input_format = statement.format or "Values"
    # Not Connection.send_insert: it loses what fails while it is written (a constraint, too many partitions, a view, a
    # full disk) and reports success. Nor data in the query: there, an empty line ends it, in Native too.
    with spooled(data) as path:
        sql = _from_file(statement, quote(path).encode(), input_format.encode())
        done = _query(session, sql, input_format, parameters)
    return replace(done, blocks=(), read_rows=0, read_bytes=0, result_rows=0, has_rows=False)


def _from_file(statement: Statement, name: bytes, input_format: bytes) -> bytes:
    sql = statement.sql
    if statement.input_at is not None:
        # The engine has no input() here: it would insert nothing, without an error.
        start, arguments = statement.input_at
        structure = b"" if sql[arguments:].lstrip().startswith(b")") else b", "
        return b"%bfile(%b, '%b'%b%b" % (sql[:start], name, input_format, structure, sql[arguments:])
    # The newlines keep the clauses out of a trailing comment.
    at = len(sql) if statement.settings_at is None else statement.settings_at
    return b"%b\nFROM INFILE %b COMPRESSION 'none'\n%b\nFORMAT %b" % (sql[:at], name, sql[at:], input_format)


def _query(session: Connection, sql: bytes, output_format: str, parameters: Mapping[str, str]) -> Result:
    answer = session.query(sql, output_format, params=dict(parameters))  # type: ignore[arg-type]
    return Result(
        blocks=(bytes(answer.bytes() or b""),),
        format=output_format,
        read_rows=answer.storage_rows_read(),
        read_bytes=answer.storage_bytes_read(),
        written_rows=answer.rows_written(),
        written_bytes=answer.bytes_written(),
        result_rows=answer.rows_read(),
        elapsed=answer.elapsed(),
    )


@contextmanager
def _config_file(memory_share: float, mark_cache_bytes: int) -> Iterator[str]:
    """The engine's configuration; read once, while it opens. Its own defaults are for a machine of its own."""
    config = f"""<clickhouse>
  <mark_cache_size>{mark_cache_bytes}</mark_cache_size>
  <max_server_memory_usage_to_ram_ratio>{memory_share}</max_server_memory_usage_to_ram_ratio>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
  </merge_tree>
</clickhouse>
"""
    with tempfile.NamedTemporaryFile("w", suffix=".xml", prefix="warehouse-") as file:
        file.write(config)
        file.flush()
        yield file.name


def _lock(path: Path) -> int:
    """Lock the folder itself, so that a second server hears of it before the engine prints its own complaints."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise FolderInUseError(path) from error
    return descriptor


def _engine_holds(path: Path) -> bool:
    """Whether another program's engine (a notebook's chDB) holds its lock in the folder."""
    try:
        descriptor = os.open(path / "status", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False

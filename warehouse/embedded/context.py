"""What a statement runs under, and how a session of the engine comes to be so and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from warehouse.embedded.analyst import Analyst
from warehouse.embedded.errors import READONLY, UNKNOWN_SETTING, ClickHouseError
from warehouse.embedded.external import ExternalTable, provided
from warehouse.embedded.sessions import SessionTerms
from warehouse.embedded.statement import Statement, verb
from warehouse.quoting import quote

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

# What the engine says of a statement that it only answers whole; nothing has run then.
NOT_STREAMED: Final = "Streaming query is not supported"
_READING: Final = frozenset({"SELECT", "SHOW", "DESCRIBE", "EXISTS", "EXPLAIN", "USE"})
_SECONDS: Final = "max_execution_time"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Context:
    """What a statement runs under.

    ``parameters`` bind ``{name:Type}`` on the engine's side, ``readonly`` refuses writes and DDL (code 164),
    ``analyst`` reads only what analysts may, ``mark`` is what `Engine.kill` finds it by, ``tables`` are there for the
    statement, and ``kept`` names a session to run in; without, a statement has one of its own. ``seconds`` is the
    ``max_execution_time`` of a statement that neither ``settings`` nor its session give one; 0 for none.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    readonly: bool = False
    analyst: Analyst | None = None
    mark: str = ""
    seconds: int = 0
    kept: SessionTerms | None = None
    tables: tuple[ExternalTable, ...] = ()


@contextmanager
def entered(session: Connection, statement: Statement, context: Context) -> Iterator[None]:
    """The session as the request wants it; a kept one gets back what only this request asked for."""
    if context.kept is None:
        with _inside(session, statement, context):
            yield
        return
    kind = verb(statement.sql)
    if (context.readonly or context.settings.get("readonly", "0") != "0") and kind not in _READING:
        # Not by the engine: in a session, readonly cannot be taken back.
        raise ClickHouseError(READONLY, "Cannot execute query in readonly mode. (READONLY)")
    settings = {name: value for name, value in context.settings.items() if name != "readonly"}
    before = _before(session, [*settings, "log_comment", _SECONDS])
    seconds = context.seconds if before[_SECONDS] is None else 0
    database = _text(session, b"SELECT currentDatabase()", {}).rstrip("\n")
    try:
        with _inside(session, statement, replace(context, settings=settings, readonly=False, seconds=seconds)):
            yield
    finally:
        if context.database and kind != "USE":
            session.query(f"USE {quote(database, '`')}")
        if kind != "SET":
            values = ("DEFAULT" if value is None else quote(value) for value in before.values())
            session.query(f"SET {', '.join(map(' = '.join, zip(before, values, strict=True)))}")


def _before(session: Connection, names: Iterable[str]) -> dict[str, str | None]:
    """The values that settings have now, None for the engine's own."""
    known = [name for name in names if _NAME.fullmatch(name)]
    listed = ", ".join(quote(name) for name in known)
    found = session.query(
        f"SELECT name, value FROM system.settings WHERE changed AND name IN ({listed})",  # noqa: S608
        "JSONCompact",
    )
    changed = dict(json.loads(found.data())["data"])
    return {name: changed.get(name) for name in known}


@contextmanager
def _inside(session: Connection, statement: Statement, context: Context) -> Iterator[None]:
    analyst = context.analyst
    settings = dict(context.settings) if analyst is None else analyst.settings(context.settings)
    readonly = settings.pop("readonly", "0") if analyst is None else "1"
    if context.readonly and readonly != "1":
        readonly = "2"
    if context.database:
        session.query(f"USE {quote(context.database, '`')}")
    # The engine's command line takes "SELEC" for an expression; a server answers with a syntax error.
    marked = {"log_comment": context.mark} if context.mark else {}
    limited = {_SECONDS: str(context.seconds)} if context.seconds else {}
    _set(session, {"implicit_select": "0", **marked, **limited, **settings})
    ask = partial(_ask, session)
    if analyst is not None:
        analyst.check_structures((table.structure for table in context.tables), ask)
    with provided(session, context.tables):
        if readonly != "0":  # Last: under readonly nothing else can be set.
            _set(session, {"readonly": readonly})
        if analyst is not None:
            current = ask(b"SELECT currentDatabase()", {}).strip()
            analyst.check(statement, context.parameters, current, ask)
        yield


def _set(session: Connection, settings: Mapping[str, str]) -> None:
    unknown = next((name for name in settings if _NAME.fullmatch(name) is None), None)
    if unknown is not None:
        raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting {unknown!r}. (UNKNOWN_SETTING)")
    session.query(f"SET {', '.join(f'{name} = {quote(value)}' for name, value in settings.items())}")


def _ask(session: Connection, sql: bytes, parameters: Mapping[str, str]) -> str:
    """The answer as text; streamed where it can be, because only so does the engine refuse a second statement."""
    try:
        with closing(session.send_query(sql, "TSVRaw", params=dict(parameters))) as chunks:  # type: ignore[arg-type]
            return b"".join(bytes(chunk.bytes()) for chunk in chunks).decode(errors="replace")
    except RuntimeError as error:
        if NOT_STREAMED not in str(error):
            raise
    return _text(session, sql, parameters)


def _text(session: Connection, sql: bytes, parameters: Mapping[str, str]) -> str:
    return str(session.query(sql, "TSVRaw", params=dict(parameters)).data())  # type: ignore[arg-type]

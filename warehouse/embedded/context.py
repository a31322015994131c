"""What a statement runs under, and how a session of the engine comes to be so and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from warehouse.embedded.analyst import Analyst
from warehouse.embedded.errors import READONLY, UNKNOWN_SETTING, ClickHouseError
from warehouse.embedded.sessions import SessionTerms
from warehouse.embedded.statement import Statement, verb

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

_READING: Final = frozenset({"SELECT", "SHOW", "DESCRIBE", "EXISTS", "EXPLAIN", "USE"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Context:
    """What a statement runs under.

    ``parameters`` bind ``{name:Type}`` on the engine's side, ``readonly`` refuses writes and DDL (code 164),
    ``analyst`` reads only what analysts may, ``mark`` is what `Engine.kill` finds it by, and ``kept`` names
    a session to run in; without, a statement has one of its own.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    readonly: bool = False
    analyst: Analyst | None = None
    mark: str = ""
    kept: SessionTerms | None = None


@contextmanager
def entered(session: Connection, statement: Statement, context: Context) -> Iterator[None]:
    """The session as the request wants it; a kept one gets back what only this request asked for."""
    if context.kept is None:
        _enter(session, statement, context)
        yield
        return
    kind = verb(statement.sql)
    if (context.readonly or context.settings.get("readonly", "0") != "0") and kind not in _READING:
        # Not by the engine: in a session, readonly cannot be taken back.
        raise ClickHouseError(READONLY, "Cannot execute query in readonly mode. (READONLY)")
    settings = {name: value for name, value in context.settings.items() if name != "readonly"}
    before = _before(session, [*settings, "log_comment"])
    database = _text(session, b"SELECT currentDatabase()", {}).rstrip("\n")
    try:
        _enter(session, statement, replace(context, settings=settings, readonly=False))
        yield
    finally:
        if context.database and kind != "USE":
            session.query(f"USE {quote(database, '`')}")
        if kind != "SET":
            session.query(f"SET {', '.join(before)}")


def _before(session: Connection, names: Iterable[str]) -> list[str]:
    """Assignments that give settings back the values that they have now."""
    known = [name for name in names if _NAME.fullmatch(name)]
    listed = ", ".join(quote(name) for name in known)
    found = session.query(
        f"SELECT name, value FROM system.settings WHERE changed AND name IN ({listed})",  # noqa: S608
        "JSONCompact",
    )
    changed = dict(json.loads(found.data())["data"])
    return [f"{name} = {quote(changed[name])}" if name in changed else f"{name} = DEFAULT" for name in known]


def _enter(session: Connection, statement: Statement, context: Context) -> None:
    settings = context.settings if context.analyst is None else context.analyst.settings(context.settings)
    if context.mark:
        settings = {"log_comment": context.mark, **settings}
    if context.analyst is None:
        _prepare(session, settings, context.database, context.readonly)
        return
    _prepare(session, {**settings, "readonly": "1"}, context.database, True)
    current = _text(session, b"SELECT currentDatabase()", {}).strip()
    context.analyst.check(statement, context.parameters, current, partial(_text, session))


def _prepare(session: Connection, settings: Mapping[str, str], database: str | None, readonly: bool) -> None:
    if database:
        session.query(f"USE {quote(database, '`')}")
    # The engine's command line takes "SELEC" for an expression; a server answers with a syntax error.
    assignments = ["implicit_select = 0"]
    restriction = "2" if readonly else None
    for name, value in settings.items():
        if _NAME.fullmatch(name) is None:
            raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting {name!r}. (UNKNOWN_SETTING)")
        if name == "readonly":
            restriction = "2" if readonly and value != "1" else value
        else:
            assignments.append(f"{name} = {quote(value)}")
    session.query(f"SET {', '.join(assignments)}")
    if restriction is not None:  # Last: under readonly nothing else can be set.
        session.query(f"SET readonly = {quote(restriction)}")


def _text(session: Connection, sql: bytes, parameters: Mapping[str, str]) -> str:
    return str(session.query(sql, "TSVRaw", params=dict(parameters)).data())  # type: ignore[arg-type]


def quote(value: str, mark: str = "'") -> str:
    """A literal of SQL, or a name with backticks for ``mark``."""
    return mark + value.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark

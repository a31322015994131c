"""Read one SQL statement far enough to serve it: where an insert's data starts, which format it names, what to refuse.

Pure. The engine parses the SQL; this only walks its tokens, so that literals, comments and quoted names never count as
keywords. Text is bytes: an insert's data may be any bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple

from warehouse.embedded.errors import INTO_OUTFILE_NOT_ALLOWED, NOT_IMPLEMENTED, SYNTAX_ERROR, ClickHouseError

# Possessive (``++``, ``*+``): a long literal that never ends must fail at once, not after backtracking. What cannot
# matter is skipped in one match, tuples of literals included: an IN list may hold a million of them. ‘’ quote a
# literal and “” a name, without escapes; a comment in /* */ may hold others, so it is no business of a pattern.
# ``(?!)``, which never matches, is the last alternative because up to Python 3.11.4 a possessive repetition goes on
# where its last alternative has looked, instead of where it began.
_LINE_COMMENT: Final = rb"(?:--|//|\#[ !])[^\n]*+"
_TOKEN: Final = re.compile(
    rb"(?P<skip>(?:"
    + _LINE_COMMENT
    + rb"""
        |'(?:[^'\\]|\\(?s:.)|'')*+'
        |\xe2\x80\x98(?s:.*?)\xe2\x80\x99
        |\((?:[\s\d.,]|'(?:[^'\\]|\\(?s:.))*+' | (?!))*+\)
        |\$(?P<tag>\w*)\$(?s:.*?)\$(?P=tag)\$
        |[\s,+*=<>!?|%^~@&:\x80-\xe1\xe3-\xff]++ | \xe2(?!\x80[\x98\x9c])
        |\d\w*+ | -(?!-) | /(?![*/]) | \.(?!\s*[A-Za-z_`"\xe2])
        | (?!)
        )++)
    |(?P<name>\.\s*[A-Za-z_][\w$]*+
        |(?:\.\s*)?(?:`(?:[^`\\]|\\(?s:.)|``)*+`|"(?:[^"\\]|\\(?s:.)|"")*+"|\xe2\x80\x9c(?s:.*?)\xe2\x80\x9d))
    |(?P<word>[A-Za-z_][\w$]*+)
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<end>;)
    """,
    re.VERBOSE,
)
_BLOCK_COMMENT: Final = re.compile(rb"/\*|\*/")
_QUOTES: Final = (b"`", b'"', "”".encode())
_GAP: Final = re.compile(rb"[\s;]+|" + _LINE_COMMENT)
_CALL: Final = re.compile(rb"\s*\(")
_DATA_START: Final = re.compile(rb"[ \t\f]*\r?\n?")

_VERBS: Final = {
    **{word: word for word in ("SELECT", "INSERT", "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "OPTIMIZE", "SET")},
    **{word: word for word in ("SHOW", "EXISTS", "EXPLAIN", "USE", "SYSTEM", "KILL", "DELETE", "UPDATE", "BACKUP")},
    **{word: word for word in ("ATTACH", "DETACH", "EXCHANGE", "CHECK", "RESTORE", "DESCRIBE")},
    "WITH": "SELECT",
    "FROM": "SELECT",
    "DESC": "DESCRIBE",
}


class _Kind(Enum):
    WORD = "word"
    NAME = "name"
    OPEN = "open"
    CLOSE = "close"
    END = "end"


class _Token(NamedTuple):
    kind: _Kind
    text: bytes
    start: int
    end: int

    def is_word(self, *words: bytes) -> bool:
        return self.kind is _Kind.WORD and self.text.upper() in words


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. ``data`` is None unless it is an insert fed from the request; ``sql`` then stops before the data.

    ``format`` is what the FORMAT clause names (``Values`` for VALUES): the format of that data, else of the answer.
    ``settings_at`` is where an insert's SETTINGS clause starts in ``sql``, None when it has none; ``input_at`` is where
    the call of input() that reads the data starts, and where its arguments do.
    """

    sql: bytes
    format: str | None = None
    data: bytes | None = None
    settings_at: int | None = field(default=None, compare=False)
    input_at: tuple[int, int] | None = field(default=None, compare=False)


def parse(query: bytes, body: bytes = b"") -> Statement:
    """Read a statement given by URL (``query``), by body, or begun in the one and continued in the other.

    Raises ClickHouseError for an empty statement, for several at once, and for what must not reach the embedded engine:
    tables of queues, INTO OUTFILE, FROM INFILE.
    """
    if not query.strip():
        return _parse(body)
    if not body:
        return _parse(query)
    head = _parse(query + b"\n")
    if head.data is None:
        return _parse(query + b"\n" + body)
    return replace(head, data=head.data + body if head.data.strip() else body)


def verb(sql: bytes) -> str:
    """The kind of a statement by its first keyword: SELECT, INSERT, CREATE…, or OTHER."""
    tokens = _tokens(sql)
    first = next((token for token in tokens if token.kind is _Kind.WORD), None)
    if first is None:
        return "OTHER"
    if first.is_word(b"WITH"):
        depth = 0
        for token in tokens:
            depth += _depth(token)
            if depth == 0 and token.is_word(b"INSERT", b"SELECT"):
                return token.text.upper().decode()
    return _VERBS.get(first.text.upper().decode(errors="replace"), "OTHER")


def quoted_names(sql: bytes) -> list[bytes]:
    """The names that ``sql`` writes in backticks or double quotes, with their marks."""
    return [token.text for token in _tokens(sql) if token.kind is _Kind.NAME and token.text.endswith(_QUOTES)]


def _parse(text: bytes) -> Statement:
    if _is_blank(text):
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: Empty query. (SYNTAX_ERROR)")
    tokens = _tokens(text)
    first = next(tokens, None)
    if first is not None and first.is_word(b"INSERT"):
        return _insert(text, tokens)
    return _query(text, first, tokens)


def _tokens(text: bytes) -> Iterator[_Token]:
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            position = _block_comment_end(text, position)
            if position < 0:
                return
            continue
        group = match.lastgroup
        if group is not None and group != "skip":
            yield _Token(_Kind(group), match[0], match.start(), match.end())
        position = match.end()


def _block_comment_end(text: bytes, start: int) -> int:
    """Where the comment that starts there ends, -1 when there is none or it never does."""
    depth = 0
    if text.startswith(b"/*", start):
        for mark in _BLOCK_COMMENT.finditer(text, start):
            depth += 1 if mark[0] == b"/*" else -1
            if depth == 0:
                return mark.end()
    return -1


def _insert(text: bytes, tokens: Iterator[_Token]) -> Statement:
    """INSERT INTO [TABLE] [FUNCTION] target [(columns)] [SETTINGS …] VALUES … | FORMAT name … | SELECT ….

    A SELECT that reads input() is followed by FORMAT and data too.
    """
    depth = 0
    selects = False
    target_seen = False
    settings_at: int | None = None
    input_at: tuple[int, int] | None = None
    previous: _Token | None = None
    for token in tokens:
        depth += _depth(token)
        fed = depth == 0 and (not selects or input_at is not None)
        if not target_seen:  # The target may be called anything, "values" and "format" included.
            target_seen = depth == 0 and not token.is_word(b"INTO", b"TABLE", b"FUNCTION")
        elif token.is_word(b"SELECT"):
            selects = True
        elif selects and input_at is None and token.is_word(b"INPUT") and (call := _CALL.match(text, token.end)):
            input_at = token.start, call.end()
        elif token.is_word(b"INFILE") and previous is not None and previous.is_word(b"FROM"):
            raise ClickHouseError(
                NOT_IMPLEMENTED, "FROM INFILE reads files of the client: send the data as the body. (NOT_IMPLEMENTED)"
            )
        elif fed and not selects and token.is_word(b"VALUES"):
            return _with_data(text, token.start, token.end, "Values", settings_at)
        elif fed and previous is not None and previous.is_word(b"FORMAT") and token.kind is _Kind.WORD:
            fed_by = _with_data(text, previous.start, token.end, token.text.decode(), settings_at)
            return replace(fed_by, input_at=input_at)
        elif depth == 0 and settings_at is None and token.is_word(b"SETTINGS"):
            settings_at = token.start
        elif token.kind is _Kind.END:
            _refuse_more(text, token.end)
        previous = token
    if input_at is not None:  # The engine would take it and insert nothing, without an error.
        raise ClickHouseError(
            SYNTAX_ERROR, "Syntax error: FORMAT and the name of the data's format go after input(). (SYNTAX_ERROR)"
        )
    return Statement(text)


def _with_data(text: bytes, sql_end: int, clause_end: int, name: str, settings_at: int | None) -> Statement:
    start = _DATA_START.match(text, clause_end)
    return Statement(text[:sql_end], name, text[start.end() if start else clause_end :], settings_at)


def _query(text: bytes, first: _Token | None, tokens: Iterator[_Token]) -> Statement:
    depth = 0
    defines = False
    clause: list[_Token] = []  # FORMAT and what follows it, at depth 0
    name: str | None = None
    previous: _Token | None = None
    for token in _chain(first, tokens):
        depth += _depth(token)
        defines = defines or token.is_word(b"CREATE", b"ATTACH", b"REPLACE")
        if previous is not None and previous.is_word(b"ENGINE") and defines and _is_queue(token):
            raise ClickHouseError(
                NOT_IMPLEMENTED,
                "Tables of queues (Kafka, RabbitMQ, NATS) do not work in the embedded warehouse, and one would stop it "
                "from opening again: let the sink read Kafka, or use a ClickHouse server (LEADLINE_CLICKHOUSE_URL). "
                "(NOT_IMPLEMENTED)",
            )
        if token.is_word(b"OUTFILE") and previous is not None and previous.is_word(b"INTO"):
            raise ClickHouseError(
                INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed over HTTP. (INTO_OUTFILE_NOT_ALLOWED)"
            )
        if token.kind is _Kind.END:
            _refuse_more(text, token.end)
        if len(clause) == 2:
            if token.kind is _Kind.END or token.is_word(b"SETTINGS"):
                name = clause[1].text.decode()
            clause = []
        elif clause:
            clause = [clause[0], token] if token.kind is _Kind.WORD else []
        if not clause and depth == 0 and token.is_word(b"FORMAT"):
            clause = [token]
        previous = token
    if len(clause) == 2:
        name = clause[1].text.decode()
    return Statement(text, name)


def _chain(first: _Token | None, rest: Iterator[_Token]) -> Iterator[_Token]:
    if first is not None:
        yield first
        yield from rest


def _depth(token: _Token) -> int:
    return (token.kind is _Kind.OPEN) - (token.kind is _Kind.CLOSE)


def _is_queue(token: _Token) -> bool:
    """Whether an engine's name is a queue's; a name with escapes in it may be any, and no engine needs one."""
    name = token.text.strip('`"“”'.encode()).upper()
    return name in (b"KAFKA", b"RABBITMQ", b"NATS") or b"\\" in name or name == b"{"


def _is_blank(text: bytes, position: int = 0) -> bool:
    while position < len(text):
        gap = _GAP.match(text, position)
        position = gap.end() if gap else _block_comment_end(text, position)
        if position < 0:
            return False
    return True


def _refuse_more(text: bytes, position: int) -> None:
    if not _is_blank(text, position):
        raise ClickHouseError(SYNTAX_ERROR, "Syntax error: Multi-statements are not allowed. (SYNTAX_ERROR)")

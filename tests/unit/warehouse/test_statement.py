"""Reading statements: literals, comments and quoted names must never pass for keywords."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.embedded.errors import ClickHouseError
from warehouse.embedded.statement import Statement, parse, quoted_names, verb

# Text made to fool a tokenizer: keywords, quotes, comment marks and escapes in any order.
fragments = st.sampled_from(
    [
        "FORMAT",
        " JSON",
        "INSERT INTO",
        "VALUES",
        ";",
        "--",
        "/*",
        "*/",
        "'",
        '"',
        "`",
        "\\",
        "$$",
        "(",
        ")",
        "\n",
        "é",
        "a",
        " ",
    ]
)
tricky = st.lists(fragments, max_size=20).map("".join)


def quote(text: str, mark: str) -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("select 1 format Native;", "Native"),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "CSV"),
        ("SELECT 1 SETTINGS max_threads = 1 FORMAT CSV -- done", "CSV"),
        ("SHOW TABLES FORMAT TSV /* ; */ ; ", "TSV"),
        ("WITH x AS (SELECT 1 FORMAT CSV) SELECT 2", None),
        ("SELECT format FROM t", None),
        ("SELECT t.format JSON", None),
        ("SELECT a format", None),
        ("SELECT 'FORMAT JSON'", None),
        ("SELECT `FORMAT` JSON", None),
        ("SELECT 1 -- FORMAT JSON", None),
        ("SELECT 1 # FORMAT JSON", None),
        ("SELECT $tag$ ; FORMAT JSON $tag$", None),
        ("INSERT INTO t SELECT 1", None),
        ("INSERT INTO t (SELECT 1)", None),
        ("WITH 1 AS x INSERT INTO t SELECT x", None),
        ("INSERT INTO t", None),
    ],
)
def test_statement_without_data_keeps_its_text_and_names_its_format(query: str, name: str | None) -> None:
    assert parse(query.encode()) == Statement(query.encode(), name)


@pytest.mark.parametrize(
    ("query", "body", "sql", "name", "data"),
    [
        (b"INSERT INTO t VALUES (1)", b"", b"INSERT INTO t ", "Values", b"(1)"),
        (b"INSERT INTO t FORMAT CSV\n1\n", b"", b"INSERT INTO t ", "CSV", b"1\n"),
        (b"", b"insert into t format JSONEachRow {}", b"insert into t ", "JSONEachRow", b"{}"),
        (b"INSERT INTO t FORMAT CSV", b"1\n", b"INSERT INTO t ", "CSV", b"1\n"),
        (b"INSERT INTO t FORMAT CSV\n1\n", b"2\n", b"INSERT INTO t ", "CSV", b"1\n\n2\n"),
        (b"INSERT INTO t", b"FORMAT CSV\n1", b"INSERT INTO t\n", "CSV", b"1"),
        (b"INSERT INTO t (a, `format`) FORMAT Native\r\n\x00", b"", b"INSERT INTO t (a, `format`) ", "Native", b"\x00"),
        (b"INSERT INTO values VALUES (1)", b"", b"INSERT INTO values ", "Values", b"(1)"),
        (b"INSERT INTO TABLE db.format FORMAT TSV\n1", b"", b"INSERT INTO TABLE db.format ", "TSV", b"1"),
        (b"INSERT INTO {t:Identifier} FORMAT TSV\n1", b"", b"INSERT INTO {t:Identifier} ", "TSV", b"1"),
        (
            b"INSERT INTO FUNCTION null('a Int8') VALUES (1)",
            b"",
            b"INSERT INTO FUNCTION null('a Int8') ",
            "Values",
            b"(1)",
        ),
        (b"INSERT INTO t SETTINGS a='VALUES' FORMAT TSV", b"1", b"INSERT INTO t SETTINGS a='VALUES' ", "TSV", b"1"),
        (b"/* INSERT */ INSERT INTO t VALUES (';')", b"", b"/* INSERT */ INSERT INTO t ", "Values", b"(';')"),
    ],
)
def test_insert_is_split_from_its_data(query: bytes, body: bytes, sql: bytes, name: str, data: bytes) -> None:
    assert parse(query, body) == Statement(sql, name, data)


@given(st.binary())
def test_data_of_an_insert_is_taken_byte_for_byte(data: bytes) -> None:
    assert parse(b"INSERT INTO t FORMAT Native\n" + data).data == data
    assert parse(b"INSERT INTO t FORMAT Native", data).data == data


@given(tricky, tricky, tricky)
def test_literals_names_and_comments_never_fool_it(literal: str, name: str, comment: str) -> None:
    skipped = (
        f"{quote(literal, chr(39))}, {quote(name, '`')}, {quote(name, chr(34))} -- {comment.replace(chr(10), '')}\n"
    )
    select = f"SELECT {skipped} FORMAT Native".encode()
    assert parse(select) == Statement(select, "Native")
    insert = f"INSERT INTO {quote(name, '`')}.{quote(name, chr(34))} SETTINGS a = {quote(literal, chr(39))}".encode()
    assert parse(insert, b"FORMAT CSV\n;") == Statement(insert + b"\n", "CSV", b";")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        parse(text)
    except ClickHouseError as error:
        assert error.code in (48, 62, 358)  # noqa: PT017


@pytest.mark.parametrize(
    ("sql", "call"),
    [
        (b"INSERT INTO t SELECT a FROM input('a Int8') ", b"input("),
        (
            b"INSERT INTO t (a) SETTINGS x = 1 SELECT 'input(', a FROM INPUT ( 'a String, b UInt8') WHERE a ",
            b"INPUT (",
        ),
        (
            b"INSERT INTO input WITH x AS (SELECT * FROM input('a Int8')) SELECT input FROM x SETTINGS b = 2 ",
            b"input(",
        ),
        (b"INSERT INTO t (input) SELECT a FROM input() -- FORMAT CSV\n", b"input("),
    ],
)
def test_data_of_an_insert_that_selects_from_input(sql: bytes, call: bytes) -> None:
    for read in (parse(sql + b"FORMAT Avro\nObj\x01"), parse(sql + b"FORMAT Avro", b"Obj\x01")):
        assert (read.sql, read.format, read.data) == (sql, "Avro", b"Obj\x01")
        assert read.input_at is not None
        assert sql[slice(*read.input_at)] == call
        assert sql[read.input_at[1] :].lstrip()[:1] in (b"'", b")")


def test_a_select_that_reads_no_input_has_no_data() -> None:
    sql = b"INSERT INTO input (input) SELECT input FROM t FORMAT CSV"
    assert parse(sql) == Statement(sql)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b"", 62),
        (b" -- nothing\n;", 62),
        (b"SELECT 1; SELECT 2", 62),
        (b"SELECT 1; 'x'", 62),
        (b"INSERT INTO t SELECT 1; DROP TABLE t", 62),
        ("SELECT ‘'’; DROP TABLE t -- '".encode(), 62),
        ("SELECT “`” FROM t; DROP TABLE t -- `".encode(), 62),
        (b"SELECT 1 // '\n; DROP TABLE t -- '", 62),
        (b"SELECT 1 /* /* */ ' */ ; DROP TABLE t -- '", 62),
        ("CREATE TABLE k (a Int8) ENGINE = “Kafka”('h')".encode(), 48),
        (b"SELECT 1 INTO OUTFILE 'x' FORMAT CSV", 358),
        (b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", 48),
        (b"INSERT INTO t SELECT a FROM input('a Int8')", 62),
        (b"CREATE TABLE k (a Int8) ENGINE = Kafka SETTINGS kafka_topic_list = 't'", 48),
        (b"attach table k (a Int8) engine /* = */ `Kafka`('h')", 48),
        (b"DROP TABLE a PARALLEL WITH CREATE TABLE k (a Int8) ENGINE=Kafka('h')", 48),
    ],
)
def test_refuses(query: bytes, code: int) -> None:
    with pytest.raises(ClickHouseError) as refused:
        parse(query)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "query",
    [
        b"SELECT name FROM system.tables WHERE engine = 'Kafka'",
        b"SELECT create_table_query, engine Kafka FROM system.tables",
        b"CREATE TABLE kafka_offsets (engine String COMMENT 'Kafka') ENGINE = MergeTree ORDER BY engine",
        b"SELECT 1;",
        b"SELECT 1; -- done\n ;",
        b"SELECT 1; // done\n # done\n /* /* ; */ done ; */",
        "SELECT ‘; ’, “; ” — FROM t /* ‘ */ -- “".encode(),
    ],
)
def test_lets_pass(query: bytes) -> None:
    assert parse(query).sql == query


@pytest.mark.parametrize(
    "query", [b"SELECT '" + b"\\'" * 500_000, b"/* " * 200_000, b"SELECT " + b"(1,'a')," * 200_000 + b"1"]
)
def test_long_statements_take_linear_time(query: bytes) -> None:
    started = time.process_time()
    parse(query)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        (b"select 1", "SELECT"),
        (b"-- INSERT\n/* DROP */ WITH 1 AS a SELECT a", "SELECT"),
        (b"(SELECT 1) UNION ALL SELECT 2", "SELECT"),
        (b"INSERT INTO t SELECT 1", "INSERT"),
        (b"WITH x AS (SELECT 1 AS n) INSERT INTO t SELECT * FROM x", "INSERT"),
        (b"desc t", "DESCRIBE"),
        (b"+15550100", "OTHER"),
        (b"jane", "OTHER"),
        (b"", "OTHER"),
    ],
)
def test_verb_is_a_known_word_or_other(sql: bytes, kind: str) -> None:
    assert verb(sql) == kind


def test_quoted_names_are_not_literals() -> None:
    assert quoted_names(b"SELECT 'a\nb', `c`, t.\"d\" -- `e`") == [b"`c`", b'."d"']

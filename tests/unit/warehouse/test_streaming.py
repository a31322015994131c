"""Blocks of an answer, each a document of its own, become one document."""

from __future__ import annotations

import pytest

from warehouse.embedded.statement import Statement
from warehouse.embedded.streaming import Joint, streams


@pytest.mark.parametrize(
    ("name", "blocks", "whole"),
    [
        ("TSV", [b"1\n", b"2\n"], b"1\n2\n"),
        ("CSVWithNames", [b'"n"\n1\n', b'"n"\n2\n', b'"n"\n3\n'], b'"n"\n1\n2\n3\n'),
        ("TSVWithNamesAndTypes", [b"n\nUInt8\n1\n", b"n\nUInt8\n2\n"], b"n\nUInt8\n1\n2\n"),
        (
            "RowBinaryWithNamesAndTypes",
            [b"\x01\x01n\x05UInt8\x01", b"\x01\x01n\x05UInt8\x02"],
            b"\x01\x01n\x05UInt8\x01\x02",
        ),
    ],
)
def test_joint(name: str, blocks: list[bytes], whole: bytes) -> None:
    joint = Joint(name)
    assert b"".join(joint.add(block) for block in blocks) == whole


@pytest.mark.parametrize(
    ("sql", "name", "settings", "streamed"),
    [
        (b"SELECT 1", "TSV", {}, True),
        (b"SELECT 1", "JSON", {}, False),
        (b"SHOW TABLES", "TSV", {}, False),
        (b"SELECT n, count() FROM t GROUP BY n WITH TOTALS", "TSV", {}, False),
        (b"SELECT 1", "TSV", {"extremes": "1"}, False),
        (b"SELECT 1", "JSONEachRow", {"output_format_json_array_of_rows": "1"}, False),
        (b"SELECT 1 AS `a\nb`", "CSVWithNames", {}, False),
    ],
)
def test_what_can_be_streamed(sql: bytes, name: str, settings: dict[str, str], streamed: bool) -> None:
    assert streams(Statement(sql), name, settings) is streamed

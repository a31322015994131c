"""Lead files: every row comes out once, good or bad, in constant memory."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.inbound.lead_file import (
    MAX_ROW_BYTES,
    BadRow,
    Form,
    LeadFileError,
    LeadRow,
    Row,
    guess_form,
    read_leads,
)

ID = "8c7e6d5f-0b1a-4c2d-9e3f-5a6b7c8d9e0f"


def rows(content: bytes | str, form: Form, name: str = "leads") -> list[Row]:
    raw = content.encode() if isinstance(content, str) else content
    return list(read_leads(io.BytesIO(raw), name=name, form=form))


def good(row: Row) -> dict[str, Any]:
    assert isinstance(row, LeadRow), row
    fields = json.loads(row.value)
    assert fields["lead_id"] == row.lead_id == str(UUID(row.lead_id))
    return fields


def bad(row: Row) -> tuple[int, str]:
    assert isinstance(row, BadRow), row
    return row.line, row.reason


@pytest.mark.parametrize(
    ("name", "form"), [("a.jsonl", "jsonl"), ("A.NDJSON", "jsonl"), ("dir.d/leads.csv", "csv"), ("x.CSV", "csv")]
)
def test_the_name_tells_the_form(name: str, form: str) -> None:
    assert guess_form(name) == form


@pytest.mark.parametrize("name", ["leads", "leads.json", "leads.xlsx", "-"])
def test_a_name_that_does_not_tell_says_what_to_pass(name: str) -> None:
    with pytest.raises(LeadFileError, match="--form"):
        guess_form(name)


def test_json_lines() -> None:
    content = (
        b'\xef\xbb\xbf{"zip":"30305"}\r\n\n   \n' + f'{{"lead_id":"{ID.upper()}","n":12345678901234567890}}'.encode()
    )
    first, second = rows(content, "jsonl")
    assert good(first)["zip"] == "30305"
    assert good(second) == {"lead_id": ID, "n": 12345678901234567890}
    assert (first.line, second.line) == (1, 4)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]", "not a JSON object"),
        (b'"secret-555"', "not a JSON object"),
        (b'{"phone":"secret-555"', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"name":"Jos\xe9"}', "not UTF-8 at byte 13"),
        (b'{"lead_id":"secret-555"}', "lead_id is no UUID"),
        (b'{"lead_id":"{8c7e6d5f-0b1a-4c2d-9e3f-5a6b7c8d9e0f}"}', "lead_id is no UUID"),
        (b'{"lead_id":5}', "lead_id is no UUID"),
        (b'{"a":"\\ud800"}', "lone surrogate"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "too long"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a":"' + b"x" * MAX_ROW_BYTES + b'"}', "longer than"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_a_bad_line_is_reported_between_good_ones(line: bytes, reason: str) -> None:
    before, row, after = rows(b'{"a":1}\n' + line + b'\n{"a":2}\n', "jsonl")
    assert (good(before)["a"], good(after)["a"]) == (1, 2)
    number, told = bad(row)
    assert number == 2
    assert reason in told
    assert "secret" not in told
    assert isinstance(row, BadRow)
    assert row.raw == line[:MAX_ROW_BYTES]
    assert after.line == 3


def test_csv_by_rfc_4180() -> None:
    content = (
        "\ufeffFirst Name,lastName,ZIP,Sub-ID 1\r\n"
        'José,"O""Neil, Jr.",02134,\r\n'
        "\r\n"
        '"two\r\nlines",x,1,2\r\n'
        "only,three,columns\r\n"
        "after,it,all,works\r\n"
    )
    first, second, third, fourth = rows(content, "csv")
    fields = good(first)
    del fields["lead_id"]
    assert fields == {"first_name": "José", "last_name": 'O"Neil, Jr.', "zip": "02134", "sub_id_1": ""}
    assert good(second)["first_name"] == "two\r\nlines"
    assert bad(third) == (6, "3 columns where the header has 4")
    assert good(fourth)["first_name"] == "after"
    assert [row.line for row in (first, second, third, fourth)] == [2, 4, 6, 7]


def test_csv_rows_that_cannot_be_read() -> None:
    content = b'lead_id,name\n,Jos\xe9\nno-uuid,x\n,"a"b\n' + ID.upper().encode() + b',ok\n,"never closed\n,x\n'
    not_utf8, no_uuid, stray_quote, fine, unclosed = rows(content, "csv")
    assert bad(not_utf8) == (2, "not UTF-8")
    assert "lead_id is no UUID" in bad(no_uuid)[1]
    assert bad(stray_quote)[0] == 4
    assert good(fine) == {"lead_id": ID, "name": "ok"}
    assert bad(unclosed) == (6, "unexpected end of data")
    assert isinstance(not_utf8, BadRow)
    assert not_utf8.raw == b",Jos\xe9"


def test_an_overlong_csv_row_costs_only_itself() -> None:
    long_line = ",".join(["x" * 100_000] * 11)
    overlong, fine = rows(f"a,b\n{long_line}\n1,2\n", "csv")
    assert "longer than" in bad(overlong)[1]
    assert (good(fine)["b"], fine.line) == ("2", 3)


def test_a_quote_that_is_never_closed_does_not_swallow_the_file() -> None:
    torn, *others = rows('a,b\n1,"oops\n' + "3,4\n" * 100_000, "csv")
    assert bad(torn) == (2, "field larger than field limit (131072)")
    assert len(others) > 60_000
    assert all(good(row)["b"] == "4" for row in others)


@pytest.mark.parametrize(
    ("header", "message"),
    [("a,,b", "column 2"), ("a,A", "two columns 'a'"), (b"\xff,b", "not UTF-8"), ('"a', "header")],
)
def test_an_unusable_csv_header_says_what_to_do(header: str | bytes, message: str) -> None:
    with pytest.raises(LeadFileError, match=message):
        rows((header.encode() if isinstance(header, str) else header) + b"\n1,2\n", "csv")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_empty_file_has_no_rows(form: Form) -> None:
    assert rows(b"", form) == rows(b"\xef\xbb\xbf", form) == rows(b"\n\n", form) == []


@pytest.mark.parametrize(("form", "content"), [("jsonl", '{"a":1}\n{"a":1}\n{"a":2}'), ("csv", "a\n1\n1\n2")])
def test_a_file_sent_twice_is_the_same_leads(form: Form, content: str) -> None:
    once = rows(content, form)
    assert rows(content, form) == once
    assert rows(content.replace("\n", "\r\n"), form) == once
    assert len({good(row)["lead_id"] for row in once}) == 3
    assert {good(row)["lead_id"] for row in rows(content, form, "other")}.isdisjoint(
        good(row)["lead_id"] for row in once
    )


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.dictionaries(texts.filter(lambda name: name != "lead_id"), texts | st.integers() | st.none())))
def test_json_lines_carry_every_field(leads: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(lead) + "\n" for lead in leads)
    read = [good(row) for row in rows(content, "jsonl")]
    assert [{k: v for k, v in lead.items() if k != "lead_id"} for lead in read] == leads


@given(st.lists(st.tuples(texts, texts)))
def test_csv_carries_every_value(leads: list[tuple[str, str]]) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("one", "two"), *leads])
    read = [good(row) for row in rows(file.getvalue(), "csv")]
    assert [(lead["one"], lead["two"]) for lead in read] == leads


@given(st.binary(max_size=300), st.sampled_from(["jsonl", "csv"]))
def test_no_bytes_crash_it(content: bytes, form: Form) -> None:
    try:
        result = rows(b"a,b\n" + content, form)
    except LeadFileError:
        return
    assert [row.line for row in result] == sorted({row.line for row in result})


class _Endless(io.RawIOBase):
    """40 MB without a line end."""

    left = 40

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.left == 0:
            return 0
        self.left -= 1
        view = memoryview(buffer)
        view[:] = b'"' + b"x" * (len(view) - 1)
        return len(view)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_memory_stays_bounded(form: Form) -> None:
    tracemalloc.start()
    try:
        stream = io.BufferedReader(_Endless(), buffer_size=1_000_000)
        if form == "csv":
            with pytest.raises(LeadFileError, match="longer than"):
                list(read_leads(stream, name="x", form=form))
        else:
            assert len(list(read_leads(stream, name="x", form=form))) == 1
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()

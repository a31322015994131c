"""Bodies of forms: every byte of a part's data, and nothing of what stands around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from warehouse.embedded.errors import ClickHouseError
from warehouse.embedded.external import ExternalTable
from warehouse.embedded.multipart import Part, is_form, parts

BOUNDARY = "x-7"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
# Made to be taken for the end of a part.
pieces = st.sampled_from([b"\r\n", b"--", BOUNDARY.encode()[:2], b"\r\n--x", b"\r\n\r\n", b"\n", b"\0", b"a"])
tricky = st.lists(pieces, max_size=12).map(b"".join).filter(lambda data: f"--{BOUNDARY}".encode() not in data)


def read(body: bytes, content_type: str = TYPE) -> list[tuple[str, str | None, bytes]]:
    return [(part.name, part.filename, bytes(part.data)) for part in parts(body, content_type)]


@given(st.lists(st.tuples(st.sampled_from(["query", "param_a", "é"]), st.none() | st.just("t.csv"), tricky)))
def test_parts_come_back_byte_for_byte(sent: list[tuple[str, str | None, bytes]]) -> None:
    files = [(name, data if filename is None else (filename, data)) for name, filename, data in sent]
    body, content_type = encode_multipart_formdata(files, BOUNDARY)
    assert read(body, content_type) == sent


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for text in (body, b"--x-7\r\n" + body, b"--x-7\r\nContent-Disposition: form-data; name=a\r\n\r\n" + body):
        try:
            read(text)
        except ClickHouseError as error:
            assert error.code == 117  # noqa: PT017


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x-7",
        b"--x-7\r\n\r\n",
        b"--x-7\r\nContent-Disposition: form-data\r\n\r\nb\r\n--x-7--",
        b"--x-7\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x-7",
        b"--x-7\r\nContent-Disposition: form-data; name=a\r\n\r\nb",
        b"--x-7\r\nX: " + b"a" * 20_000 + b"\r\n\r\nb\r\n--x-7--",
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ClickHouseError) as refused:
        read(body)
    assert refused.value.code == 117


def test_a_preamble_an_empty_part_and_an_empty_filename() -> None:
    body = (
        b'hello\r\n--x-7\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n--x-7\r\n'
        b'content-disposition: form-data; name=b; filename=""\r\nContent-Type: x\r\n\r\n1\r\n--x-7--\r\nbye'
    )
    assert read(body) == [("a", None, b""), ("b", "", b"1")]


def test_what_is_a_form() -> None:
    assert is_form("Multipart/Form-Data; boundary=a")
    assert not is_form("multipart/mixed; boundary=a")
    with pytest.raises(ClickHouseError):
        read(b"--\r\n", "multipart/form-data")


@pytest.mark.parametrize(
    ("types", "structure"),
    [
        ("String", "_1 String"),
        ("String,UInt16, String", "_1 String, _2 UInt16, _3 String"),
        ("Decimal(9, 2),Enum8('a,)'=1,'\\'('=2)", "_1 Decimal(9, 2), _2 Enum8('a,)'=1,'\\'('=2)"),
        (
            "Array(Tuple(a UInt8, b Map(String, String))), Date",
            "_1 Array(Tuple(a UInt8, b Map(String, String))), _2 Date",
        ),
    ],
)
def test_types_without_names(types: str, structure: str) -> None:
    table = ExternalTable.read(Part("t", "t", memoryview(b"")), {"t_types": types})
    assert (table.structure, table.format) == (structure, "TabSeparated")


def test_a_table_without_columns_is_refused() -> None:
    with pytest.raises(ClickHouseError) as refused:
        ExternalTable.read(Part("t", "t", memoryview(b"")), {"t_format": "CSV", "u_types": "String"})
    assert refused.value.code == 36

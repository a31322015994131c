"""multipart/form-data bodies, as ClickHouse's HTTP interface takes them: form fields, and files of external data.

Pure. Over a whole body at once: the data of a part is a view of it, never a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Final

from warehouse.embedded.errors import INCORRECT_DATA, ClickHouseError

AT_MOST_PARTS: Final = 10_000
_LONGEST_HEADERS_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form: a file when it has a ``filename``, which may be empty, else a field."""

    name: str
    filename: str | None
    data: memoryview


def is_form(content_type: str) -> bool:
    """Whether a Content-Type says multipart/form-data."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def parts(body: bytes, content_type: str) -> Iterator[Part]:
    """The parts of a form in their order. Raises ClickHouseError 117 for a body that is no form or ends early."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise _broken("its Content-Type has no boundary")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    whole = memoryview(body)
    # The first delimiter may stand at the very start, where no end of line is before it.
    position = len(delimiter) - 2 if body.startswith(delimiter[2:]) else _after(body, delimiter, 0)
    for _ in range(AT_MOST_PARTS):
        if body.startswith(b"--", position):
            return
        start = _after(body, b"\r\n", position) - 2  # So that headers that are empty end at once.
        data = _after(body, b"\r\n\r\n", start)
        if data - start > _LONGEST_HEADERS_BYTES:
            raise _broken("a part's headers are too long")
        end = _after(body, delimiter, data - 2) - len(delimiter)
        yield _part(body[start + 2 : data], whole[data : max(end, data)])
        position = end + len(delimiter)
    raise _broken(f"it has more than {AT_MOST_PARTS} parts")


def _part(headers: bytes, data: memoryview) -> Part:
    disposition = HeaderParser().parsestr(headers.decode(errors="replace"))
    name = disposition.get_param("name", header="Content-Disposition")
    if not isinstance(name, str) or not name:
        raise _broken("a part has no name")
    return Part(name, disposition.get_filename(), data)


def _after(body: bytes, mark: bytes, position: int) -> int:
    found = body.find(mark, position)
    if found < 0:
        raise _broken("it ends early")
    return found + len(mark)


def _broken(reason: str) -> ClickHouseError:
    return ClickHouseError(INCORRECT_DATA, f"The body is not valid multipart/form-data: {reason}. (INCORRECT_DATA)")

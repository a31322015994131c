"""What the engine raises becomes one code, one message and ClickHouse's HTTP status."""

from __future__ import annotations

import pytest

from warehouse.embedded.errors import ClickHouseError


@pytest.mark.parametrize(
    ("raised", "code", "status", "text"),
    [
        ("Code: 60. DB::Exception: No t. (UNKNOWN_TABLE)", 60, 404, "Code: 60. DB::Exception: No t. (UNKNOWN_TABLE)"),
        (
            "Streaming insert finish failed: Code: 27. DB::Exception: bad row. (CANNOT_PARSE) (version 26.9.2.1)",
            27,
            400,
            "Code: 27. DB::Exception: bad row. (CANNOT_PARSE)",
        ),
        (
            "Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format N. (UNKNOWN_FORMAT) (version 26.9.2.1). "
            "(UNKNOWN_FORMAT) (version 26.9.2.1). (UNKNOWN_FORMAT)",
            73,
            404,
            "Code: 73. DB::Exception: Unknown format N. (UNKNOWN_FORMAT)",
        ),
        ("Code: 164. DB::Exception: no. (READONLY)", 164, 500, "Code: 164. DB::Exception: no. (READONLY)"),
        ("another statement is active", 1002, 500, "Code: 1002. DB::Exception: another statement is active"),
    ],
)
def test_engine_error(raised: str, code: int, status: int, text: str) -> None:
    error = ClickHouseError.from_engine(raised)
    assert (error.code, error.http_status, str(error)) == (code, status, text)

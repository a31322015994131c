"""What an insert's failure means."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError, ProgrammingError

from warehouse.sinking.failures import Failure, failure_of


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OperationalError("connection refused"), Failure.TRANSIENT),
        (DatabaseError("502 of a proxy"), Failure.TRANSIENT),
        (ProgrammingError("wrong columns"), Failure.FATAL),
        (DatabaseError("memory", code=241), Failure.TRANSIENT),
        (DatabaseError("too many parts", code=252), Failure.TRANSIENT),
        (DatabaseError("no such column", code=16), Failure.SCHEMA),
        (DatabaseError("constraint", code=469), Failure.POISON),
        (DatabaseError("no Avro of its schema", code=748), Failure.POISON),
        (DataError("cannot make a column"), Failure.POISON),
        (OverflowError("too big"), Failure.POISON),
        (TypeError("no number"), Failure.POISON),
        (DatabaseError("unknown table", code=60), Failure.FATAL),
        (DatabaseError("access denied", code=497), Failure.FATAL),
        (DatabaseError("a code that nobody knows", code=99_999), Failure.FATAL),
        (MemoryError(), Failure.FATAL),
    ],
    ids=lambda value: str(value),
)
def test_every_class(error: BaseException, failure: Failure) -> None:
    assert failure_of(error) is failure

"""What an insert's failure means, decided in one place."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from clickhouse_connect.driver.exceptions import DataError, Error, NotSupportedError, ProgrammingError


class Failure(StrEnum):
    """What is to be done about it."""

    TRANSIENT = "transient"
    """Try again, for as long as it takes."""
    SCHEMA = "schema"
    """Try once more, since a migration may be under way; then stop."""
    POISON = "poison"
    """A row is refused for what it holds: find it, and insert what says so in its place."""
    FATAL = "fatal"
    """Stop, and commit nothing."""


_CODES: Final[dict[int, Failure]] = {
    **dict.fromkeys(
        # Timeouts, networks, memory, too many of something, read-only for a while, Keeper away, the unknown (1002).
        (3, 159, 164, 202, 203, 209, 210, 241, 242, 243, 252, 279, 285, 319, 425, 439, 999, 1002),
        Failure.TRANSIENT,
    ),
    **dict.fromkeys((7, 8, 10, 16, 20, 33, 47, 53, 122), Failure.SCHEMA),
    **dict.fromkeys(
        (6, 25, 26, 27, 38, 41, 69, 70, 72, 117, 131, 190, 321, 349, 376, 395, 407, 441, 467, 469, 691, 748),
        Failure.POISON,
    ),
}


def failure_of(error: BaseException) -> Failure:
    """Classify what the driver has raised. A code that is not known stops the sink: rows are never dropped for it."""
    if not isinstance(error, Error):
        # The rows could not be written as Avro.
        return (
            Failure.POISON
            if isinstance(error, (ValueError, TypeError, ArithmeticError, LookupError))
            else Failure.FATAL
        )
    code = getattr(error, "code", None)
    if code is not None:
        return _CODES.get(code, Failure.FATAL)
    if isinstance(error, DataError):
        return Failure.POISON
    # Without a code ClickHouse did not answer itself: the network, or a proxy on the way.
    return Failure.FATAL if isinstance(error, (ProgrammingError, NotSupportedError)) else Failure.TRANSIENT

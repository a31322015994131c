"""ClickHouse's errors: their numeric codes, and the HTTP status ClickHouse answers each with."""

from __future__ import annotations

import re
from typing import Final

BAD_ARGUMENTS: Final = 36
NOT_IMPLEMENTED: Final = 48
SYNTAX_ERROR: Final = 62
UNKNOWN_SETTING: Final = 115
INCORRECT_DATA: Final = 117
READONLY: Final = 164
REQUIRED_PASSWORD: Final = 194
TOO_MANY_SIMULTANEOUS_QUERIES: Final = 202
SOCKET_TIMEOUT: Final = 209
QUERY_IS_TOO_LARGE: Final = 229
INTO_OUTFILE_NOT_ALLOWED: Final = 358
ACCESS_DENIED: Final = 497
SESSION_NOT_FOUND: Final = 372
SESSION_IS_LOCKED: Final = 373
INVALID_SESSION_TIMEOUT: Final = 374
QUERY_WAS_CANCELLED: Final = 394
CANNOT_SCHEDULE_TASK: Final = 439
AUTHENTICATION_FAILED: Final = 516
UNSUPPORTED_MEDIA_TYPE: Final = 779
UNKNOWN_EXCEPTION: Final = 1002

# The classes ClickHouse's own HTTP handler makes of its codes; everything else is a 500.
_STATUS: Final[dict[int, int]] = {
    **dict.fromkeys(
        (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
        400,
    ),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((76, 209, 439), 503),
    194: 401,
    159: 408,
    381: 411,
    229: 413,
    779: 415,
    48: 501,
}

_CODE = re.compile(r"Code: (\d+)\. ")
_PREFIX = re.compile(r"(?:Code: \d+\. DB::Exception: )+")
_VERSION = re.compile(r" \(version [\d.]+[^)]*\)\.?")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")


class ClickHouseError(Exception):
    """A statement failed; ``code`` is ClickHouse's error code, ``message`` its text without the ``Code: N.`` prefix."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status ClickHouse's HTTP handler answers this code with: 4xx for the caller's mistakes, else 5xx."""
        return _STATUS.get(self.code, 500)

    @classmethod
    def from_engine(cls, text: str) -> ClickHouseError:
        """Read what the engine raised: ``[…] Code: N. DB::Exception: message (NAME)``.

        Each layer of the engine wraps the error, repeating code, name and version: one of each is kept.
        """
        found = _CODE.search(text)
        if found is None:
            return cls(UNKNOWN_EXCEPTION, text.strip() or "the engine gave no reason")
        message = _VERSION.sub("", _PREFIX.sub("", text[found.start() :]))
        names = _NAME.findall(message)
        if names:
            suffix = f"({names[-1]})"
            while message.rstrip(" .").endswith(suffix):
                message = message.rstrip(" .").removesuffix(suffix)
            message = f"{message.rstrip(' .')}. {suffix}"
        return cls(int(found[1]), message.strip())

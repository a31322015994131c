"""Native blocks framed as in the TCP protocol, for HTTP clients that send ``client_protocol_version`` (clickhouse-go).

Pure. Plain Native over HTTP has no BlockInfo; those clients expect one before every block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

# Said to the client in the hello: the newest revision whose blocks are BlockInfo + what plain Native holds.
PROTOCOL_REVISION: Final = 54405
# From here on, a block also says per column whether its serialization is custom.
_CUSTOM_SERIALIZATION_REVISION: Final = 54454
# Field 1 is_overflows = 0, field 2 bucket_num = -1, end.
_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def frame(blocks: Iterable[bytes]) -> bytes:
    """Put a BlockInfo before each Native block; an answer without rows may have none."""
    return b"".join(_BLOCK_INFO + block for block in blocks if block)


def hello(client_revision: int, name: str, version: str, timezone: str) -> bytes:
    """The answer to ``SELECT displayName(), version(), revision(), timezone()``, which settles the protocol."""
    columns = (
        ("displayName()", "String", _string(name)),
        ("version()", "String", _string(version)),
        ("revision()", "UInt32", struct.pack("<I", PROTOCOL_REVISION)),
        ("timezone()", "String", _string(timezone)),
    )
    custom = b"\x00" if client_revision >= _CUSTOM_SERIALIZATION_REVISION else b""
    body = b"".join(_string(column) + _string(kind) + custom + value for column, kind, value in columns)
    return frame([bytes([len(columns), 1]) + body])


def _string(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    prefix = bytearray()
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + data

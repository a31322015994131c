"""Records as one Avro file that ClickHouse decodes: their values go in as they are, without being read here.

Avro writes a record as its fields one after the other, and an array of one as a count, the element and an end. So the
file's rows have a *slot* for every schema, an array with one element or none, and a record's Avro body is the element
of its slot: all that has to be written is what stands before and behind it.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import fastavro

MAGIC: Final = b"Obj\x01"
# Ends the header and each block; any 16 bytes, and the same always, so that the same records make the same file.
SYNC: Final = b"leadline-records"
ABSENT: Final = b"\x00"
"""An empty array."""
_ONE: Final = b"\x02"
_MARK: Final = struct.Struct("<BQ")
_MARKED: Final = 0xA5

Schema = dict[str, Any]
Row = tuple[int, int, int, str, bytes]
"""A record's partition, offset and replay number, the name of its slot, and its Avro body."""


class AvroFile:
    """Files whose rows are ``(_partition, _mark, _run, one array a slot, _end)``.

    ``_mark`` and ``_end`` are both a byte that is not zero and the record's offset, lowest byte first: a body that is
    not what its schema says shifts what comes after it, and then the two differ. A shift that reached a file's end
    would be told by the Avro block's own end.
    """

    def __init__(self, slots: Sequence[tuple[str, Schema]]) -> None:
        fields: list[Schema] = [
            {"name": "_partition", "type": "long"},
            {"name": "_mark", "type": {"type": "fixed", "name": "Mark", "size": _MARK.size}},
            {"name": "_run", "type": "long"},
            *({"name": name, "type": {"type": "array", "items": _within(name, schema)}} for name, schema in slots),
            {"name": "_end", "type": "Mark"},
        ]
        types = ", ".join(f"{name} Array({clickhouse_type(schema)})" for name, schema in slots)
        mark = f"FixedString({_MARK.size})"
        self.structure: Final = f"_partition Int64, _mark {mark}, _run Int64, {types}, _end {mark}"
        """The rows' columns, as ``input()`` wants them."""
        self._around = {name: (ABSENT * at + _ONE, ABSENT * (len(slots) - at)) for at, (name, _) in enumerate(slots)}
        header = io.BytesIO()
        header.write(MAGIC)
        schema = {"type": "record", "name": "Row", "fields": fields}
        metadata = {"avro.schema": json.dumps(schema).encode(), "avro.codec": b"null"}
        fastavro.schemaless_writer(header, {"type": "map", "values": "bytes"}, metadata)
        header.write(SYNC)
        self._header = header.getvalue()

    def of(self, rows: Iterable[Row]) -> bytes:
        """The file of rows, at least one."""
        around, pack = self._around, _MARK.pack
        parts: list[bytes] = []
        count = 0
        for partition, offset, run, slot, body in rows:
            before, behind = around[slot]
            mark = pack(_MARKED, offset)
            parts += (long(partition), mark, long(run), before, body, behind, mark)
            count += 1
        size = sum(map(len, parts))
        return b"".join((self._header, long(count), long(size), *parts, SYNC))


def long(number: int) -> bytes:
    """An Avro long: zigzag, seven bits a byte.

    >>> long(0), long(-1), long(64)
    (b'\\x00', b'\\x01', b'\\x80\\x01')
    """
    if 0 <= number < 64:  # nearly every one
        return _LONGS[number]
    return _long(number)


def text(value: str) -> bytes:
    """An Avro string.

    >>> text("ü")
    b'\\x04\\xc3\\xbc'
    """
    written = value.encode()
    return long(len(written)) + written


def _long(number: int) -> bytes:
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    written = bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)


_LONGS: Final = tuple(_long(number) for number in range(64))


def _within(namespace: str, schema: Any) -> Any:
    """The schema with its names in a namespace of its own: an event's part may be another event's too."""
    if isinstance(schema, list):
        return [_within(namespace, branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: value if key == "name" else _within(namespace, value) for key, value in schema.items()}
    made.pop("default", None)
    return made | {"namespace": namespace} if schema.get("type") == "record" else made


def clickhouse_type(schema: Any, known: dict[str, str] | None = None) -> str:
    """ClickHouse's type of an Avro schema. ``known`` are the records that were defined before, by name.

    >>> clickhouse_type({"type": "array", "items": ["null", "long"]})
    'Array(Nullable(Int64))'
    """
    known = {} if known is None else known
    if isinstance(schema, str):
        return known[schema] if schema in known else _PRIMITIVES[schema]
    if isinstance(schema, list):
        (branch,) = (one for one in schema if one != "null")
        return f"Nullable({clickhouse_type(branch, known)})"
    match schema:
        case {"logicalType": "uuid"}:
            return "UUID"
        case {"logicalType": "timestamp-millis"}:
            return "DateTime64(3, 'UTC')"
        case {"logicalType": "decimal"}:
            return f"Decimal({schema['precision']}, {schema['scale']})"
        case {"type": "array"}:
            return f"Array({clickhouse_type(schema['items'], known)})"
        case {"type": "map"}:
            return f"Map(String, {clickhouse_type(schema['values'], known)})"
        case {"type": "record"}:
            fields = ", ".join(
                f"`{field['name']}` {clickhouse_type(field['type'], known)}" for field in schema["fields"]
            )
            known[schema["name"]] = f"Tuple({fields})"
            return known[schema["name"]]
    return clickhouse_type(schema["type"], known)


_PRIMITIVES: Final = {
    "string": "String",
    "bytes": "String",
    "long": "Int64",
    "double": "Float64",
    "boolean": "Bool",
}

"""Bodies as they travel: HTTP content encodings, and ClickHouse's own compressed blocks (``compress=1``).

Pure. Every decoder takes a limit on the decoded size and raises ClickHouseError: 413 beyond it, 400 for broken data,
415 for an encoding that is not spoken here.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from typing import Final, Protocol

import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from warehouse.embedded.errors import INCORRECT_DATA, QUERY_IS_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, ClickHouseError


class _Frame(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, /) -> bytes: ...


# Fastest first: the server speaks to loopback, where compression only costs time.
ENCODINGS: Final = ("lz4", "zstd", "gzip")

_BLOCK_BYTES: Final = 1 << 20
_CHECKSUM: Final = struct.Struct("<QQ")
_HEADER: Final = struct.Struct("<BII")  # method, size of header and payload, size once decompressed
_LZ4, _ZSTD, _PLAIN = 0x82, 0x90, 0x02

# One decompressor per frame: a body may hold several, and one that ends early is an error and not a smaller body.
_FRAMES: Final[dict[str, Callable[[], _Frame]]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "gzip": lambda: zlib.decompressobj(wbits=31),
}
# Small, because a decompressor gives all of a piece at once: the limit may be passed by one piece's worth.
_PIECE_BYTES: Final = 4096


def too_large(limit: int) -> ClickHouseError:
    """The error for a body of more than ``limit`` bytes."""
    return ClickHouseError(
        QUERY_IS_TOO_LARGE,
        f"The body is larger than {limit} bytes: send smaller batches, or raise --max-body-bytes. (QUERY_IS_TOO_LARGE)",
    )


def decode(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding (gzip, zstd or lz4; one frame or several, one after the other)."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    new_frame = _FRAMES.get(encoding)
    if new_frame is None:
        raise ClickHouseError(
            UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {encoding!r} is not supported: use {', '.join(ENCODINGS)}. (UNSUPPORTED_MEDIA_TYPE)",
        )
    decoded = bytearray()
    position = 0
    try:
        while position < len(body):
            frame = new_frame()
            while not frame.eof:
                if position >= len(body):
                    raise EOFError("it ends early")
                piece = body[position : position + _PIECE_BYTES]
                decoded += frame.decompress(piece)
                if len(decoded) > limit:
                    raise too_large(limit)
                position += len(piece)
            position -= len(frame.unused_data or b"")
    except (EOFError, RuntimeError, zlib.error, zstandard.ZstdError) as error:
        raise ClickHouseError(INCORRECT_DATA, f"The body is not valid {encoding}: {error}. (INCORRECT_DATA)") from error
    return bytes(decoded)


def encode(body: bytes, encoding: str) -> bytes:
    """Apply one of ENCODINGS, at its fastest level."""
    if encoding == "lz4":
        return bytes(lz4.frame.compress(body))
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(body)
    return gzip.compress(body, 1, mtime=0)


class Packer:
    """Packs a body that comes in pieces: as ClickHouse's blocks (``blocks``), then in one of ENCODINGS or none ("")."""

    def __init__(self, *, blocks: bool, encoding: str) -> None:
        self._blocks = blocks
        self._pack: Callable[[bytes], bytes] = bytes
        self._flush: Callable[[], bytes] = bytes
        self._start = b""
        if encoding == "lz4":
            frame = lz4.frame.LZ4FrameCompressor()
            self._start = bytes(frame.begin())
            self._pack, self._flush = frame.compress, frame.flush
        elif encoding == "zstd":
            stream = zstandard.ZstdCompressor(level=1).compressobj()
            self._pack, self._flush = stream.compress, stream.flush
        elif encoding:
            deflate = zlib.compressobj(1, wbits=31)
            self._pack, self._flush = deflate.compress, deflate.flush

    def add(self, piece: bytes) -> bytes:
        """The piece packed, or what of it is ready."""
        start, self._start = self._start, b""
        return start + self._pack(encode_blocks(piece) if self._blocks else piece)

    def finish(self) -> bytes:
        """The end of the body."""
        return self._flush()


def choose(accept_encoding: str) -> str | None:
    """The encoding for an Accept-Encoding header, or None for plain bytes."""
    accepted = set()
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0"):
            accepted.add(name.strip())
    return next((encoding for encoding in ENCODINGS if encoding in accepted), None)


def encode_blocks(body: bytes) -> bytes:
    """ClickHouse's compressed blocks: CityHash128, a 9-byte header and LZ4 data for each MiB."""
    blocks = bytearray()
    for start in range(0, len(body), _BLOCK_BYTES):
        plain = body[start : start + _BLOCK_BYTES]
        packed = lz4.block.compress(plain, store_size=False)
        block = _HEADER.pack(_LZ4, len(packed) + _HEADER.size, len(plain)) + packed
        blocks += _checksum(block) + block
    return bytes(blocks)


def decode_blocks(body: bytes, limit: int) -> bytes:
    """Undo `encode_blocks`, whoever made the blocks (LZ4, ZSTD or stored), checking every checksum."""
    decoded = bytearray()
    position = 0
    while position < len(body):
        start = position + _CHECKSUM.size
        if start + _HEADER.size > len(body):
            raise _broken("a block is cut short")
        method, size, plain_size = _HEADER.unpack_from(body, start)
        position = start + size
        if size < _HEADER.size or position > len(body):
            raise _broken("a block is cut short")
        if len(decoded) + plain_size > limit:
            raise too_large(limit)
        block = body[start:position]
        if _checksum(block) != body[start - _CHECKSUM.size : start]:
            raise _broken("a block's checksum does not match its data")
        plain = _decode_block(method, block[_HEADER.size :], plain_size)
        if len(plain) != plain_size:
            raise _broken("a block has another size than its header says")
        decoded += plain
    return bytes(decoded)


def _decode_block(method: int, payload: bytes, plain_size: int) -> bytes:
    try:
        if method == _LZ4:
            return bytes(lz4.block.decompress(payload, uncompressed_size=plain_size))
        if method == _ZSTD:
            return zstandard.ZstdDecompressor().decompress(payload, max_output_size=plain_size)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise _broken(str(error)) from error
    if method == _PLAIN:
        return payload
    raise _broken(f"compression method 0x{method:02x} is not supported")


def _checksum(block: bytes) -> bytes:
    # The library puts the low half of the hash into the high 64 bits; on the wire the low half comes first.
    return _CHECKSUM.pack(*divmod(CityHash128(block), 1 << 64))


def _broken(reason: str) -> ClickHouseError:
    return ClickHouseError(
        INCORRECT_DATA, f"The body is not valid compressed ClickHouse data: {reason}. (INCORRECT_DATA)"
    )

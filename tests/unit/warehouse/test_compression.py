"""Bodies round trip through every encoding; broken, unknown and oversized ones are the caller's errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.embedded.compression import ENCODINGS, choose, decode, decode_blocks, encode, encode_blocks
from warehouse.embedded.errors import ClickHouseError

LIMIT = 16 << 20
encodings = st.sampled_from(ENCODINGS)


@given(encodings, st.lists(st.binary(), min_size=1, max_size=5))
def test_body_of_several_frames_is_decoded_whole(encoding: str, parts: list[bytes]) -> None:
    assert decode(b"".join(encode(part, encoding) for part in parts), encoding, LIMIT) == b"".join(parts)


@given(st.binary())
def test_blocks_round_trip(body: bytes) -> None:
    assert decode_blocks(encode_blocks(body), LIMIT) == body


def test_large_body_is_several_blocks() -> None:
    body = bytes(range(256)) * 10_000
    assert decode_blocks(encode_blocks(body), LIMIT) == body


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_changed_or_missing_byte_is_noticed(body: bytes, data: st.DataObject) -> None:
    blocks = bytearray(encode_blocks(body))
    at = data.draw(st.integers(0, len(blocks) - 1))
    with pytest.raises(ClickHouseError):
        decode_blocks(bytes(blocks[:at]) or b"\0", LIMIT)
    blocks[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ClickHouseError):
        decode_blocks(bytes(blocks), LIMIT)


@given(encodings, st.binary(max_size=100))
def test_garbage_is_a_bad_request(encoding: str, body: bytes) -> None:
    try:
        decode(body, encoding, LIMIT)
    except ClickHouseError as error:
        assert error.http_status == 400  # noqa: PT017


@given(encodings, st.binary(), st.data())
def test_truncated_body_is_a_bad_request(encoding: str, body: bytes, data: st.DataObject) -> None:
    packed = encode(body, encoding)
    with pytest.raises(ClickHouseError) as refused:
        decode(packed + packed[: data.draw(st.integers(1, len(packed) - 1))], encoding, LIMIT)
    assert refused.value.http_status == 400


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_limit_holds_for_the_decoded_size(encoding: str) -> None:
    assert decode(encode(bytes(1000), encoding), encoding, 1000) == bytes(1000)
    with pytest.raises(ClickHouseError) as refused:
        decode(encode(bytes(1001), encoding), encoding, 1000)
    assert refused.value.http_status == 413
    with pytest.raises(ClickHouseError) as refused:
        decode_blocks(encode_blocks(bytes(1001)), 1000)
    assert refused.value.http_status == 413


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(ClickHouseError) as refused:
        decode(b"", "br", LIMIT)
    assert refused.value.http_status == 415


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("lz4,zstd", "lz4"),
        ("br", None),
        ("", None),
        ("gzip;q=0", None),
    ],
)
def test_choice_of_encoding(accepted: str, chosen: str | None) -> None:
    assert choose(accepted) == chosen

"""Direct post against buyers that do on the wire what buyers do: the outcome is never better known than it is."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kit.misbehaving_buyer import (
    Behaviour,
    answers,
    cuts,
    hangs,
    misbehaving_buyer,
    never_ends,
    says,
    sends,
    trickles,
)

from connectors.outbound import direct_post
from connectors.outbound.contract import Answer
from schemas.config.delivery import DirectPost
from schemas.events import Lead, Outcome
from schemas.reasons import Reason

KEY = UUID("5a0b2f52-1a9e-5d6b-8f4e-2f9a3f6f1c99")
LEAD = Lead(
    first_name="Zoë", last_name="Ní Bhríain 李", phone="+14155550100", email="z@example.com", zip="94107", state="CA"
)
BODY = direct_post.lead_body(KEY, "solar", LEAD)
DEEP = b'{"status":' + b"[" * 5_000 + b"]" * 5_000 + b"}"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture(autouse=True)
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_post, "FIRST_PAUSE_SECONDS", 0.02)


def delivery(url: str, **changes: Any) -> DirectPost:
    return DirectPost(**{"url": url, "timeout_seconds": 0.3, "retry_seconds": 0.4, **changes})


async def outcome_of(session: aiohttp.ClientSession, *behaviours: Behaviour, **changes: Any) -> tuple[Answer, int]:
    """The answer, and how many requests arrived; every one carries the same key and body."""
    async with misbehaving_buyer(*behaviours) as buyer:
        answer = await direct_post.post(session, delivery(buyer.url, **changes), KEY, BODY)
    assert {request.key for request in buyer.requests} == {str(KEY)}
    assert all(request.document == BODY for request in buyer.requests)
    assert answer.posts == len(buyer.requests)
    return answer, answer.posts


@pytest.mark.parametrize(
    ("word", "outcome", "reason"),
    [
        ("accepted", Outcome.ACCEPTED, None),
        ("rejected", Outcome.REJECTED, Reason.BUYER_REJECTED),
        ("duplicate", Outcome.DUPLICATE, Reason.BUYER_DUPLICATE),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
async def test_the_buyers_word(
    session: aiohttp.ClientSession, word: str, outcome: Outcome, reason: Reason | None, status: int
) -> None:
    answer, _ = await outcome_of(session, answers(status, {"status": word, "reference": "R-1", "reason": "x"}))
    assert (answer.outcome, answer.reason, answer.reference) == (outcome, reason, "R-1")
    assert (answer.posts, answer.http_status) == (1, status)
    assert 0 < answer.latency_ms < 300


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_a_passing_error_is_repeated_under_the_same_key(session: aiohttp.ClientSession, status: int) -> None:
    answer, posts = await outcome_of(session, answers(status), says("accepted", reference=7))
    assert (answer.outcome, answer.reference, posts) == (Outcome.ACCEPTED, "7", 2)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422, 301, 302, 303, 307, 308])
async def test_any_other_status_ends_it_at_once(session: aiohttp.ClientSession, status: int) -> None:
    answer, posts = await outcome_of(session, answers(status, Location="/elsewhere"), says("accepted"))
    assert (answer.outcome, answer.reason, answer.http_status) == (Outcome.ERROR, Reason.BUYER_ERROR, status)
    assert posts == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(session: aiohttp.ClientSession, status: int) -> None:
    async with misbehaving_buyer(answers(status, Retry_After="1"), says("accepted")) as buyer:
        answer = await direct_post.post(session, delivery(buyer.url, retry_seconds=1.5), KEY, BODY)
    assert answer.outcome is Outcome.ACCEPTED
    assert answer.latency_ms > 1000
    first, second = buyer.requests
    assert 1.0 <= second.at - first.at < 1.5


async def test_a_retry_after_beyond_the_retry_time_is_not_waited_for(session: aiohttp.ClientSession) -> None:
    started = time.monotonic()
    answer, posts = await outcome_of(session, answers(503, Retry_After="3600"))
    assert (answer.outcome, posts) == (Outcome.ERROR, 1)
    assert time.monotonic() - started < 0.3


@pytest.mark.parametrize("header", ["0", "-1", "soon", "", "1e9", "٣" * 400, "9" * 400, "Tue, 99 Foo 2026"])
async def test_a_retry_after_of_any_kind_neither_breaks_nor_floods(session: aiohttp.ClientSession, header: str) -> None:
    async with misbehaving_buyer(answers(503, Retry_After=header.encode().decode("latin-1"))) as buyer:
        answer = await direct_post.post(session, delivery(buyer.url), KEY, BODY)
    assert answer.outcome is Outcome.ERROR
    # Pauses of 10 to 20 ms that double fill 400 ms with at most 7 requests. Where the machine stalls, a post may time
    # out before the buyer has read it.
    assert 1 <= len(buyer.requests) <= answer.posts <= 7


def test_a_retry_after_may_be_a_date() -> None:
    now = datetime.now(UTC)
    assert 25 < direct_post._seconds_of(format_datetime(now + timedelta(seconds=30), usegmt=True)) <= 30
    assert direct_post._seconds_of(format_datetime(now - timedelta(days=1), usegmt=True)) == 0
    assert direct_post._seconds_of(format_datetime(now + timedelta(days=9), usegmt=True)) == 60


async def test_nobody_listens(session: aiohttp.ClientSession) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        answer = await direct_post.post(session, delivery(url, retry_seconds=0.2), KEY, BODY)
    assert (answer.outcome, answer.reason) == (Outcome.ERROR, Reason.BUYER_UNREACHABLE)
    assert answer.posts > 1
    assert answer.http_status is None
    assert answer.exchange is not None
    assert (answer.exchange.response_type, answer.exchange.response_bytes) == (None, 0)


async def test_a_host_that_never_connects_does_not_have_the_lead(session: aiohttp.ClientSession) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        taken = [socket.socket() for _ in range(2)]
        for client in taken:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        try:
            url = f"http://127.0.0.1:{full.getsockname()[1]}/"
            answer = await direct_post.post(session, delivery(url, idempotent=False, retry_seconds=0), KEY, BODY)
        finally:
            for client in taken:
                client.close()
    assert (answer.outcome, answer.reason) == (Outcome.ERROR, Reason.BUYER_UNREACHABLE)


async def test_waiting_for_a_connection_is_not_an_open_outcome() -> None:
    """One buyer that hangs takes every connection: the leads for the others were never sent."""
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session, misbehaving_buyer(hangs) as slow:
        hanging = asyncio.create_task(
            direct_post.post(session, delivery(slow.url, timeout_seconds=5, retry_seconds=0), KEY, BODY)
        )
        while not slow.requests:
            await asyncio.sleep(0.005)
        async with misbehaving_buyer(says("accepted")) as other:
            answer = await direct_post.post(session, delivery(other.url, retry_seconds=0), KEY, BODY)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
    assert (answer.outcome, other.requests) == (Outcome.ERROR, [])


@pytest.mark.parametrize("url", ["http://", "https://", "http://[::1", "http://127.0.0.1:99999/"])
async def test_a_url_that_is_none_is_an_error_at_once(session: aiohttp.ClientSession, url: str) -> None:
    answer = await direct_post.post(session, delivery(url), KEY, BODY)
    assert (answer.outcome, answer.reason, answer.posts) == (Outcome.ERROR, Reason.BUYER_UNREACHABLE, 1)


async def test_tls_where_there_is_none(session: aiohttp.ClientSession) -> None:
    async with misbehaving_buyer(says("accepted")) as buyer:
        url = buyer.url.replace("http://", "https://")
        answer = await direct_post.post(session, delivery(url, retry_seconds=0), KEY, BODY)
    assert answer.outcome is Outcome.ERROR
    assert buyer.requests == []


AMBIGUOUS: dict[str, Behaviour] = {
    "hangs": hangs,
    "cut": cuts(),
    "closed": cuts(b"HTTP/1.1 200 OK\r\n"),
    "half a body": cuts(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
    "no HTTP": cuts(b"\x16\x03\x01 who are you\r\n\r\n"),
    "bad chunk": cuts(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "endless header": cuts(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n"),
    "garbage": answers(200, b"\xff\xfe\x00garbage"),
    "HTML": answers(200, b"<html>thank you</html>"),
    "empty": answers(200, b""),
    "no content": sends(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "array": answers(200, ["accepted"]),
    "text": answers(200, "accepted"),
    "null": answers(200, None),
    "number": answers(200, b"1" * 5_000),
    "no status": answers(200, {"result": "accepted"}),
    "unknown status": says("queued"),
    "status of another type": answers(200, {"status": ["accepted"]}),
    "nested too deeply": answers(200, DEEP),
    "200 KB": answers(200, b'{"status": "accepted", "x": "' + b"x" * 200_000 + b'"}'),
    "never ends": never_ends,
    "trickles": trickles,
    "gzip bomb": answers(200, gzip.compress(b" " * 50_000_000, 9), Content_Encoding="gzip"),
    "no gzip": answers(200, b"garbage", Content_Encoding="gzip"),
    "unknown coding": answers(200, b"garbage", Content_Encoding="br"),
}
kinds = pytest.mark.parametrize("behaviour", AMBIGUOUS.values(), ids=AMBIGUOUS)


@kinds
async def test_an_ambiguous_answer_that_a_repetition_settles(
    session: aiohttp.ClientSession, behaviour: Behaviour
) -> None:
    # Time enough for a machine that is busy: a request that times out before it arrives would be a third post.
    answer, posts = await outcome_of(session, behaviour, says("accepted"), timeout_seconds=1.5, retry_seconds=2.0)
    assert (answer.outcome, posts) == (Outcome.ACCEPTED, 2)


@kinds
async def test_an_ambiguous_answer_that_nothing_settles(session: aiohttp.ClientSession, behaviour: Behaviour) -> None:
    started = time.monotonic()
    answer, posts = await outcome_of(session, behaviour, timeout_seconds=0.2, retry_seconds=0.25)
    assert answer.outcome is Outcome.UNKNOWN
    assert posts >= 2
    assert time.monotonic() - started < 0.25 + 0.2 + 1.0


@kinds
async def test_without_an_honoured_key_an_ambiguous_post_is_never_repeated(
    session: aiohttp.ClientSession, behaviour: Behaviour
) -> None:
    answer, posts = await outcome_of(session, behaviour, says("accepted"), idempotent=False)
    assert (answer.outcome, posts) == (Outcome.UNKNOWN, 1)


@pytest.mark.parametrize("status", [500, 503, 429, 400, 404, 409, 302])
async def test_an_error_after_an_ambiguous_post_does_not_settle_it(session: aiohttp.ClientSession, status: int) -> None:
    """The first post may have sold the lead, whatever became of the second."""
    answer, posts = await outcome_of(session, cuts(), answers(status))
    assert (answer.outcome, answer.http_status) == (Outcome.UNKNOWN, status)
    assert posts == 2 if status < 408 else posts >= 2


async def test_a_refused_connection_after_an_ambiguous_post_does_not_settle_it(session: aiohttp.ClientSession) -> None:
    async with misbehaving_buyer(hangs) as buyer:
        posting = asyncio.create_task(direct_post.post(session, delivery(buyer.url), KEY, BODY))
        while not buyer.requests:
            await asyncio.sleep(0.005)
    assert (await posting).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [429, 503])
async def test_without_an_honoured_key_an_untouched_post_is_repeated(
    session: aiohttp.ClientSession, status: int
) -> None:
    answer, posts = await outcome_of(session, answers(status), answers(status), says("accepted"), idempotent=False)
    assert (answer.outcome, posts) == (Outcome.ACCEPTED, 3)
    answer, _ = await outcome_of(session, answers(status), idempotent=False)
    assert answer.outcome is Outcome.ERROR


@pytest.mark.parametrize("status", [408, 500, 502, 504])
async def test_without_an_honoured_key_a_server_error_may_hide_a_sale(
    session: aiohttp.ClientSession, status: int
) -> None:
    answer, posts = await outcome_of(session, answers(status), says("accepted"), idempotent=False)
    assert (answer.outcome, posts) == (Outcome.UNKNOWN, 1)


@pytest.mark.parametrize("status", [408, 500, 502, 504])
async def test_a_server_error_to_the_end_may_hide_a_sale(session: aiohttp.ClientSession, status: int) -> None:
    answer, posts = await outcome_of(session, answers(status))
    assert answer.outcome is Outcome.UNKNOWN
    assert posts >= 2


@pytest.mark.parametrize("status", [425, 429, 503])
async def test_a_buyer_that_did_nothing_to_the_end_is_an_error(session: aiohttp.ClientSession, status: int) -> None:
    answer, _ = await outcome_of(session, answers(status))
    assert answer.outcome is Outcome.ERROR


async def test_no_request_starts_after_the_retry_time(session: aiohttp.ClientSession) -> None:
    async with misbehaving_buyer(hangs) as buyer:
        started = asyncio.get_running_loop().time()
        answer = await direct_post.post(session, delivery(buyer.url), KEY, BODY)
        took = asyncio.get_running_loop().time() - started
    busy = 0.5
    assert buyer.requests[-1].at - started <= 0.4 + busy
    assert took <= 0.4 + 0.3 + busy
    assert answer.latency_ms == pytest.approx(took * 1000, abs=busy * 1000)


async def test_no_retry_time_is_no_retry(session: aiohttp.ClientSession) -> None:
    answer, posts = await outcome_of(session, answers(503), says("accepted"), retry_seconds=0)
    assert (answer.outcome, posts) == (Outcome.ERROR, 1)


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        (b"null", None),
        (b'""', ""),
        (b"12.50", "12.5"),
        (b"true", "True"),
        (b'{"id": 1}', None),
        (b"[" * 900 + b"]" * 900, None),
        (b'"' + b"x" * 500 + b'"', "x" * 200),
        (b'"\\ud800"', "?"),
        ('"Größe 李"'.encode(), "Größe 李"),
        (b"NaN", "nan"),
    ],
)
async def test_a_reference_of_any_type_leaves_the_sale_a_sale(
    session: aiohttp.ClientSession, reference: bytes, kept: str | None
) -> None:
    answer, _ = await outcome_of(session, answers(200, b'{"status": "accepted", "reference": ' + reference + b"}"))
    assert (answer.outcome, answer.reference) == (Outcome.ACCEPTED, kept)


@hypothesis_settings(max_examples=150)
@given(content=st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_no_content_raises_or_sells(content: bytes | str) -> None:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    tried = direct_post._judge(200, None, raw)
    assert (tried.settled, tried.open_outcome, tried.answer.outcome) == (False, True, Outcome.UNKNOWN)


def test_extra_fields_never_replace_typed_ones() -> None:
    sly = dict.fromkeys(("lead_id", "vertical", "first_name", "phone", "email", "state", "extra"), "sly")
    body = direct_post.lead_body(KEY, "solar", LEAD.model_copy(update={"extra": {**sly, "roof": "tile"}}))
    assert body == {**BODY, "extra": "sly", "roof": "tile"}
    assert (body["lead_id"], body["vertical"], body["phone"]) == (str(KEY), "solar", "+14155550100")


async def test_a_request_is_json_and_carries_nothing_of_ours(session: aiohttp.ClientSession) -> None:
    async with misbehaving_buyer(says("accepted")) as buyer:
        answer = await direct_post.post(session, delivery(buyer.url), KEY, BODY)
    (request,) = buyer.requests
    assert answer.exchange is not None
    assert (answer.exchange.key, answer.exchange.endpoint) == (KEY, buyer.url.removesuffix("/leads"))
    assert answer.exchange.request_bytes == int(request.headers["content-length"])
    assert answer.exchange.response_bytes > 0
    assert request.line == "POST /leads HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.document["last_name"] == "Ní Bhríain 李"


async def test_what_is_told_of_a_request_has_no_secret_in_it(session: aiohttp.ClientSession) -> None:
    async with misbehaving_buyer(answers(400, **{"Content-Type": "text/html; charset=x"})) as buyer:
        url = buyer.url.replace("http://", "http://user:secret@") + "/secret?key=secret#secret"
        answer = await direct_post.post(session, delivery(url), KEY, BODY)
    assert answer.exchange is not None
    assert answer.exchange.response_type == "text/html"
    assert "secret" not in repr(answer)
    assert LEAD.last_name not in repr(answer)


@pytest.mark.parametrize(
    "reference", ["+1 (415) 555-0100", "lead-4155550100-x", "Z@Example.com", "mailto:z@example.com?x"]
)
async def test_a_reference_that_says_who_the_lead_is_is_not_kept(
    session: aiohttp.ClientSession, reference: str
) -> None:
    answer, _ = await outcome_of(session, says("accepted", reference=reference))
    assert (answer.outcome, answer.reference) == (Outcome.ACCEPTED, None)


async def test_many_at_once_keep_apart(session: aiohttp.ClientSession) -> None:
    async with misbehaving_buyer(*[answers(503)] * 20, says("accepted")) as buyer:
        posting = (direct_post.post(session, delivery(buyer.url), UUID(int=n), BODY) for n in range(20))
        found = await asyncio.gather(*posting)
    assert {answer.outcome for answer in found} == {Outcome.ACCEPTED}
    keys = [request.key for request in buyer.requests]
    assert all(keys.count(str(UUID(int=n))) == answer.posts for n, answer in enumerate(found))

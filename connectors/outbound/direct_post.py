"""Direct post: the full lead as JSON over HTTP, under an Idempotency-Key.

Answers, by the contract with a buyer:

- 2xx with ``{"status": "accepted" | "rejected" | "duplicate", "reference", "reason"}`` is the buyer's word;
- 408, 425, 429 and 5xx are passing: the post is repeated under the same key, after ``Retry-After`` where it is given.
  Only 425, 429 and 503 say that nothing was done; any other may hide a sale, and leaves the outcome open;
- any other status is an error of one side's set-up: not repeated, the lead goes on to the next candidate, unless an
  earlier post left open whether the buyer has it;
- no connection in half of a request's time: the buyer is unreachable, and the post is repeated;
- no answer after the request went out (a time-out, a cut connection), or an answer that makes no sense, leaves open
  whether the buyer has the lead: repeated where the buyer honours the key, and unknown if that does not settle it.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp

from connectors.outbound.contract import Answer
from schemas.config.delivery import DirectPost
from schemas.events import Exchange, Lead, Outcome
from schemas.reasons import Reason

ANSWER_LIMIT_BYTES: Final = 65_536
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
LONGEST_RETRY_AFTER_SECONDS: Final = 60.0
LONGEST_REFERENCE: Final = 200
MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
PASSING: Final = frozenset({408, 425, 429})
UNTOUCHED: Final = frozenset({425, 429, 503})
"""Answers that say the buyer did nothing with the request."""

WORDS: Final = {
    "accepted": (Outcome.ACCEPTED, None),
    "rejected": (Outcome.REJECTED, Reason.BUYER_REJECTED),
    "duplicate": (Outcome.DUPLICATE, Reason.BUYER_DUPLICATE),
}


@dataclass(frozen=True, slots=True)
class _Request:
    """What is posted, however often."""

    url: str
    key: UUID
    body: bytes

    def exchange(self, response_type: str | None, response_bytes: int) -> Exchange:
        return Exchange(
            endpoint=_endpoint(self.url),
            key=self.key,
            request_bytes=len(self.body),
            response_type=response_type,
            response_bytes=response_bytes,
        )


@dataclass(frozen=True, slots=True)
class _Try:
    """One request: the buyer's word in ``answer``, or why another request is worth it."""

    answer: Answer
    settled: bool
    open_outcome: bool = False
    pause_seconds: float = 0.0


def lead_body(lead_id: UUID, vertical: str, lead: Lead) -> dict[str, Any]:
    """The JSON document a buyer gets; a lead's extra fields never replace the typed ones."""
    return {
        **lead.extra,
        **lead.model_dump(exclude={"extra", "test", "consent"}),
        "lead_id": str(lead_id),
        "vertical": vertical,
    }


async def post(session: aiohttp.ClientSession, delivery: DirectPost, key: UUID, body: dict[str, Any]) -> Answer:
    """Post a lead until its outcome is settled or the campaign's retry time is over.

    It takes ``retry_seconds`` and one request's ``timeout_seconds`` at most: no request starts after the former.
    """
    started = time.monotonic()
    request = _Request(delivery.url, key, json.dumps(body).encode())
    posts = 0
    open_outcome = False
    pause = FIRST_PAUSE_SECONDS
    while True:
        posts += 1
        tried = await _post_once(session, delivery, request)
        if _is_personal(tried.answer.reference, body):
            tried = replace(tried, answer=replace(tried.answer, reference=None))
        elapsed = time.monotonic() - started
        open_outcome = open_outcome or tried.open_outcome
        answer = replace(tried.answer, posts=posts, latency_ms=round(elapsed * 1000, 3))
        if tried.settled and answer.outcome is not Outcome.ERROR:
            return answer
        wait = max(pause * random.uniform(0.5, 1.0), tried.pause_seconds)  # noqa: S311
        repeatable = not tried.settled and (delivery.idempotent or not open_outcome)
        if not repeatable or elapsed + wait > delivery.retry_seconds:
            return replace(answer, outcome=Outcome.UNKNOWN if open_outcome else Outcome.ERROR)
        await asyncio.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _post_once(session: aiohttp.ClientSession, delivery: DirectPost, request: _Request) -> _Try:
    tried, response_type, response_bytes = await _ask(session, delivery, request)
    return replace(tried, answer=replace(tried.answer, exchange=request.exchange(response_type, response_bytes)))


async def _ask(session: aiohttp.ClientSession, delivery: DirectPost, request: _Request) -> tuple[_Try, str | None, int]:
    """One request: what is made of its answer, and the answer's media type and size."""
    try:
        async with session.post(
            request.url,
            data=request.body,
            headers={"Idempotency-Key": str(request.key), "Content-Type": "application/json"},
            # A dead host, or a queue for a connection, is not to be taken for a buyer that has the lead.
            timeout=aiohttp.ClientTimeout(total=delivery.timeout_seconds, connect=delivery.timeout_seconds / 2),
            allow_redirects=False,
        ) as response:
            content = await _read(response)
            tried = _judge(response.status, response.headers.get("Retry-After"), content)
            return tried, _media_type(response.headers.get("Content-Type", "")), len(content)
    except aiohttp.InvalidURL:
        return _Try(Answer(Outcome.ERROR, Reason.BUYER_UNREACHABLE), settled=True), None, 0
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return _Try(Answer(Outcome.ERROR, Reason.BUYER_UNREACHABLE), settled=False), None, 0
    except (aiohttp.ClientError, TimeoutError):
        return _Try(Answer(Outcome.ERROR, Reason.OUTCOME_UNKNOWN), settled=False, open_outcome=True), None, 0


def _endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _media_type(header: str) -> str:
    """The media type without its parameters; empty where the header is something else."""
    media_type = header.partition(";")[0].strip().lower()
    return media_type if MEDIA_TYPE.fullmatch(media_type) else ""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for chunk in response.content.iter_chunked(8192):
        content += chunk
        if len(content) > ANSWER_LIMIT_BYTES:
            break
    return content


def _judge(status: int, retry_after: str | None, content: bytes) -> _Try:
    if 200 <= status < 300:
        return _word(status, content)
    if status in PASSING or status >= 500:
        answer = Answer(Outcome.ERROR, Reason.BUYER_ERROR, http_status=status)
        return _Try(answer, settled=False, open_outcome=status not in UNTOUCHED, pause_seconds=_seconds_of(retry_after))
    return _Try(Answer(Outcome.ERROR, Reason.BUYER_ERROR, http_status=status), settled=True)


def _word(status: int, content: bytes) -> _Try:
    try:
        document = json.loads(content)
        outcome, reason = WORDS[document["status"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        answer = Answer(Outcome.UNKNOWN, Reason.BUYER_ANSWER_INVALID, http_status=status)
        return _Try(answer, settled=False, open_outcome=True)
    return _Try(Answer(outcome, reason, _reference(document.get("reference")), status), settled=True)


def _is_personal(reference: str | None, body: dict[str, Any]) -> bool:
    """Whether a buyer's reference says who the lead is: it is kept where no personal data is."""
    if reference is None:
        return False
    phone, email = body.get("phone"), body.get("email")
    digits = re.sub(r"\D", "", reference)
    return bool((phone and phone[-10:] in digits) or (email and email.lower() in reference.lower()))


def _reference(value: object) -> str | None:
    # A lone surrogate (a JSON escape such as \ud800) is no text that an event could hold.
    if not isinstance(value, str | int | float):
        return None
    return str(value)[:LONGEST_REFERENCE].encode("utf-8", "replace").decode()


def _seconds_of(retry_after: str | None) -> float:
    """A Retry-After header, seconds or a date, in seconds from now; 0 for none and for nonsense."""
    if retry_after is None:
        return 0.0
    try:
        if retry_after.isdecimal():
            seconds = float(retry_after)
        else:
            moment = parsedate_to_datetime(retry_after)
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)

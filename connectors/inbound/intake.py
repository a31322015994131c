"""HTTP intake: a post is acknowledged (202) once its leads are stored in the log, and never before."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4, uuid5

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from connectors.inbound.keys import KeyRefusedError, Keyring, key_shown
from connectors.inbound.raw_lead import REQUEST_NAMESPACE, InvalidLeadError, as_object, encode, own_lead_id, parse
from schemas.config.source import Source

MAX_LEADS: Final = 1000
MAX_FORM_FIELDS: Final = 1000
MAX_KEY_LENGTH: Final = 255

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LeadMessage:
    """A lead to store: its id, and the value of its record on ``leads`` (a JSON object that holds the id)."""

    lead_id: str
    value: bytes


Publish = Callable[[Sequence[LeadMessage]], Awaitable[None]]
"""Stores leads and returns once every one is acknowledged by the log; raises otherwise."""


class BrokerUnavailableError(Exception):
    """The log does not take leads now; the sender may try again after ``retry_after_seconds``."""

    def __init__(self, retry_after_seconds: float = 1.0) -> None:
        super().__init__(f"the broker is unavailable; try again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


def create_app(
    publish: Publish, *, max_body_bytes: int = 1_048_576, sources: Callable[[], tuple[Source, ...]] = tuple
) -> FastAPI:
    """The intake as an ASGI app: ``POST /leads`` and ``GET /healthz``.

    ``POST /leads`` takes a JSON object, an array of up to 1,000, or one form post. A lead's id is its own ``lead_id``,
    else derived from the ``Idempotency-Key`` header and its index, else random. ``sources`` gives those of the
    configuration in force, and is asked at each post: one with keys is spoken for by them alone
    (:class:`connectors.inbound.keys.Keyring`), and its ids derive from its own ``Idempotency-Key`` only.

    Answers: 202 stored, 400 no leads, 401 no key or an unknown one, 403 another source's key, 413 too large, 415 other
    content type, 500 not stored, 503 broker unavailable (with ``Retry-After``). After 500 and 503 some leads of the
    post may be stored all the same: send it again with the same ids.
    """
    app = FastAPI(title="Leadline intake", docs_url=None, redoc_url=None)
    keyrings = _Keyrings(sources)

    @app.post("/leads", status_code=202, openapi_extra=_REQUEST_BODY)
    async def post_leads(request: Request) -> JSONResponse:
        try:
            keyring = keyrings.current()
            source = keyring.source_of(key_shown(request.headers))  # before the body, which a stranger need not send
            content_type = _content_type(request)
            key = _idempotency_key(request)
            body = await _body(request, max_body_bytes)
            messages = _messages(_documents(body, content_type), key, keyring, source)
        except KeyRefusedError as error:
            challenge = {"WWW-Authenticate": "Bearer", "Connection": "close"} if error.status == 401 else None
            raise HTTPException(error.status, error.reason, challenge) from None
        except InvalidLeadError as error:
            raise HTTPException(400, error.reason) from None
        try:
            await publish(messages)
        except BrokerUnavailableError as error:
            seconds = str(max(1, math.ceil(error.retry_after_seconds)))
            raise HTTPException(503, "The leads are not stored; send them again.", {"Retry-After": seconds}) from None
        except Exception as error:
            # The type only: a message may quote the lead.
            log.error("intake.publish_failed", error=type(error).__name__, leads=len(messages))
            raise HTTPException(500, "The leads are not stored; send them again with the same ids.") from None
        leads = [{"lead_id": message.lead_id} for message in messages]
        return JSONResponse({"leads": leads, "accepted": len(leads)}, status_code=202)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


class _Keyrings:
    """The keyring of the sources as they are now; made anew only when they change."""

    def __init__(self, sources: Callable[[], tuple[Source, ...]]) -> None:
        self._sources = sources
        self._of: tuple[Source, ...] = ()
        self._keyring = Keyring(())

    def current(self) -> Keyring:
        sources = self._sources()
        if sources is not self._of:
            self._of, self._keyring = sources, Keyring(sources)
        return self._keyring


def _content_type(request: Request) -> str:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (JSON, FORM):
        raise HTTPException(415, f"Send {JSON} or {FORM}.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HTTPException(415, "Send the body without Content-Encoding.")
    return content_type


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY_LENGTH:
        raise HTTPException(400, f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.")
    return key


async def _body(request: Request, limit: int) -> bytes:
    too_large = HTTPException(413, f"The body is larger than {limit:,} bytes; split it.", {"Connection": "close"})
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        # A chunked body declares no length: count it, and stop before it is held in memory.
        if len(body) + len(chunk) > limit:
            raise too_large
        body += chunk
    return bytes(body)


def _documents(body: bytes, content_type: str) -> list[object]:
    if content_type == FORM:
        return [_form(body)]
    document = parse(body)
    if not isinstance(document, list):
        return [as_object(document)]
    if not 0 < len(document) <= MAX_LEADS:
        raise InvalidLeadError(f"an array must hold 1 to {MAX_LEADS:,} leads, this one holds {len(document):,}")
    return document


def _form(body: bytes) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS, separator="&"
        )
    except UnicodeError:
        raise InvalidLeadError("the form is not percent-encoded UTF-8") from None
    except ValueError:
        raise InvalidLeadError(f"the form has more than {MAX_FORM_FIELDS:,} fields") from None
    if not pairs:
        raise InvalidLeadError("the form has no fields")
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    # A name that comes more than once is a group of checkboxes.
    return {name: several[0] if len(several) == 1 else several for name, several in values.items()}


def _messages(documents: list[object], key: str | None, keyring: Keyring, source: str | None) -> list[LeadMessage]:
    own = f"{key}\0" if source is None else f"{source}\0{key}\0"
    messages: dict[str, LeadMessage] = {}
    for index, document in enumerate(documents):
        try:
            fields = keyring.claim(as_object(document), source)
            lead_id = own_lead_id(fields) or str(uuid4() if key is None else uuid5(REQUEST_NAMESPACE, f"{own}{index}"))
            if lead_id in messages:
                raise InvalidLeadError("lead_id stands on an earlier lead of this post, too")
            messages[lead_id] = LeadMessage(lead_id, encode(fields, lead_id))
        except (InvalidLeadError, KeyRefusedError) as error:
            place = f"lead {index + 1} of {len(documents)}: " if len(documents) > 1 else ""
            if isinstance(error, KeyRefusedError):
                raise KeyRefusedError(error.status, place + error.reason) from None
            raise InvalidLeadError(place + error.reason) from None
    return list(messages.values())


_REQUEST_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "oneOf": [
                        {"type": "object"},
                        {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MAX_LEADS},
                    ]
                }
            },
            FORM: {"schema": {"type": "object"}},
        },
    }
}

"""Who is who: lead ids, event ids and the person's pseudonym, all deterministic."""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import Final
from uuid import UUID, SafeUUID

LEADS_NAMESPACE: Final = UUID("b2e61f6c-7b60-5d0a-9b0f-3c1e5d5f0c11")

ATTEMPTS_PER_DECISION: Final = 500
"""At most so many candidates are on a slip."""


_new: Final = object.__new__
_set: Final = object.__setattr__
_UNKNOWN: Final = SafeUUID.unknown
_VERSION_BITS: Final = 0xF000_C000_0000_0000_0000
_VERSION_5: Final = 0x5000_8000_0000_0000_0000


class Step(StrEnum):
    """The step of a lead's life that an event reports; the ``stage`` column of the warehouse."""

    RECEIVED = "received"
    VALIDATION = "validation"
    DEDUP = "dedup"
    CLAIM = "claim"
    ROUTING = "routing"
    OFFER = "offer"
    ATTEMPT = "attempt"
    DELIVERY = "delivery"
    FEEDBACK = "feedback"
    DEAD = "dead"


_STEPS: Final = {step: step.encode() for step in Step}


def lead_id_at(topic: str, partition: int, offset: int) -> UUID:
    """The id of a raw lead whose producer gave none: its place in the log, so that every reader agrees on it."""
    return _uuid5(LEADS_NAMESPACE, f"{topic}:{partition}:{offset}".encode())


def event_id(lead_id: UUID, step: Step, run: int = 0, attempt: int = 0) -> UUID:
    """The id of one event: the same input gives the same id, so a redelivered event is recognised as itself."""
    return _uuid5(lead_id, b"%b:%d:%d" % (_STEPS[step], run, attempt))


def attempt_of(decision: int, number: int = 0) -> int:
    """The attempt of the event of that number which follows from a decision: an offer's number is its cursor, a sale's
    how many sales of the decision were before it."""
    return decision * ATTEMPTS_PER_DECISION + number


def idempotency_key(lead_id: UUID, campaign: str, *, exclusive: bool = True) -> UUID:
    """What a buyer sees to recognise a repeated post. It has no run: a replay is the same post. A campaign that did not
    want a lead for itself alone and is asked to share it is asked anew."""
    return _uuid5(lead_id, (f"post:{campaign}" if exclusive else f"post:{campaign}:shared").encode())


def person(secret: bytes, *, phone: str | None, email: str | None) -> str:
    """The pseudonym of a lead's primary identity: keyed HMAC-SHA256 of the phone, else the email, 32 hex digits.

    A plain hash of a phone number is reversed by trying all of them, hence the key.

    Raises:
        ValueError: neither is given.
    """
    if phone:
        identity = f"phone:{phone}"
    elif email:
        identity = f"email:{email}"
    else:
        raise ValueError("a person needs a phone or an email")
    return hmac.digest(secret, identity.encode(), "sha256").hex()[:32]


def _uuid5(namespace: UUID, name: bytes) -> UUID:
    # What uuid.uuid5 returns, in half the time: there are six to a lead, and UUID() looks at each of its arguments.
    digest = hashlib.sha1(namespace.int.to_bytes(16, "big") + name, usedforsecurity=False).digest()
    made: UUID = _new(UUID)
    _set(made, "int", int.from_bytes(digest[:16], "big") & ~_VERSION_BITS | _VERSION_5)
    _set(made, "is_safe", _UNKNOWN)
    return made

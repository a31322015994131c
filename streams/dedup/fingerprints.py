"""Fingerprints: what two leads must share to be duplicates, as keyed hashes that tell nobody what they are of."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Final

from schemas.config.dedup import PERSON, DedupScope, KeySet
from schemas.events import Lead

ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
OWN_FIELDS: Final = ("first_name", "last_name", "phone", "email", "zip", "state")


def fingerprint(secret: bytes, vertical: str, source: str, person: str, lead: Lead, keys: KeySet) -> str | None:
    """The fingerprint of a lead by a key set, 32 hex digits; None when the lead lacks one of its fields. Text is
    compared without regard to case."""
    values = []
    for name in keys.fields:
        value = person if name == PERSON else getattr(lead, name) if name in OWN_FIELDS else lead.extra.get(name)
        if not value:
            return None
        values.append(value.casefold())
    scope = source if keys.scope is DedupScope.SOURCE else ""
    return _keyed(secret, ["key-set", vertical, scope, keys.name, *values])


def payload_fingerprint(secret: bytes, vertical: str, source: str, raw: Mapping[str, str]) -> str:
    """The fingerprint of all that a sender wrote, without the lead's id: a request that is sent again has another."""
    fields = sorted((name, value) for name, value in raw.items() if name != "lead_id")
    return _keyed(secret, ["payload", vertical, source, *(part for pair in fields for part in pair)])


def _keyed(secret: bytes, parts: list[str]) -> str:
    return hmac.digest(secret, ENCODER.encode(parts).encode(), "sha256").hex()[:32]

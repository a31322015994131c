"""Leads that validation rejects, and records that are no leads at all."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Final

from connectors.sandbox.territory import SERVED, places, state_of
from schemas.reasons import Reason

Fields = dict[str, str]

_BAD_PHONES: Final = ("555-0100", "404-555-01", "(123) 456-7890", "000-000-0000", "call me", "12345678901234567")
_BAD_EMAILS: Final = ("jane.example.com", "jane@", "@example.com", "jane doe@example.com", "jane@@example.com", "n/a")
_NO_STATES: Final = ("ZZ", "Ontario", "XX", "Cascadia", "N/A", "Bavaria")
_NO_VERTICALS: Final = ("pet_grooming", "yacht_charter", "solarium", "auto_insurrance")


def _no_contact(fields: Fields, rng: random.Random) -> None:
    fields.pop("phone", None)
    fields.pop("email", None)


def _bad_phone(fields: Fields, rng: random.Random) -> None:
    _no_contact(fields, rng)
    fields["phone"] = rng.choice(_BAD_PHONES)


def _bad_email(fields: Fields, rng: random.Random) -> None:
    _no_contact(fields, rng)
    fields["email"] = rng.choice(_BAD_EMAILS)


def _no_first_name(fields: Fields, rng: random.Random) -> None:
    fields["first_name"] = rng.choice(("", "  "))


def _no_last_name(fields: Fields, rng: random.Random) -> None:
    fields["last_name"] = rng.choice(("", "  "))


def _unknown_zip(fields: Fields, rng: random.Random) -> None:
    while state_of(fields["zip"].strip()):
        fields["zip"] = f"{rng.randrange(100_000):05}"


def _unknown_state(fields: Fields, rng: random.Random) -> None:
    fields["state"] = rng.choice(_NO_STATES)


def _zip_elsewhere(fields: Fields, rng: random.Random) -> None:
    here = state_of(fields["zip"].strip())
    there = rng.choice([state for state in SERVED["auto_insurance"] if state != here])
    fields["zip"] = rng.choice(places()[there]).zip


def _unknown_vertical(fields: Fields, rng: random.Random) -> None:
    fields["vertical"] = rng.choice(_NO_VERTICALS)


FLAWS: Final[Mapping[Reason, Callable[[Fields, random.Random], None]]] = {
    Reason.CONTACT_MISSING: _no_contact,
    Reason.PHONE_INVALID: _bad_phone,
    Reason.EMAIL_INVALID: _bad_email,
    Reason.FIRST_NAME_MISSING: _no_first_name,
    Reason.LAST_NAME_MISSING: _no_last_name,
    Reason.ZIP_UNKNOWN: _unknown_zip,
    Reason.STATE_UNKNOWN: _unknown_state,
    Reason.STATE_ZIP_MISMATCH: _zip_elsewhere,
    Reason.VERTICAL_UNKNOWN: _unknown_vertical,
}
"""How to make a good lead fail for one reason. A lead with a bad contact has no other, so it fails in any case."""


def malformed(lead: Fields, index: int) -> bytes:
    """A record that holds no lead: ten kinds take turns by ``index``."""
    text = json.dumps(lead)
    kinds = (
        text.encode().replace(b'"first_name"', b'"first_\xff\xfename"'),
        text[: len(text) // 2].encode(),
        f"[{text}]".encode(),
        b'"lead"',
        b"",
        b"\x00\x7f\xff\xff\xff" + text.encode()[:24],
        b"null",
        "&".join(f"{name}={value}" for name, value in lead.items()).encode(),
        b"[" * 20_000 + b"]" * 20_000,
        f"{text}{text}".encode(),
    )
    return kinds[index % len(kinds)]

"""What people type into a form: the same person, written in many ways."""

from __future__ import annotations

import random
from typing import Final

from connectors.sandbox.people import Person
from connectors.sandbox.territory import STATE_NAMES

_PHONE_FORMS: Final = (
    "{a}-{e}-{n}", "({a}) {e}-{n}", "+1 ({a}) {e}-{n}", "{a}.{e}.{n}", "{a}{e}{n}", "1-{a}-{e}-{n}", "+1{a}{e}{n}",
    "{a} {e} {n}", "1 {a} {e} {n}",
)  # fmt: skip


def as_typed(person: Person, rng: random.Random) -> dict[str, str]:
    """The person's fields as text; phone or email are left out when the person gave none."""
    fields = {
        "first_name": _cased(person.first_name, rng),
        "last_name": _cased(person.last_name, rng),
        "address": person.address,
        "city": _cased(person.place.city, rng),
        "zip": person.place.zip,
        "state": _state(person.place.state, rng),
    }
    if person.phone is not None:
        fields["phone"] = _phone(person.phone, rng)
    if person.email is not None:
        fields["email"] = _cased(person.email, rng)
    return {name: _spaced(text, rng) for name, text in fields.items()}


def _phone(digits: str, rng: random.Random) -> str:
    return rng.choice(_PHONE_FORMS).format(a=digits[:3], e=digits[3:6], n=digits[6:])


def _state(code: str, rng: random.Random) -> str:
    name = STATE_NAMES[code]
    return rng.choices((code, code.lower(), name, name.lower()), (70, 10, 15, 5))[0]


def _cased(text: str, rng: random.Random) -> str:
    return rng.choices((text, text.lower(), text.upper()), (75, 15, 10))[0]


def _spaced(text: str, rng: random.Random) -> str:
    return rng.choices((text, f" {text}", f"{text} ", f"  {text} "), (91, 3, 5, 1))[0]

"""What the simulation is measured on: an ordinary vertical and a file of its leads.

Fifty campaigns of 25 buyers with lists of states, half of them with a daily cap and a third with opening hours, in one
route by priority over what the source costs; twelve fields, six of them the vertical's own, and three filters. Of the
leads about a seventh is rejected and a twentieth duplicate; 85 of 100 posts are accepted.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import zipcodes

from schemas.config.release import Configuration
from schemas.config.schedule import DAYS
from schemas.events import Delivery, Outcome
from schemas.identity import Step, event_id
from streams.simulation.answers import AnswerRecord
from streams.validation.states import NAMES

CAMPAIGNS: Final = 50
ACCEPTED_PERCENT: Final = 85
STATES: Final = sorted(NAMES)[:51]
SOURCES: Final = ("alpha", "beta", "gamma")
START: Final = datetime(2026, 3, 2, tzinfo=UTC)
FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "homeowner", "type": "choice", "choices": ["yes", "no"], "required": True},
    {"name": "bill", "type": "money", "minimum": "0"},
    {"name": "date_of_birth", "type": "date"},
    {"name": "credit", "type": "choice", "choices": ["excellent", "good", "poor"]},
    {"name": "shade", "type": "boolean"},
    {"name": "utility", "type": "text"},
]
FILTERS: Final = [
    {"name": "owners", "reject_unless": "homeowner == 'yes'"},
    {"name": "bill", "reject_unless": "bill >= 50.0"},
    {"name": "adults", "reject_unless": "date_of_birth_age >= 18"},
]


def release() -> Configuration:
    """The configuration."""
    chance = random.Random(1)
    return Configuration.model_validate(
        {
            "verticals": [{"name": "solar", "fields": FIELDS, "filters": FILTERS, "dedup": [{"days": 30}]}],
            "sources": [{"id": source, "payout": "8"} for source in SOURCES],
            "buyers": [{"id": f"buyer-{n}", "name": f"Buyer {n}"} for n in range(CAMPAIGNS // 2)],
            "campaigns": [_campaign(n, chance) for n in range(CAMPAIGNS)],
            "routes": [{"id": "main", "vertical": "solar", "groups": [{"name": "all"}]}],
        }
    )


def _campaign(number: int, chance: random.Random) -> dict[str, Any]:
    open_hours = {"open": [{"days": DAYS[:6], "from": "07:00", "to": "21:00"}]}
    return {
        "id": f"campaign-{number}",
        "buyer": f"buyer-{number // 2}",
        "vertical": "solar",
        "states": chance.sample(STATES, chance.randint(5, 30)),
        "price": chance.choice(["12.00", "18.50", "25.00", "40.00"]),
        "priority": chance.randint(1, 9),
        "caps": [{"window": "day", "limit": "500"}] if number % 2 else [],
        "schedule": open_hours if number % 3 == 0 else None,
        "time_zone": "America/Chicago",
        "delivery": {"url": "http://127.0.0.1:9/leads"},
    }


def leads(count: int) -> Iterator[bytes]:
    """Lines of a file of raw leads."""
    chance = random.Random(2)
    places = [
        (str(row["zip_code"]), str(row["state"]), row["area_codes"])
        for row in zipcodes.list_all()  # type: ignore[no-untyped-call]
        if row["state"] in STATES and row["area_codes"]
    ]
    phones: list[str] = []
    for number in range(count):
        zip_code, state, area_codes = chance.choice(places)
        if phones and chance.random() < 0.06:
            phone = chance.choice(phones)
        else:
            phone = f"({chance.choice(area_codes)}) {chance.randrange(200, 1000)}-{chance.randrange(10_000):04}"
            phones.append(phone)
        lead = {
            "vertical": "solar",
            "source": chance.choice(SOURCES),
            "first_name": chance.choice(("Ada", "grace", "Mary-Jane")),
            "last_name": chance.choice(("Lovelace", "HOPPER", "O'Neil")),
            "phone": phone,
            "email": f"person{number}@example.com",
            "zip": zip_code,
            "state": state,
            "homeowner": chance.choice(("yes", "Yes", "yes", "yes", "yes", "yes", "yes", "yes", "yes", "no")),
            "bill": f"${chance.randint(47, 500)}",
            "date_of_birth": f"{chance.randint(1, 12)}/{chance.randint(1, 28)}/{chance.randint(1940, 2003)}",
            "credit": chance.choice(("excellent", "good", "poor")),
            "shade": chance.choice(("yes", "no")),
            "utility": "PG&E",
        }
        yield json.dumps(lead).encode()


def answers() -> AnswerRecord:
    """A record of a hundred answers about other leads."""
    record = AnswerRecord()
    record.add(_answer(number) for number in range(100))
    return record


def _answer(number: int) -> Delivery:
    accepted = number < ACCEPTED_PERCENT
    return Delivery(
        event_id=event_id(UUID(int=number), Step.ATTEMPT),
        lead_id=UUID(int=number),
        received_at=START,
        occurred_at=START,
        release="",
        vertical="solar",
        source="alpha",
        person="",
        campaign="another",
        buyer="another",
        outcome=Outcome.ACCEPTED if accepted else Outcome.REJECTED,
        reason=None,
        price=None,
        reference=None,
        http_status=None,
        posts=1,
        latency_ms=1.0,
        company="another",
        exclusive=True,
        route="",
        tier="",
        decision=0,
        over=True,
    )

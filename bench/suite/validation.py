"""What validation takes of a lead of twelve fields, with three computed ones and three filters, from a source with two
filters of its own: from the raw fields to the event.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from time import perf_counter
from typing import Final
from uuid import UUID

from bench.registry import Samples, benchmark
from bench.session import Session
from schemas.config.release import Configuration
from schemas.raw_lead import RawArrival
from streams.stage import Context
from streams.tables import Tables
from streams.validation.stage import Validation

LEADS: Final = 20_000
SLICE: Final = 100
NOW: Final = datetime(2026, 3, 4, 17, 0, tzinfo=UTC)
RELEASE: Final = Configuration.model_validate(
    {
        "verticals": [
            {
                "name": "solar",
                "fields": [
                    {"name": "homeowner", "type": "choice", "required": True, "choices": {"own": ["yes"], "rent": []}},
                    {"name": "electric_bill", "type": "money", "minimum": 20, "maximum": 5000},
                    {"name": "date_of_birth", "type": "date"},
                    {"name": "roof", "type": "text", "maximum_length": 40},
                    {"name": "panels", "type": "number"},
                    {"name": "callback", "type": "boolean"},
                ],
                "computed": [
                    {"name": "email_sha256", "type": "text", "value": "{{ email | lower | sha256 }}"},
                    {"name": "roof_upper", "type": "text", "value": "{{ roof | upper }}"},
                    {"name": "area", "type": "text", "value": "{{ phone_area_code }}"},
                ],
                "filters": [
                    {"name": "adults", "reject_unless": "date_of_birth_age >= 18"},
                    {"name": "bills", "reject_unless": "electric_bill > 30.0"},
                    {"name": "owners", "reject_unless": "homeowner == 'own' || panels > 3.0"},
                ],
            }
        ],
        "sources": [
            {
                "id": "bench",
                "payout": "12",
                "filters": [
                    {"name": "no-alaska", "reject_unless": "state != 'AK'"},
                    {"name": "mainland", "reject_unless": "state != 'HI'"},
                ],
            }
        ],
        "buyers": [],
        "campaigns": [],
    }
)


@benchmark("validation", unit="µs", summary="a raw lead of 12 fields to its event", at_most=80.0)
def validation(session: Session) -> Samples:
    """Microseconds a lead, the mean over slices of a hundred."""
    return {"leadline": [_round(session, n + 1) for n in range(session.rounds)]}


def _round(session: Session, number: int) -> float:
    chance = random.Random(number)
    stage, tables, context = Validation(), Tables(), Context(NOW, RELEASE, b"benchmark-secret", "bench")
    stage.warm_up()
    stage.prepare(RELEASE)
    leads = [_lead(n, chance) for n in range(session.records or LEADS)]
    slices = [leads[at : at + SLICE] for at in range(0, len(leads), SLICE)]
    stage.process(slices[0], tables, context)
    before, valid = perf_counter(), 0
    for part in slices:
        valid += sum(output.topic == "leads.validated" for output in stage.process(part, tables, context))
    value = (perf_counter() - before) / len(leads) * 1e6
    session.report(number, "leadline", value, "µs")
    session.console.print(f"  {valid:,} of {len(leads):,} are valid", style="dim")
    return value


def _lead(number: int, chance: random.Random) -> RawArrival:
    fields = {
        "vertical": "solar",
        "source": "bench",
        "first_name": chance.choice(["Ada", "grace", "ALAN"]),
        "last_name": "McDonald",
        "phone": f"(404) 555-{number % 10_000:04}",
        "email": f"lead-{number}@example.com",
        "zip": chance.choice(["30303", "94105", "10001"]),
        "homeowner": chance.choice(["own", "Yes", "rent"]),
        "electric_bill": f"${chance.randint(25, 400)}.50",
        "date_of_birth": f"{chance.randint(1, 12)}/{chance.randint(1, 28)}/{chance.randint(1950, 2000)}",
        "roof": "tile, ten years old",
        "panels": str(chance.randint(0, 20)),
        "callback": "yes",
    }
    lead_id = UUID(int=number)
    return RawArrival(
        fields=fields, lead_id=lead_id, lead_id_valid=True, run=0, received_at=NOW, traceparent=None, partition=0
    )

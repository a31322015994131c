"""The order of checks, as a golden table: what a lead is told that fails in several ways at once.

The field's order for a direct post is: request format and credentials, the supplier's status, the same payload within
a minute, leads still being processed, then data, filters and caps, all before any buyer is looked at. Ours is the
same with two differences, both for the sender's good: every reason of one step is told at once, and a lead whose
data is refused is told so each time, where others call its second coming a duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from kit.builders import NOW, campaign, configuration, context, lead_id, raw_fields

from schemas.config.route import Route
from schemas.config.source import Source
from schemas.config.vertical import Vertical
from schemas.events import LeadDuplicate, LeadRejected, LeadRouted, LeadUnique, LeadUnrouted, LeadValidated
from schemas.raw_lead import RawArrival
from schemas.reasons import Reason
from streams.dedup.stage import Dedup
from streams.routing.explanation import reasons_of
from streams.routing.stage import Routing
from streams.tables import Tables
from streams.validation.stage import Validation

VERTICAL = Vertical.model_validate(
    {
        "name": "solar",
        "fields": [{"name": "bill", "type": "money"}],
        "filters": [{"name": "bill", "reject_unless": "bill == null || bill > 50.0"}],
        "consent": {"required": ["text"]},
    }
)
SOURCES = [
    {"id": "quoteharbor", "filters": [{"name": "georgia", "reject_unless": "state == 'GA'"}]},
    {"id": "paused", "status": "paused"},
    {"id": "full", "caps": [{"window": "day", "limit": 0}]},
]
ROUTE = {"id": "main", "vertical": "solar", "groups": [{"name": "all"}], "floor": "10"}
RELEASE = configuration(
    campaign("closed", status="paused", states=frozenset({"CA"}), price=5),
    campaign("elsewhere", states=frozenset({"CA"}), price=5),
    campaign("cheap", price=5, filters=[{"name": "no", "require": "state == 'NY'"}]),
    campaign("picky", price=15, filters=[{"name": "no", "require": "state == 'NY'"}]),
    verticals=[VERTICAL],
    sources=[Source.model_validate(source) for source in SOURCES],
    routes=[Route.model_validate(ROUTE)],
)


@dataclass
class Line:
    """The stages before delivery, one partition each."""

    validation: Tables
    dedup: Tables
    routing: Tables

    def send(self, name: str, fields: Mapping[str, str], *, valid_id: bool = True) -> Any:
        """The last event about a lead."""
        now = context(RELEASE)
        arrival = RawArrival(dict(fields), lead_id(name), valid_id, 0, NOW, None)
        (output,) = Validation(partitions=1).process([arrival], self.validation, now)
        if not isinstance(output.value, LeadValidated):
            return output.value
        (output,) = Dedup().process([output.value], self.dedup, now)
        if not isinstance(output.value, LeadUnique):
            return output.value
        return Routing().process([output.value], self.routing, now)[0].value


def told(event: Any) -> list[str]:
    if isinstance(event, LeadRejected):
        return [str(rejection.reason) for rejection in event.reasons]
    if isinstance(event, LeadDuplicate):
        return [str(event.rule)]
    assert isinstance(event, LeadRouted | LeadUnrouted)
    return [str(reason) for _, reason in sorted(reasons_of(event.trace, RELEASE).items())]


GOOD = raw_fields(tcpa_text="Call me.")
NOT_AN_ID = {"lead_id": "42"}
PAUSED = {"source": "paused"}
NO_DATA = {"phone": "n/a", "first_name": ""}
FILTERED = {"bill": "20", "state": "NY", "zip": "10001"}
NO_CONSENT = {"tcpa_text": ""}
OVER_CAP = {"source": "full"}


@pytest.mark.parametrize(
    ("changes", "again", "expected"),
    [
        # Format, the supplier, data, filters, consent: all at once, in that order.
        (
            NOT_AN_ID | NO_DATA | FILTERED | PAUSED | NO_CONSENT,
            False,
            [
                Reason.LEAD_ID_INVALID,
                Reason.SOURCE_PAUSED,
                Reason.FIRST_NAME_MISSING,
                Reason.PHONE_INVALID,
                Reason.CRITERION_NOT_MET,
                Reason.CONSENT_MISSING,
            ],
        ),
        (PAUSED | NO_DATA, False, [Reason.SOURCE_PAUSED, Reason.FIRST_NAME_MISSING, Reason.PHONE_INVALID]),
        # The vertical's filters before the source's.
        (FILTERED, False, [Reason.CRITERION_NOT_MET, Reason.CRITERION_NOT_MET]),
        # A cap is asked only about a lead that passes all else.
        (OVER_CAP, False, [Reason.SOURCE_CAP]),
        (OVER_CAP | NO_DATA, False, [Reason.FIRST_NAME_MISSING, Reason.PHONE_INVALID]),
        # A lead that is refused takes nobody's place: its second coming is refused for what it is.
        (NO_DATA, True, [Reason.FIRST_NAME_MISSING, Reason.PHONE_INVALID]),
        # The same payload is told before the same person, who is the same too.
        ({}, True, [Reason.DUPLICATE_PAYLOAD]),
        # Duplicates are told before any campaign is looked at.
        ({}, False, [Reason.PRICE_FLOOR, Reason.CAMPAIGN_PAUSED, Reason.FILTER_STATE, Reason.FILTER_EXPRESSION]),
    ],
)
def test_the_check_order(changes: dict[str, str], again: bool, expected: list[Reason]) -> None:
    line = Line(Tables(), Tables(), Tables())
    fields = GOOD | changes
    event = line.send("first", fields, valid_id="lead_id" not in changes)
    if again:
        event = line.send("second", fields)
    assert told(event) == [str(reason) for reason in expected]


def test_the_same_person_in_another_payload_is_a_duplicate_of_a_lead_still_being_processed() -> None:
    line = Line(Tables(), Tables(), Tables())
    line.send("first", GOOD)
    assert told(line.send("second", GOOD | {"first_name": "Grace"})) == [str(Reason.DUPLICATE_PERSON)]

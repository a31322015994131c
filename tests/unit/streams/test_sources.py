"""Sources in validation: who may send what, in which order faults are told, and what a source's own filters refuse."""

from __future__ import annotations

from typing import Any

import pytest
from kit.builders import NOW, configuration, context, lead_id, raw_fields

from schemas.config.release import Configuration
from schemas.config.source import Source
from schemas.config.vertical import Vertical
from schemas.events import LeadRejected, LeadValidated
from schemas.raw_lead import RawArrival
from schemas.reasons import Reason
from streams.tables import Tables
from streams.validation.stage import Validation

SOLAR: dict[str, Any] = {
    "name": "solar",
    "fields": [{"name": "bill", "type": "money"}],
    "filters": [{"name": "bill", "reject_unless": "bill == null || bill > 50.0"}],
}
SOURCES: list[dict[str, Any]] = [
    {
        "id": "quoteharbor",
        "filters": [{"name": "georgia", "reject_unless": "zip_state == 'GA'", "detail": "Georgia only"}],
        "sub_ids": [{"id": "Banner 17", "status": "paused"}, {"id": "sandbox", "status": "test"}],
    },
    {"id": "paused", "status": "paused", "verticals": ["roofing"]},
    {"id": "trial", "status": "test"},
]
RELEASE = configuration(
    verticals=[Vertical.model_validate(SOLAR), Vertical(name="roofing")],
    sources=[Source.model_validate(source) for source in SOURCES],
)


def judged(release: Configuration = RELEASE, **changes: str) -> LeadValidated | LeadRejected:
    arrival = RawArrival(raw_fields(**changes), lead_id("a"), True, 0, NOW, None)
    (output,) = Validation().process([arrival], Tables(), context(release))
    assert isinstance(output.value, LeadValidated | LeadRejected)
    return output.value


def reasons(event: LeadValidated | LeadRejected) -> list[tuple[str, str]]:
    return [(r.reason, r.field) for r in event.reasons] if isinstance(event, LeadRejected) else []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"source": " QuoteHarbor "}, []),
        ({"source": " "}, [(Reason.SOURCE_MISSING, "source")]),
        ({"source": "quote harbor"}, [(Reason.SOURCE_UNKNOWN, "source")]),
        ({"source": "paused", "vertical": "roofing"}, [(Reason.SOURCE_PAUSED, "source")]),
        ({"source": "paused"}, [(Reason.SOURCE_PAUSED, "source"), (Reason.SOURCE_VERTICAL, "source")]),
        (
            {"source": "paused", "vertical": "boats"},
            [(Reason.SOURCE_PAUSED, "source"), (Reason.VERTICAL_UNKNOWN, "vertical")],
        ),
        ({"sub_id": " Banner  17"}, [(Reason.SUB_ID_PAUSED, "sub_id")]),
        ({"sub_id": "banner 17"}, []),
        ({"sub_id": "unheard of"}, []),
        ({"zip": "94105", "state": ""}, [(Reason.CRITERION_NOT_MET, "georgia")]),
        ({"source": "trial", "zip": "94105", "state": ""}, []),
    ],
)
def test_what_a_source_may_send(changes: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert reasons(judged(**changes)) == expected


def test_all_reasons_at_once_in_the_order_of_the_checks() -> None:
    typed = {"phone": "12", "bill": "20", "zip": "94105", "state": "", "sub_id": "Banner 17"}
    assert reasons(judged(**typed)) == [
        (Reason.SUB_ID_PAUSED, "sub_id"),
        (Reason.PHONE_INVALID, "phone"),
        (Reason.CRITERION_NOT_MET, "bill"),
        (Reason.CRITERION_NOT_MET, "georgia"),
    ]


def test_the_envelope_has_the_configured_id_or_nothing() -> None:
    assert judged(source="QUOTEHARBOR").source == "quoteharbor"
    assert judged(source="404-555-0123x").source == ""


def test_without_sources_a_lead_may_name_what_it_likes() -> None:
    open_ = configuration(verticals=[Vertical(name="solar")])
    assert (reasons(judged(open_, source="Any.1")), judged(open_, source="Any.1").source) == ([], "Any.1")
    assert (reasons(judged(open_, source="")), judged(open_, source="404 555").source) == ([], "")


def test_the_sub_id_stays_a_field_of_the_lead() -> None:
    event = judged(sub_id="A 1")
    assert isinstance(event, LeadValidated)
    assert event.lead.extra["sub_id"] == "A 1"


@pytest.mark.parametrize(
    ("changes", "test"),
    [
        ({}, False),
        ({"test": "yes"}, True),
        ({"lp_action": "test"}, True),
        ({"zip": "00000"}, True),
        ({"source": "trial"}, True),
        ({"sub_id": "sandbox"}, True),
    ],
)
def test_row_4_lead_level_test_flag_or_magic_test_input(changes: dict[str, str], test: bool) -> None:
    magic = Vertical.model_validate(SOLAR | {"test_zips": ["00000"]})
    event = judged(configuration(verticals=[magic], sources=[Source(id="quoteharbor", sub_ids=[
        {"id": "sandbox", "status": "test"}]), Source(id="trial", status="test")]), **changes)  # fmt: skip
    assert isinstance(event, LeadValidated), event
    assert event.lead.test is test


def test_filters_know_a_test_sources_leads_by_test() -> None:
    strict = Vertical.model_validate(SOLAR | {"filters": [{"name": "real", "reject_unless": "!test"}]})
    release = configuration(verticals=[strict], sources=[Source(id="trial", status="test")])
    assert reasons(judged(release, source="trial")) == [(Reason.CRITERION_NOT_MET, "real")]

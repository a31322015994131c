"""Eligibility: the index says of every campaign what its plain rules say, and each campaign is judged by itself."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, campaign, configuration, context, lead, unique
from pydantic import ValidationError

from schemas.config.campaign import Campaign
from schemas.config.vertical import Vertical
from schemas.events import Lead, LeadRouted, LeadUnrouted
from schemas.reasons import Reason
from streams.routing import market
from streams.routing.eligibility import EligibilityIndex
from streams.routing.explanation import reasons_of
from streams.routing.lead_values import LeadValues
from streams.routing.market import market_of
from streams.routing.predicates import Expressions, Failing, explain
from streams.routing.stage import Routing
from streams.tables import Tables

ZIPS = ("30303", "30030", "30060", "37402", "90012", "09001")
AREA_CODES = ("404", "770", "423")
EXPRESSIONS = (
    "state == 'GA'",
    "homeowner == 'yes'",
    "bill > 120",
    "phone_area_code in ['404']",
    "zip.startsWith('30')",
    "state",
    "1 / 0 == 1",
    "true",
)

SOLAR = Vertical.model_validate(
    {
        "name": "solar",
        "fields": [
            {"name": "homeowner", "type": "choice", "choices": ["yes", "rents"]},
            {"name": "bill", "type": "number"},
            {"name": "born", "type": "date"},
        ],
        "computed": [{"name": "surname", "type": "text", "value": "{{ last_name | upper }}"}],
    }
)


def index_over(*found: Campaign) -> EligibilityIndex:
    return EligibilityIndex(found, SOLAR)


def read(who: Lead) -> Expressions:
    """Every name that an expression of the vertical may read, of one lead."""
    return partial(LeadValues(SOLAR, SOLAR.names).context, who, NOW.date(), "quoteharbor")


filters = st.lists(st.tuples(st.sampled_from(EXPRESSIONS), st.sampled_from(["require", "unless"])), max_size=3).map(
    lambda found: [{"name": f"f{n}", kind: text} for n, (text, kind) in enumerate(found)]
)
schedules = st.one_of(
    st.none(),
    st.builds(
        lambda days, hours, dates: {
            "open": [{"days": days, "from": f"{hours[0]:02}:00", "to": f"{hours[1]:02}:00"}],
            "closed_dates": dates,
        },
        st.sets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1),
        st.tuples(st.integers(0, 23), st.integers(0, 24)).filter(lambda hours: hours[0] != hours[1]),
        st.lists(st.sampled_from(["2026-03-04", "2026-03-08"]), max_size=1),
    ),
)
wanted = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["active", "active", "paused"]),
        "states": st.sets(st.sampled_from(["CA", "GA", "TN", "AE"])).map(frozenset),
        "zips": st.sets(st.sampled_from(ZIPS)),
        "radius": st.lists(
            st.fixed_dictionaries({"zip": st.sampled_from(ZIPS[:-1]), "miles": st.sampled_from([1, 12, 120])}),
            max_size=2,
        ),
        "area_codes": st.sets(st.sampled_from(AREA_CODES)),
        "schedule": schedules,
        "time_zone": st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]),
        "filters": filters,
    },
)
campaigns = st.lists(wanted, max_size=8).map(lambda found: [campaign(f"c{n}", **w) for n, w in enumerate(found)])
leads = st.builds(
    lambda place, code, extra: lead(
        zip=place[0], state=place[1], phone=code and f"+1{code}5550123", email="a@example.com", extra=extra
    ),
    st.sampled_from(list(zip(ZIPS, ("GA", "GA", "GA", "TN", "CA", "AE"), strict=True))),
    st.one_of(st.none(), st.sampled_from(AREA_CODES)),
    st.fixed_dictionaries(
        {}, optional={"homeowner": st.sampled_from(["yes", "rents"]), "bill": st.sampled_from(["90", "150.5", "much"])}
    ),
)
moments = st.integers(0, 7 * 24 * 60).map(lambda m: datetime(2026, 3, 4, tzinfo=UTC) + timedelta(minutes=m))


@given(campaigns, leads, moments)
@settings(max_examples=300)
def test_the_index_is_the_plain_rules_campaign_by_campaign(found: list[Campaign], who: Lead, now: datetime) -> None:
    index = index_over(*found)
    result = index.evaluate(who, now, index.expressions(who, NOW.date(), "quoteharbor"))
    plain = {one.id: explain(one, who, now, read(who)) for one in found}
    reasons = {name: failing and failing.reason for name, failing in plain.items()}
    assert {one.id: result.reason_of(one.id) for one in found} == reasons
    assert result.reasons() == {name: reason for name, reason in reasons.items() if reason is not None}
    assert [one.id for one in result.qualified] == [one.id for one in found if reasons[one.id] is None]
    masks = [mask for _, mask in result.failed]
    assert all(masks)
    assert sum(masks).bit_count() == sum(mask.bit_count() for mask in masks) == len(found) - len(result.qualified)


@given(campaigns, leads, moments, st.data())
def test_an_ineligible_campaign_changes_nobody_elses_result(
    found: list[Campaign], who: Lead, now: datetime, data: st.DataObject
) -> None:
    before = index_over(*found).evaluate(who, now, read(who))
    place = data.draw(st.integers(0, len(found)))
    more = [*found[:place], campaign("more", states=frozenset({"WY"})), *found[place:]]
    after = index_over(*more).evaluate(who, now, read(who))
    assert after.qualified == before.qualified
    assert after.reasons() == before.reasons() | {"more": Reason.FILTER_STATE}


@given(campaigns, leads, moments)
def test_no_explanation_quotes_a_person(found: list[Campaign], who: Lead, now: datetime) -> None:
    for one in found:
        failing = explain(one, who, now, read(who))
        actual = failing.actual if failing else ""
        assert not any(text in actual for text in (who.zip, who.phone or "-----", who.email or "", who.last_name))
        assert not failing or not {"yes", "rents", "90", "150.5", "much"} & set(actual.split())


def test_predicates_have_an_order() -> None:
    predicates: list[tuple[Reason, dict[str, Any]]] = [
        (Reason.CAMPAIGN_PAUSED, {"status": "paused"}),
        (Reason.FILTER_STATE, {"states": frozenset({"CA"})}),
        (Reason.FILTER_ZIP, {"zips": ["90012"]}),
        (Reason.FILTER_RADIUS, {"radius": [{"zip": "90012", "miles": 10}]}),
        (Reason.FILTER_AREA_CODE, {"area_codes": ["213"]}),
        (Reason.SCHEDULE_CLOSED, {"schedule": {"closed_dates": ["2026-03-04"]}}),
        (Reason.FILTER_EXPRESSION, {"filters": [{"name": "never", "require": "false"}]}),
    ]
    for place, (reason, _) in enumerate(predicates):
        later = [
            changes for later, changes in predicates[place:] if reason is Reason.FILTER_ZIP or "zips" not in changes
        ]
        if reason is Reason.FILTER_ZIP:  # a radius would make the list a part of its territory
            later = [changes for changes in later if "radius" not in changes]
        one = campaign("one", **{name: value for changes in later for name, value in changes.items()})
        assert index_over(one).evaluate(lead(), NOW, read(lead())).reason_of("one") is reason


def require(text: str) -> dict[str, str]:
    return {"name": f"r{len(text)}", "require": text}


def unless(text: str) -> dict[str, str]:
    return {"name": f"u{len(text)}", "unless": text}


FILTERS: list[tuple[list[dict[str, str]], dict[str, str], Reason | None]] = [
    ([require("homeowner == 'yes'")], {"homeowner": "yes"}, None),
    ([require("homeowner == 'yes'")], {"homeowner": "rents"}, Reason.FILTER_EXPRESSION),
    ([unless("homeowner == 'yes'")], {"homeowner": "rents"}, None),
    ([unless("homeowner == 'yes'")], {"homeowner": "yes"}, Reason.FILTER_EXPRESSION),
    # typed values, parts and computed fields, the envelope
    ([require("bill > 120")], {"bill": "150.5"}, None),
    ([require("bill > 120")], {"bill": "90"}, Reason.FILTER_EXPRESSION),
    ([require("born_age >= 25")], {"born": "2001-03-04"}, None),
    ([require("born_age >= 25")], {"born": "2001-03-05"}, Reason.FILTER_EXPRESSION),
    ([require("phone_area_code == '404' && zip_county.startsWith('Fulton')")], {}, None),
    ([require("surname == 'MCDONALD'")], {"surname": "MCDONALD"}, None),
    ([require("source == 'quoteharbor' && !test")], {}, None),
    # a missing value is null: it equals nothing, and neither is nor is not more than a number
    ([require("homeowner == null")], {}, None),
    ([require("homeowner == 'yes'")], {}, Reason.FILTER_EXPRESSION),
    ([require("bill > 120")], {}, Reason.FILTER_EXPRESSION_ERROR),
    ([unless("bill > 120")], {}, Reason.FILTER_EXPRESSION_ERROR),
    ([require("bill == null || bill > 120")], {}, None),
    # what cannot be read as its type, no truth value, a fault of arithmetic, an unknown function
    ([unless("bill > 120")], {"bill": "much"}, Reason.FILTER_EXPRESSION_ERROR),
    ([require("bill")], {"bill": "150"}, Reason.FILTER_EXPRESSION_ERROR),
    ([require("1 / 0 == 1")], {}, Reason.FILTER_EXPRESSION_ERROR),
    ([unless("expensive(bill)")], {"bill": "150"}, Reason.FILTER_EXPRESSION_ERROR),
    # all must take the lead, the first that does not is the reason
    ([require("true"), require("false")], {}, Reason.FILTER_EXPRESSION),
    ([require("false"), require("bill > 1")], {}, Reason.FILTER_EXPRESSION),
    ([require("bill > 1"), require("false")], {}, Reason.FILTER_EXPRESSION_ERROR),
    # what came under the name of a standard field is not it
    ([require("state == 'GA'")], {"state": "CA"}, None),
]


@pytest.mark.parametrize(("own", "extra", "reason"), FILTERS)
def test_filters_of_a_campaign(own: list[dict[str, str]], extra: dict[str, str], reason: Reason | None) -> None:
    one, who = campaign("one", filters=own), lead(extra=extra)
    assert index_over(one).evaluate(who, NOW, read(who)).reason_of("one") == reason
    failing = explain(one, who, NOW, read(who))
    assert (failing and failing.reason) == reason


def test_a_filter_is_explained_by_its_rule() -> None:
    one = campaign("one", filters=[{"name": "owner", "unless": "homeowner == 'yes'"}])
    who = lead(extra={"homeowner": "yes"})
    found = explain(one, who, NOW, read(who))
    assert found == Failing(Reason.FILTER_EXPRESSION, "owner: unless homeowner == 'yes'", "holds")


def test_the_context_is_built_once_and_only_for_filters() -> None:
    built: list[int] = []

    def expressions() -> cel.Context:
        built.append(1)
        return cel.Context(variables={"bill": 150.0})

    own = [{"name": "bill", "require": "bill > 120"}]
    index = index_over(campaign("a", filters=own), campaign("b", filters=own), campaign("c"))
    assert len(index.evaluate(lead(), NOW, expressions).qualified) == 3
    assert len(built) == 1
    assert explain(index.campaigns[0], lead(), NOW, expressions) is None
    assert len(built) == 2
    far = index.evaluate(lead(state="WY"), NOW, expressions)
    assert far.qualified == ()
    assert index_over(campaign("c")).evaluate(lead(), NOW, expressions).qualified
    assert explain(index.campaigns[2], lead(), NOW, expressions) is None
    assert len(built) == 2
    with pytest.raises(KeyError):
        far.reason_of("d")


def test_no_campaign_is_nobody() -> None:
    result = index_over().evaluate(lead(), NOW, cel.Context)
    assert (result.qualified, result.failed, result.reasons()) == ((), (), {})


def test_an_index_lives_as_long_as_its_configuration() -> None:
    release = configuration(campaign("one"), campaign("two", vertical="roofing"))
    index = market_of(release, "solar").index
    assert market_of(release, "solar").index is index
    assert market_of(release, "roofing").index.campaigns == (release.campaign_by_id["two"],)
    assert market_of(release, "windows").index.campaigns == ()
    known = len(market._markets)
    del release
    gc.collect()
    assert len(market._markets) == known - 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"status": "paused"}, Reason.CAMPAIGN_PAUSED),
        ({"zips": ["90012"]}, Reason.FILTER_ZIP),
        ({"radius": [{"zip": "90012", "miles": 10}]}, Reason.FILTER_RADIUS),
        ({"area_codes": ["213"]}, Reason.FILTER_AREA_CODE),
        ({"schedule": {"closed_dates": ["2026-03-04"]}}, Reason.SCHEDULE_CLOSED),
        ({"filters": [{"name": "owner", "require": "state == 'CA'"}]}, Reason.FILTER_EXPRESSION),
        ({"filters": [{"name": "owner", "require": "double(last_name) > 1.0"}]}, Reason.FILTER_EXPRESSION_ERROR),
    ],
)
def test_routing_decides_by_every_field_of_a_campaign(changes: dict[str, Any], reason: Reason | None) -> None:
    release = configuration(campaign("one", **changes))
    found = Routing().process([unique("one")], Tables(), context(release))
    event = found[0].value
    assert isinstance(event, LeadRouted | LeadUnrouted)
    assert isinstance(event, LeadRouted) == (reason is None)
    assert reasons_of(event.trace, release) == ({} if reason is None else {"one": reason})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("homeowner == 'yes'", "campaign one: filter own: .*no field 'homeowner'"),
        ("zip > 30000", "types that do not go together"),
        ("expensive(zip)", "no function 'expensive'"),
        ("zip", "neither true nor false"),
    ],
)
def test_a_filter_that_could_never_take_a_lead_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        configuration(campaign("one", filters=[{"name": "own", "require": text}]))

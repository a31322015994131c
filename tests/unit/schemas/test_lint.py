"""The linter: each rule finds its trap, and a configuration without one is quiet."""

from __future__ import annotations

import pytest
from kit.builders import campaign, cap, configuration

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.delivery import DirectPost
from schemas.config.filters import Filter
from schemas.config.lint import RULES, Finding, Severity, lint
from schemas.config.release import Configuration
from schemas.config.schedule import Schedule, Window
from schemas.config.source import Source
from schemas.config.vertical import Vertical

DAYTIME = Schedule(open=(Window(opens="09:00", closes="17:00"),))


def sound(name: str, **changes: object) -> Campaign:
    return campaign(name, **{"price": "12.50", "schedule": DAYTIME} | changes)


def found(*campaigns: Campaign) -> list[tuple[str, str | None, str | None]]:
    return [(f.code, f.trap.id, f.trap.field) for f in lint(configuration(*campaigns))]


QUIET = configuration(sound("one", priority=1), sound("two", priority=2))


def test_a_sound_configuration_is_quiet() -> None:
    assert lint(QUIET) == ()


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"caps": (cap(0),)}, "campaign.unreachable", "caps"),
        ({"price": "0"}, "campaign.free", "price"),
        ({"delivery": DirectPost(url="http://buyer.example/leads")}, "campaign.plain_http", "delivery"),
        ({"delivery": DirectPost(url="http://192.0.2.1/leads")}, "campaign.plain_http", "delivery"),
        ({"status": "paused"}, "campaign.paused", "status"),
        ({"schedule": None}, "campaign.always_open", "schedule"),
        ({"states": frozenset()}, "campaign.everywhere", "states"),
        (
            {"filters": (Filter(name="a", require="state == 'CA'"), Filter(name="b", unless="state == 'CA'"))},
            "campaign.contradiction",
            "filters",
        ),
    ],
)
def test_a_trap_of_a_campaign(changes: dict[str, object], code: str, field: str) -> None:
    assert found(sound("one", **changes), sound("two", priority=1)) == [(code, "one", field)]


@pytest.mark.parametrize("limits", [{"caps": (cap(0, "month"),)}, {"credit": "0"}])
def test_a_buyer_whose_limit_is_0_has_campaigns_that_no_lead_reaches(limits: dict[str, object]) -> None:
    closed = configuration(sound("one"), buyers=[Buyer.model_validate({"id": "one", "name": "One", **limits})])
    assert [(f.code, f.trap.id, f.trap.field) for f in lint(closed)] == [("campaign.unreachable", "one", "buyer")]


def test_a_cap_of_0_on_one_source_is_no_trap() -> None:
    one = sound("one", caps=(cap(0, source="acme"),))
    assert lint(configuration(one, sources=[Source(id="acme")])) == ()


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost", "[::1]:80", "buyer.localhost"])
def test_plain_http_on_this_machine_is_no_trap(host: str) -> None:
    assert found(sound("one", delivery=DirectPost(url=f"http://{host}/leads"))) == []


def test_campaigns_without_a_schedule_are_told_once_when_none_has_one() -> None:
    always = [sound(name, schedule=None, priority=n) for n, name in enumerate("abc")]
    assert found(*always) == [("campaign.always_open", None, None)]
    assert [trap[1] for trap in found(*always, sound("d"))] == ["a", "b", "c"]
    assert found(sound("d"), sound("e", schedule=Schedule(), priority=1)) == [("campaign.always_open", "e", "schedule")]


def test_a_vertical_that_nobody_buys() -> None:
    unsold = configuration(sound("one"), verticals=[Vertical(name="roofing")])
    assert [(f.code, f.trap.kind, f.trap.id) for f in lint(unsold)] == [("vertical.unused", "verticals", "roofing")]
    (finding,) = [f for f in lint(configuration(sound("one", status="paused"))) if f.code == "vertical.unused"]
    assert "paused" in finding.trap.message


def test_a_buyer_who_buys_nothing() -> None:
    idle = Configuration(
        verticals=QUIET.verticals, buyers=(*QUIET.buyers, Buyer(id="idle", name="Idle")), campaigns=QUIET.campaigns
    )
    assert [(f.code, f.trap.kind, f.trap.id) for f in lint(idle)] == [("buyer.unused", "buyers", "idle")]


def test_equal_priorities_that_take_turns_are_one_finding() -> None:
    tied = [sound(name) for name in ("one", "two", "three")]
    (finding,) = lint(configuration(*tied))
    assert (finding.code, finding.severity) == ("campaign.tie", Severity.INFO)
    assert (finding.trap.id, "priority 100 in solar in common with three, two" in finding.trap.message) == ("one", True)


@pytest.mark.parametrize(
    "changes",
    [{"states": frozenset({"HI"})}, {"status": "paused"}, {"priority": 1}, {"vertical": "roofing"}],
)
def test_campaigns_that_never_meet_are_no_tie(changes: dict[str, object]) -> None:
    assert "campaign.tie" not in [code for code, *_ in found(sound("one"), sound("two", **changes))]


def test_warnings_come_first() -> None:
    findings: tuple[Finding, ...] = lint(configuration(campaign("one", schedule=None), campaign("two")))
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=[Severity.WARNING, Severity.INFO].index)
    assert set(severities) == set(Severity)


def test_every_rule_says_what_it_finds() -> None:
    for code, (_, rule) in RULES.items():
        assert code.count(".") == 1
        assert rule.__doc__

"""The predicates of one campaign, by the plain rules: what :mod:`streams.routing.eligibility` does for all at once.

In order: status, states, zips and radius, area codes, schedule, filters. The first that fails is the campaign's reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import cel

from schemas.config.campaign import Campaign
from schemas.config.filters import Filter
from schemas.config.schedule import DAYS, Window
from schemas.events import Lead
from schemas.reasons import Reason
from streams.expressions import Answer, evaluate
from streams.routing.geography import area_code, miles_between
from streams.routing.schedules import is_open

SHOWN: Final = 12

DECIDED: Final = frozenset({Answer.HOLDS, Answer.FAILS})

Expressions = Callable[[], cel.Context]
"""Gives the CEL context of a lead; called at most once, and only where a filter has to be evaluated."""


@dataclass(frozen=True)
class Failing:
    """Why a campaign is not eligible: ``expected`` is the configured side, ``actual`` the lead's or the clock's.

    Personal values (zip, phone, what an expression reads) are never quoted: there ``actual`` is a word about them.
    """

    reason: Reason
    expected: str
    actual: str


def explain(campaign: Campaign, lead: Lead, now: datetime, expressions: Expressions) -> Failing | None:
    """The first predicate that a lead fails at a moment, or None where the campaign is eligible."""
    if campaign.status != "active":
        return Failing(Reason.CAMPAIGN_PAUSED, "status active", campaign.status)
    return _geography(campaign, lead) or _schedule(campaign, now) or _filters(campaign, lead, expressions)


def passing_answer(own: Filter) -> Answer:
    """What a filter's expression must say for the lead to be taken."""
    return Answer.HOLDS if own.wanted else Answer.FAILS


def _geography(campaign: Campaign, lead: Lead) -> Failing | None:
    if campaign.states and lead.state not in campaign.states:
        return Failing(Reason.FILTER_STATE, _one_of(campaign.states, "states"), lead.state)
    listed = lead.zip in campaign.zips
    if campaign.radius:
        distances = [(miles_between(circle.zip, lead.zip), circle.miles) for circle in campaign.radius]
        if not listed and not any(miles is not None and miles <= limit for miles, limit in distances):
            circles = [f"{circle.miles:g} miles of {circle.zip}" for circle in campaign.radius]
            also = f" or {_one_of(campaign.zips, 'zips')}" if campaign.zips else ""
            return Failing(Reason.FILTER_RADIUS, f"within {_one_of(circles, 'circles')}{also}", "outside")
    elif campaign.zips and not listed:
        return Failing(Reason.FILTER_ZIP, _one_of(campaign.zips, "zips"), "another")
    code = area_code(lead.phone)
    if campaign.area_codes and code not in campaign.area_codes:
        return Failing(Reason.FILTER_AREA_CODE, _one_of(campaign.area_codes, "area codes"), code or "no phone")
    return None


def _schedule(campaign: Campaign, now: datetime) -> Failing | None:
    if campaign.schedule is None or is_open(campaign.schedule, campaign.time_zone, now):
        return None
    local = now.astimezone(ZoneInfo(campaign.time_zone))
    actual = f"{DAYS[local.weekday()]} {local:%Y-%m-%d %H:%M} {campaign.time_zone}"
    if local.date() in campaign.schedule.closed_dates:
        return Failing(Reason.SCHEDULE_CLOSED, f"not on {local:%Y-%m-%d}", actual)
    return Failing(Reason.SCHEDULE_CLOSED, " or ".join(map(_hours, campaign.schedule.open)), actual)


def _filters(campaign: Campaign, lead: Lead, expressions: Expressions) -> Failing | None:
    if not campaign.filters:
        return None
    context = expressions()
    for own in campaign.filters:
        answer = evaluate(cel.compile(own.expression), context)
        if answer is passing_answer(own):
            continue
        reason = Reason.FILTER_EXPRESSION if answer in DECIDED else Reason.FILTER_EXPRESSION_ERROR
        return Failing(reason, f"{own.name}: {'require' if own.wanted else 'unless'} {own.expression}", answer.value)
    return None


def _hours(window: Window) -> str:
    return f"{','.join(window.days)} {window.opens}-{window.closes}"


def _one_of(values: Collection[str], kind: str) -> str:
    return ", ".join(sorted(values)) if len(values) <= SHOWN else f"one of {len(values)} {kind}"

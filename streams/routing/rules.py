"""Eligibility and order: which campaigns may take a lead, and who is asked first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from schemas.config.campaign import Campaign
from schemas.events import Candidate, Evaluation, Lead
from schemas.reasons import Reason
from streams.tables import Table


def first_failing(campaign: Campaign, lead: Lead) -> Reason | None:
    """The first predicate of a campaign that a lead fails, or None when the campaign qualifies."""
    if lead.state not in campaign.states:
        return Reason.FILTER_STATE
    return None


def rank(qualified: Sequence[Campaign], turns: Table[int], key: str) -> list[Campaign]:
    """The qualified campaigns in the order they are offered the lead, which takes one turn.

    ``qualified`` comes best priority first, then by id. Equal priorities take turns: the group starts one place further
    with each lead that has the same group, so over any window two campaigns' first places differ by at most one.
    """
    ranked: list[Campaign] = []
    for priority, members in groupby(qualified, key=lambda c: c.priority):
        group = list(members)
        if len(group) > 1:
            # The turn belongs to the exact group: another set of campaigns has a turn of its own.
            turn_key = f"{key}:{priority}:{','.join(c.id for c in group)}"
            turn = turns.get(turn_key) or 0
            turns[turn_key] = turn + 1
            start = turn % len(group)
            group = group[start:] + group[:start]
        ranked += group
    return ranked


def evaluate(
    campaigns: Sequence[Campaign], lead: Lead, turns: Table[int], key: str
) -> tuple[list[Candidate], list[Evaluation]]:
    """The candidates in order, and what was found about every campaign of the vertical."""
    failing = {campaign.id: first_failing(campaign, lead) for campaign in campaigns}
    ranked = rank([c for c in campaigns if failing[c.id] is None], turns, key)
    places = {campaign.id: place for place, campaign in enumerate(ranked)}
    candidates = [Candidate(campaign=c.id, buyer=c.buyer, price=c.price) for c in ranked]
    evaluations = [Evaluation(campaign=c.id, reason=failing[c.id], rank=places.get(c.id)) for c in campaigns]
    return candidates, evaluations

"""The decision about a lead: of the eligible campaigns, who is asked first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from schemas.config.campaign import Campaign
from schemas.events import Candidate, Evaluation, LeadUnique
from streams.routing.eligibility import EligibilityIndex
from streams.tables import Table


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
    index: EligibilityIndex, event: LeadUnique, now: datetime, turns: Table[int]
) -> tuple[list[Candidate], list[Evaluation]]:
    """The candidates in order, and what was found about every campaign of the vertical."""
    found = index.evaluate(event.lead, now, index.expressions(event.lead, event.received_at.date(), event.source))
    ranked = rank(found.qualified, turns, event.vertical)
    reasons = found.reasons()
    places = {campaign.id: place for place, campaign in enumerate(ranked)}
    candidates = [Candidate(campaign=c.id, buyer=c.buyer, price=c.price) for c in ranked]
    evaluations = [Evaluation(campaign=c.id, reason=reasons.get(c.id), rank=places.get(c.id)) for c in index.campaigns]
    return candidates, evaluations

"""The methods of distribution: in which order a group's qualified campaigns are asked, and what is remembered of it.

Pure: what a method remembers comes in by ``read``, asked only where it is needed, and goes out as changes. The bounds
stated here hold in one partition of routing, which remembers for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from schemas.config.campaign import Campaign
from schemas.config.route import Method
from schemas.decision import Standing

ROUNDING: Final = 1e-9
"""In leads: what sums of floats may be off."""


class Kind(StrEnum):
    """What a group remembers of its campaigns."""

    TURNS = "turns"
    """The number of a campaign's last turn, 0 before the first; in total the turns taken."""
    VIRTUAL_TIMES = "virtual_times"
    """When a campaign's next lead is due to begin, in virtual time; in total the group's virtual time."""
    DAY_COUNTS = "day_counts"
    """How many leads a campaign was first for today; in total those of the group."""
    RATES = "rates"
    """The share of leads that a campaign accepted lately. Changed by answers, never by a decision."""


Read = Callable[[Kind], Standing]
"""What is remembered of one kind: the total, and one value for each qualified campaign, in the order given."""


class Ordered(NamedTuple):
    """Positions in the qualified campaigns, first asked first; and what is to be remembered, if anything: the group's
    new total of a ``kind``, and new values by position."""

    order: list[int]
    kind: Kind | None
    total: float | None
    changes: dict[int, float]


def ordered(
    method: Method, campaigns: Sequence[Campaign], prices: Sequence[int], all_weights: int, read: Read
) -> Ordered:
    """The order of a group's qualified campaigns, which come best priority first, then by id.

    ``prices`` are the best that each may pay, in ten-thousandths; ``all_weights`` is the sum over all the group's
    campaigns, those that do not qualify among them.
    """
    if method is Method.ROUND_ROBIN:
        return _ranked(campaigns, [0] * len(campaigns), read)
    if method is Method.PRIORITY:
        return _ranked(campaigns, [campaign.priority for campaign in campaigns], read)
    if method is Method.WEIGHTED:
        return _weighted(campaigns, read)
    if method is Method.PERCENTAGE:
        return _percentage(campaigns, all_weights, read)
    if method is Method.HIGHEST_EARNINGS and len(campaigns) > 1:
        rates = read(Kind.RATES).values
        earnings = [price * rate for price, rate in zip(prices, rates, strict=True)]
        return _ranked(campaigns, earnings, read, highest=True)
    return _ranked(campaigns, prices, read, highest=True)


def _ranked(campaigns: Sequence[Campaign], ranks: Sequence[Any], read: Read, *, highest: bool = False) -> Ordered:
    """By rank; equals take turns, least recently first, and the first of each set of equals takes one.

    While the same campaigns qualify each is first again after all its equals were: over any window of leads two of them
    differ by at most one.
    """
    if len(set(ranks)) == len(ranks):
        return Ordered(sorted(range(len(ranks)), key=ranks.__getitem__, reverse=highest), None, None, {})
    standing = read(Kind.TURNS)
    order = sorted(range(len(campaigns)), key=standing.values.__getitem__)
    order.sort(key=ranks.__getitem__, reverse=highest)  # stable, reversed too: equals stay by their turns
    total, changes = standing.total, {}
    first = order[0]
    for place in order[1:]:
        if ranks[place] != ranks[first]:
            first = place
        elif first not in changes:
            total += 1
            changes[first] = total
    return Ordered(order, Kind.TURNS, total, changes)


def _weighted(campaigns: Sequence[Campaign], read: Read) -> Ordered:
    """Earliest deadline first, each lead of a campaign of weight ``w`` having a window of ``1 / w`` in virtual time,
    of which a lead takes ``1 / W`` (``W`` is the sum of the weights of those that qualify).

    While the same campaigns qualify, each has had less than one lead more or less than its exact share after any number
    of leads: a lead may not begin before its window does, to the whole lead, and in such windows earliest deadline
    first misses none (Steiner and Yeomans 1993; Tijdeman 1980; the virtual time is that of EEVDF, Stoica 1995). One
    that did not qualify for a while is not owed more than one lead for it.
    """
    weights = [campaign.weight for campaign in campaigns]
    whole = sum(weights)
    if whole == 0:
        return Ordered(list(range(len(weights))), None, None, {})
    standing = read(Kind.VIRTUAL_TIMES)
    now, remembered = standing.total, standing.values
    lengths = [1 / weight if weight else 0.0 for weight in weights]
    starts = [max(at, now - length) for at, length in zip(remembered, lengths, strict=True)]
    # By the deadlines remembered: of those that are long over the one that is over for longest, so that none that wait
    # are starved by others that come and go. Of equals the shorter window: they alternate more smoothly.
    deadlines = [(at + length, length) for at, length in zip(remembered, lengths, strict=True)]
    order = sorted((place for place, weight in enumerate(weights) if weight), key=deadlines.__getitem__)
    begins = now + (1 - ROUNDING) / whole
    chosen = next((place for place in order if starts[place] < begins), None)
    if chosen is None:  # all were served ahead of time, by those that left: time goes on to the next that is due
        chosen = min(order, key=starts.__getitem__)
        now = starts[chosen]
    order.remove(chosen)
    last = [place for place, weight in enumerate(weights) if not weight]
    changes = {chosen: starts[chosen] + lengths[chosen]}
    return Ordered([chosen, *order, *last], Kind.VIRTUAL_TIMES, now + 1 / whole, changes)


def _percentage(campaigns: Sequence[Campaign], all_weights: int, read: Read) -> Ordered:
    """The lowest of current less configured share first, counted over a day; ties by order. Without weight: last."""
    weights = [campaign.weight for campaign in campaigns]
    if not any(weights):
        return Ordered(list(range(len(weights))), None, None, {})
    standing = read(Kind.DAY_COUNTS)
    whole = standing.total or 1.0
    over = [
        (not weight, count / whole - weight / all_weights)
        for weight, count in zip(weights, standing.values, strict=True)
    ]
    order = sorted(range(len(weights)), key=over.__getitem__)
    return Ordered(order, Kind.DAY_COUNTS, standing.total + 1, {order[0]: standing.values[order[0]] + 1})

"""Eligibility: which of a vertical's campaigns may take a lead, decided for all of them at once.

A set of campaigns is a bit mask, a Python int with one bit a campaign. Each predicate gives the mask of those that pass
it; what remains shrinks from predicate to predicate, so the first failing predicate of every campaign falls out as a
few pairs of reason and mask. The order and the meaning are those of :mod:`streams.routing.predicates`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial, reduce
from itertools import chain, compress, repeat
from operator import or_
from typing import Final, TypeVar

import cel

from schemas.config.campaign import Campaign
from schemas.config.vertical import Vertical
from schemas.events import Lead
from schemas.expressions import names_read
from schemas.reasons import Reason
from streams.expressions import Answer, evaluate
from streams.routing.geography import area_code, zips_within
from streams.routing.lead_values import LeadValues
from streams.routing.predicates import DECIDED, Expressions, passing_answer
from streams.routing.schedules import OpeningHours

T = TypeVar("T")

Failed = tuple[Reason, int]
"""A first failing predicate, and the mask of the campaigns that it is the first of."""

NOBODY: Final[Mapping[Reason, int]] = {}
STANDARD_VERTICAL: Final = Vertical(name="standard")
"""A vertical with no fields but those of every lead."""
FEW: Final = 24
_DIGITS_TO_BOOLS: Final = bytes.maketrans(b"01", b"\x00\x01")


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Who qualifies, in the index's order, and why each other campaign does not. In a mask the index's first campaign
    has the highest bit."""

    qualified: tuple[Campaign, ...]
    failed: tuple[Failed, ...]
    _campaigns: tuple[Campaign, ...] = field(repr=False, compare=False)
    _bits: Mapping[str, int] = field(repr=False, compare=False)

    def reason_of(self, campaign_id: str) -> Reason | None:
        """A campaign's first failing predicate, or None where it qualifies.

        Raises:
            KeyError: the vertical has no such campaign.
        """
        bit = self._bits[campaign_id]
        return next((reason for reason, mask in self.failed if mask & bit), None)

    def reasons(self) -> dict[str, Reason]:
        """The first failing predicate of every campaign that does not qualify, by its id."""
        return {c.id: reason for reason, mask in self.failed for c in _members(mask, self._campaigns)}


class _Takers:
    """A predicate on one value of the lead: the campaigns that do not ask, and those that take each value."""

    def __init__(self, campaigns: int, wanted: Iterable[tuple[int, Iterable[str]]]) -> None:
        takers: defaultdict[str, int] = defaultdict(int)
        asking = 0
        for bit, values in wanted:
            asking |= bit
            for value in values:
                takers[value] |= bit
        self._unrestricted = campaigns & ~asking
        self._takers = dict(takers)

    def passing(self, value: str | None) -> int:
        return self._unrestricted | self._takers.get(value or "", 0)


class EligibilityIndex:
    """The campaigns of one vertical in a fixed order, prepared for one release."""

    def __init__(self, campaigns: Sequence[Campaign], vertical: Vertical = STANDARD_VERTICAL) -> None:
        self.campaigns: Final = tuple(campaigns)
        count = len(self.campaigns)
        bit_of = {campaign.id: 1 << (count - 1 - place) for place, campaign in enumerate(self.campaigns)}
        placed = [(campaign, bit_of[campaign.id]) for campaign in self.campaigns]
        self._bits = bit_of
        self._all = everyone = (1 << count) - 1
        self._active = sum(bit for c, bit in placed if c.status == "active")
        self._states = _Takers(everyone, ((bit, c.states) for c, bit in placed if c.states))
        self._zips = _Takers(everyone, ((bit, c.zips) for c, bit in placed if c.zips and not c.radius))
        self._territories = _Takers(everyone, ((bit, territory(c)) for c, bit in placed if c.radius))
        self._area_codes = _Takers(everyone, ((bit, c.area_codes) for c, bit in placed if c.area_codes))
        self._hours = OpeningHours(placed)
        texts = dict.fromkeys(own.expression for c in self.campaigns for own in c.filters)
        place_of = {text: place for place, text in enumerate(texts)}
        # Equal expressions of several campaigns are compiled, and evaluated for a lead, once.
        self._programs = [cel.compile(text) for text in place_of]
        self._values = LeadValues(vertical, frozenset[str]().union(*map(names_read, self._programs)))
        self._filtered = sum(bit for c, bit in placed if c.filters)
        self._filters = [
            (bit, tuple((place_of[own.expression], passing_answer(own)) for own in c.filters)) for c, bit in placed
        ]

    def expressions(self, lead: Lead, received_on: date, source: str) -> Expressions:
        """What the campaigns' filters read of a lead, made when it is asked for."""
        return partial(self._values.context, lead, received_on, source)

    def evaluate(self, lead: Lead, now: datetime, expressions: Expressions) -> Eligibility:
        """Who may take a lead at a moment."""
        remaining, failed = self.judge(lead, now, expressions)
        return Eligibility(self.members(remaining), tuple(failed), self.campaigns, self._bits)

    def judge(
        self,
        lead: Lead,
        now: datetime,
        expressions: Expressions,
        before: Iterable[Failed] = (),
        after: Iterable[Failed] = (),
        exempt: Mapping[Reason, int] = NOBODY,
    ) -> tuple[int, list[Failed]]:
        """The mask of those who may take a lead at a moment, and why the others may not.

        Predicates of the caller, each a reason with the mask of the campaigns that *pass* it, come ``before`` the
        campaign's own, or ``after`` its place and hours, but before its filters, which cost most. ``exempt`` campaigns
        pass the predicate whatever it says.
        """
        remaining = self._all
        failed: list[Failed] = []
        own = (
            (Reason.CAMPAIGN_PAUSED, self._active),
            (Reason.FILTER_STATE, self._states.passing(lead.state)),
            # A campaign has one of the two: with a radius, its zips are part of its territory.
            (Reason.FILTER_ZIP, self._zips.passing(lead.zip)),
            (Reason.FILTER_RADIUS, self._territories.passing(lead.zip)),
            (Reason.FILTER_AREA_CODE, self._area_codes.passing(area_code(lead.phone))),
            (Reason.SCHEDULE_CLOSED, self._hours.open_at(now)),
        )
        for reason, passing in chain(before, own, after):
            if (missed := remaining & ~passing) and (missed := missed & ~exempt.get(reason, 0)):
                failed.append((reason, missed))
                remaining ^= missed
        if asked := remaining & self._filtered:
            for reason, missed in self._filter(asked, expressions()):
                if missed := missed & ~exempt.get(reason, 0):
                    failed.append((reason, missed))
                    remaining ^= missed
        return remaining, failed

    def members(self, mask: int) -> tuple[Campaign, ...]:
        """The campaigns of a mask, in the index's order."""
        return _members(mask, self.campaigns)

    def select(self, mask: int, of: Sequence[T]) -> tuple[T, ...]:
        """Of a sequence with one item a campaign, in the index's order, those of a mask."""
        return _members(mask, of)

    def mask_of(self, campaigns: Iterable[str]) -> int:
        """The mask of those of these ids that the index has."""
        return reduce(or_, map(self._bits.get, campaigns, repeat(0)), 0)

    def packed(self, mask: int) -> bytes:
        """A mask as events carry it: see :class:`schemas.decision.Failed`."""
        count = len(self.campaigns)
        return (mask << -count % 8).to_bytes((count + 7) // 8, "big")

    def unpacked(self, data: bytes) -> int:
        """The mask that an event carries."""
        return int.from_bytes(data, "big") >> -len(self.campaigns) % 8

    @property
    def everyone(self) -> int:
        """The mask of all campaigns."""
        return self._all

    def _filter(self, asked: int, context: cel.Context) -> list[Failed]:
        answers: dict[int, Answer] = {}
        unmatched = undecided = 0
        for bit, filters in _members(asked, self._filters):
            for place, passing in filters:
                if (answer := answers.get(place)) is None:
                    answer = answers[place] = evaluate(self._programs[place], context)
                if answer is not passing:
                    if answer in DECIDED:
                        unmatched |= bit
                    else:
                        undecided |= bit
                    break
        both = ((Reason.FILTER_EXPRESSION, unmatched), (Reason.FILTER_EXPRESSION_ERROR, undecided))
        return [(reason, missed) for reason, missed in both if missed]


def territory(campaign: Campaign) -> frozenset[str]:
    """Every ZIP code that a campaign lists or that lies in one of its circles."""
    return frozenset(campaign.zips).union(*(zips_within(circle.zip, circle.miles) for circle in campaign.radius))


def _members(mask: int, of: Sequence[T]) -> tuple[T, ...]:
    if mask.bit_count() <= FEW:
        found, count = [], len(of)
        while mask:
            place = mask.bit_length()
            found.append(of[count - place])
            mask ^= 1 << (place - 1)
        return tuple(found)
    digits = f"{mask:0{len(of)}b}".encode()  # C all the way: a loop over many bits costs more than all predicates
    return tuple(compress(of, digits.translate(_DIGITS_TO_BOOLS)))

"""What buyers answer in a simulation: what they said of the lead, else what they can be expected to say.

A buyer that was asked about the lead by the campaign is taken at its word. For one that never was, the campaign's
acceptance rate is drawn from: the same seed, lead and campaign give the same answer under any release, so that a
difference between two releases is none of chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from connectors.outbound.contract import Answer
from schemas.events import Delivery, Outcome
from schemas.reasons import Reason
from streams.delivery.stage import Post

EVER: Final = datetime.min.replace(tzinfo=UTC)
ANSWERED: Final = frozenset({Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DUPLICATE, Outcome.ERROR, Outcome.UNKNOWN})
"""Outcomes of a post; one that was skipped says nothing about the buyer."""
SAID: Final = frozenset({Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DUPLICATE})
"""Outcomes by the buyer's own word, of which a rate is made."""
LEVELS: Final = ("campaign", "buyer", "vertical", "all")
TAKEN: Final = Answer(Outcome.ACCEPTED)
NOT_TAKEN: Final = Answer(Outcome.REJECTED, Reason.BUYER_REJECTED)


@dataclass(slots=True)
class Rate:
    """How many leads were offered and how many of them taken."""

    asked: int = 0
    accepted: int = 0

    @property
    def value(self) -> float:
        """The share that is taken, smoothed after Laplace: of nothing known it is a half."""
        return (self.accepted + 1) / (self.asked + 2)


@dataclass(frozen=True, slots=True)
class _Word:
    """What a buyer answered, and by which attempt."""

    outcome: Outcome
    reason: str | None
    at: tuple[int, int]


@dataclass
class AnswerRecord:
    """The answers on record: of each lead and campaign the last one, and the rates they come to."""

    _words: dict[tuple[UUID, str], _Word] = field(default_factory=dict)
    _rates: dict[tuple[str, str], Rate] = field(default_factory=dict)

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Take attempts in, in any order."""
        for delivery in deliveries:
            if delivery.outcome not in ANSWERED:
                continue
            key, outcome = (delivery.lead_id, delivery.campaign), Outcome(delivery.outcome)
            word = _Word(outcome, delivery.reason, (delivery.run, delivery.attempt))
            known = self._words.get(key)
            if known is None or (known.outcome is not Outcome.ACCEPTED and known.at < word.at):
                self._words[key] = word
            if outcome in SAID:
                places = zip(LEVELS, (delivery.campaign, delivery.buyer, delivery.vertical, ""), strict=True)
                for place in places:
                    rate = self._rates.setdefault(place, Rate())
                    rate.asked += 1
                    rate.accepted += outcome is Outcome.ACCEPTED

    def __len__(self) -> int:
        return len(self._words)

    def of(self, lead_id: UUID, campaign: str) -> Answer | None:
        """What the buyer answered; None when it was not asked."""
        word = self._words.get((lead_id, campaign))
        return None if word is None else Answer(word.outcome, word.reason)

    def rate(self, campaign: str, buyer: str, vertical: str) -> tuple[str, float]:
        """The acceptance rate of the first of campaign, buyer, vertical and all that anything is known of, and which
        of them that is."""
        for level, name in zip(LEVELS, (campaign, buyer, vertical, ""), strict=True):
            if (rate := self._rates.get((level, name))) is not None:
                return level, rate.value
        return "nothing", Rate().value


@dataclass
class Answers:
    """Answers posts by a record that is complete, and counts from where it has the answers about leads received
    ``since``. ``modelled`` is by the level of the rate that was drawn from."""

    record: AnswerRecord
    seed: int = 0
    since: datetime = EVER
    recorded: int = 0
    modelled: dict[str, int] = field(default_factory=dict)
    _rates: dict[tuple[str, str, str], tuple[str, float]] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, post: Post) -> Answer:
        counted = post.offer.received_at >= self.since
        answer = self.record.of(post.lead_id, post.campaign.id)
        if answer is not None:
            self.recorded += counted
            return answer
        campaign = post.campaign.id
        place = (campaign, post.campaign.buyer, post.vertical)
        found = self._rates.get(place)
        if found is None:
            found = self._rates[place] = self.record.rate(*place)
        level, rate = found
        if counted:
            self.modelled[level] = self.modelled.get(level, 0) + 1
        if draw(self.seed, post.lead_id, campaign) < rate:
            return TAKEN
        return NOT_TAKEN


def draw(seed: int, lead_id: UUID, campaign: str) -> float:
    """A number from 0 to 1 that a seed, a lead and a campaign always give."""
    digest = hashlib.blake2b(b"%d:%b:%b" % (seed, lead_id.bytes, campaign.encode()), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64

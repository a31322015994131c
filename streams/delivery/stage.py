"""Delivery: ``offers`` in; ``deliveries`` and ``leads.delivered``, the next offer, or ``leads.undelivered`` out.

Keyed by company, so one writer owns a company's ledger. The reservation is durable before the post, the outcome after
it. An offer whose outcome the ledger knows is answered from the ledger: a repeated offer is never a second post.
Nothing is said to one that comes again after the lead was decided about anew, for all of it was told before. A
reservation without an outcome is what a crash leaves; it is posted again under the same idempotency key where the
campaign says its buyer honours the key, else its outcome is unknown. A test lead is never posted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from connectors.outbound.contract import Answer
from schemas import topics
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.events import Lead, Offer, Outcome
from schemas.identity import idempotency_key
from schemas.reasons import Reason
from schemas.record import Record
from schemas.values import in_milliseconds
from streams.delivery import capacity, counters, purchases
from streams.delivery.caps import CampaignLimits, counts_of, limits_of
from streams.delivery.ledger import COUNTED, LEDGER, Entry, Status, key_of
from streams.delivery.outcome import outputs_of, payout_of
from streams.delivery.slip import is_late
from streams.stage import Context, EffectStage, Guarantee, Output, Plan, decode_event
from streams.tables import Tables

RELEASES_KEPT: Final = 8
"""What is derived from a release is kept for so many of them."""


@dataclass(frozen=True, slots=True)
class Post:
    """The effect: one lead to one campaign, as ``offer`` asks; ``entry`` is the ledger's key.

    ``repeated`` posts follow one whose answer was lost, so the buyer may have the lead already.
    """

    entry: str
    campaign: Campaign
    offer: Offer
    repeated: bool = False

    @property
    def key(self) -> UUID:
        """By what the buyer recognises a repeated post."""
        leg = self.offer.slip.candidates[self.offer.cursor]
        return idempotency_key(self.offer.lead_id, self.campaign.id, exclusive=leg.exclusive)

    @property
    def lead_id(self) -> UUID:
        """The lead's id."""
        return self.offer.lead_id

    @property
    def vertical(self) -> str:
        """The lead's vertical."""
        return self.offer.vertical

    @property
    def lead(self) -> Lead:
        """The lead."""
        return self.offer.lead


@dataclass(frozen=True, slots=True)
class Terms:
    """What a release says to the ledger: who has caps, what they count, and which companies look for duplicates."""

    limits: Mapping[str, CampaignLimits]
    counts: counters.CountSet
    watchful: frozenset[str]


class DeliveryStage(EffectStage[Offer, Post, Answer]):
    """Posts offers within caps, and passes a lead on to the next leg of its slip."""

    name = "delivery"
    reads = (topics.OFFERS,)
    writes = (topics.DELIVERIES, topics.DELIVERED, topics.UNDELIVERED, topics.OFFERS, topics.CAPACITY)
    tables = (LEDGER, *counters.TABLES, purchases.PURCHASES, capacity.TOLD)
    guarantee = Guarantee.EXACTLY_ONCE
    tick_seconds = 5.0

    def __init__(self) -> None:
        self._terms: dict[str, Terms] = {}

    def decode(self, record: Record) -> Offer:
        return decode_event(record, Offer)

    def prepare(self, configuration: Configuration) -> None:
        self._derive(configuration)

    def plan(self, arrivals: Sequence[Offer], tables: Tables, context: Context) -> Plan[Post]:
        plan: Plan[Post] = Plan()
        limits = self._kept_terms(tables, context).limits
        for offer in arrivals:
            decided = self._decide(offer, tables, context)
            if isinstance(decided, Post):
                plan.effects.append((offer, decided))
            elif not decided.supersedes(offer):
                plan.outputs.extend(outputs_of(offer, decided, context))
        touched = map(_touched, arrivals)
        plan.outputs.extend(capacity.tell(tables, limits, touched, context, known_for=capacity.AGAIN))
        return plan

    def order(self, arrival: Offer) -> str | None:
        # An entry of the ledger is read while nobody is asking: what is reserved then, a crash has left.
        return key_of(arrival) if arrival.cursor < len(arrival.slip.candidates) else None

    def limit_seconds(self, effect: Post) -> float:
        # The post keeps to its own times; this is for a connector that does not.
        delivery = effect.campaign.delivery
        return delivery.retry_seconds + delivery.timeout_seconds + 10.0

    def unknown(self, effect: Post) -> Answer:
        return Answer(Outcome.UNKNOWN, Reason.OUTCOME_UNKNOWN)

    def tick(self, tables: Tables, context: Context) -> list[Output]:
        touched = capacity.told_full(tables)
        if not touched:
            return []
        limits = self._kept_terms(tables, context).limits
        return capacity.tell(tables, limits, touched, context, known_for=timedelta.max)

    def settle(self, results: Sequence[tuple[Post, Answer]], tables: Tables, context: Context) -> Plan[Post]:
        outputs: list[Output] = []
        limits = self._kept_terms(tables, context).limits
        for post, answer in results:
            key = post.entry
            reserved = tables[LEDGER].get(key)
            assert reserved is not None  # noqa: S101  # plan wrote it, and only this partition's lane writes
            entry = reserved.model_copy(
                update={
                    "status": _status(post, answer),
                    "at": in_milliseconds(context.now),
                    "reason": answer.reason,
                    "reference": answer.reference,
                    "http_status": answer.http_status,
                    "posts": answer.posts,
                    "latency_ms": answer.latency_ms,
                    "exchange": answer.exchange,
                }
            )
            counters.write(tables, key, entry)
            if entry.status not in COUNTED:
                company = post.offer.slip.candidates[post.offer.cursor].company
                purchases.remove(tables, key, company, post.offer.person)
            outputs += outputs_of(post.offer, entry, context)
        touched = (_touched(post.offer) for post, _ in results)
        return Plan(outputs + capacity.tell(tables, limits, touched, context, known_for=None))

    def _decide(self, offer: Offer, tables: Tables, context: Context) -> Entry | Post:
        """What the ledger already knows, or a post whose reservation is now in the ledger."""
        key = key_of(offer)
        campaign = context.configuration.campaign_by_id.get(offer.slip.candidates[offer.cursor].campaign)
        known = tables[LEDGER].get(key)
        if known is not None and known.supersedes(offer):
            return known
        if known is not None and known.status is Status.ACCEPTED and known.decision < offer.decision:
            # The sale of an earlier decision, told as one then: told again it would count twice.
            now = {"run": offer.run, "decision": offer.decision, "at": in_milliseconds(context.now)}
            return known.model_copy(update=now | {"status": Status.DUPLICATE, "reason": Reason.BUYER_DUPLICATE.value})
        if known is not None and known.answers(offer):
            return known
        if known is not None and known.status in (Status.RESERVED, Status.UNKNOWN):
            return self._resume(offer, key, known, campaign, tables, context)
        skipped = self._skipped(offer, campaign, tables, context)
        if known is not None and known.sent_at and known.buyer != offer.slip.candidates[offer.cursor].buyer:
            # The campaign's former buyer was sent it, and that stays counted: the entry goes where no offer looks.
            counters.write(tables, f"{key}:{known.run}:{known.decision}", known)
            known = None
        entry = _entry(offer, known, skipped, context)
        counters.write(tables, key, entry)
        if skipped is not None or campaign is None:
            return entry
        buyer = context.configuration.buyer_by_id[campaign.buyer]
        if buyer.company in self._terms_of(context).watchful:
            purchases.add(tables, key, buyer, offer)
        return Post(key, campaign, offer)

    def _resume(
        self, offer: Offer, key: str, known: Entry, campaign: Campaign | None, tables: Tables, context: Context
    ) -> Entry | Post:
        """What a crash, or an answer that never came, has left: it counts in the windows of its reservation."""
        changes = {"run": offer.run, "decision": offer.decision, "at": in_milliseconds(context.now)}
        changes["release"] = context.configuration.release
        # A campaign that has another buyer now would send it to that one, who does not know of the first post.
        if campaign is None or campaign.buyer != known.buyer or not campaign.delivery.idempotent:
            changes |= {"status": Status.UNKNOWN, "reason": Reason.OUTCOME_UNKNOWN}
            entry = known.model_copy(update=changes)
            counters.write(tables, key, entry)
            return entry
        counters.write(tables, key, known.model_copy(update=changes | {"status": Status.RESERVED}))
        return Post(key, campaign, offer, repeated=True)

    def _skipped(self, offer: Offer, campaign: Campaign | None, tables: Tables, context: Context) -> Reason | None:
        """Why a campaign is not even asked."""
        leg = offer.slip.candidates[offer.cursor]
        if offer.lead.test:
            return Reason.LEAD_TEST
        if campaign is None or campaign.buyer != leg.buyer:  # the decision was about another buyer's caps and price
            return Reason.CAMPAIGN_UNKNOWN
        buyer = context.configuration.buyer_by_id[campaign.buyer]
        if buyer.company != leg.company:  # another partition has its ledger now
            return Reason.CAMPAIGN_UNKNOWN
        if is_late(offer.slip, context.now):
            return Reason.TIME_BUDGET
        if purchases.bought_before(tables, buyer, offer):
            return Reason.BUYER_BOUGHT_BEFORE
        limits = self._terms_of(context).limits.get(campaign.id)
        return limits.refusal(tables, leg.price, offer.source, context.now) if limits else None

    def _kept_terms(self, tables: Tables, context: Context) -> Terms:
        """The release's terms, with all that they count being counted."""
        terms = self._terms_of(context)
        counters.keep(tables, terms.counts)
        return terms

    def _terms_of(self, context: Context) -> Terms:
        return self._terms.get(context.configuration.release) or self._derive(context.configuration)

    def _derive(self, configuration: Configuration) -> Terms:
        limits = limits_of(configuration)
        terms = Terms(limits, counts_of(limits.values()), purchases.watchful_companies(configuration))
        kept = list(self._terms.items())[1 - RELEASES_KEPT :]
        self._terms = {**dict(kept), configuration.release: terms}  # anew: another thread may be reading it
        return terms


def _touched(offer: Offer) -> capacity.Touched:
    leg = offer.slip.candidates[offer.cursor]
    return leg.campaign, leg.company


def _entry(offer: Offer, before: Entry | None, skipped: Reason | None, context: Context) -> Entry:
    # A skip is stored like any outcome: were it decided again after a crash, the lead could be sold twice.
    leg = offer.slip.candidates[offer.cursor]
    payout, share = payout_of(context.configuration.source_by_id.get(offer.source), leg.price)
    now = in_milliseconds(context.now)
    return Entry.trusted(
        {
            "campaign": leg.campaign,
            "buyer": leg.buyer,
            "source": offer.source,
            "status": Status.RESERVED if skipped is None else Status.SKIPPED,
            "run": offer.run,
            "decision": offer.decision,
            "reserved_at": now,
            "at": now,
            "price": leg.price,
            "payout": payout,
            "share": share,
            "reason": None if skipped is None else skipped.value,
            "reference": None,
            "http_status": None,
            "posts": 0,
            "latency_ms": 0.0,
            "exchange": None,
            "release": context.configuration.release,
            "posted_at": () if before is None else before.sent_at,
        }
    )


def _status(post: Post, answer: Answer) -> Status:
    # An error says nothing about the post before it: were the lead passed on, it could be sold twice.
    if post.repeated and answer.outcome is Outcome.ERROR:
        return Status.UNKNOWN
    return Status(answer.outcome.value)

"""Delivery: ``offers`` in; ``deliveries`` and ``leads.delivered``, the next offer, or ``leads.undelivered`` out.

Keyed by buyer, so one writer owns a buyer's ledger. The reservation is durable before the post, the outcome after it.
An offer whose outcome the ledger knows is answered from the ledger: a repeated offer is never a second post. A
reservation without an outcome is what a crash leaves; it is posted again under the same idempotency key where the
campaign says its buyer honours the key, else its outcome is unknown and the lead is held. A test lead is never posted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from connectors.outbound.contract import Answer
from schemas import topics
from schemas.config.campaign import Campaign
from schemas.events import (
    Candidate,
    Capacity,
    Decline,
    Delivery,
    Lead,
    LeadDelivered,
    LeadUndelivered,
    Offer,
    Outcome,
)
from schemas.identity import Step, event_id, idempotency_key
from schemas.reasons import Reason
from schemas.record import Record
from streams.delivery.ledger import LEDGER, TAKEN, Entry, Status, day_of, entry_key, has_room, recount, taken, write
from streams.stage import Context, EffectStage, Guarantee, Output, Plan, decode_event, emit, envelope
from streams.tables import Tables

FINAL: Final = frozenset({Status.ACCEPTED, Status.REJECTED, Status.DUPLICATE})
"""Outcomes by the buyer's own word: it has the lead, so not even a replay posts it there again."""


@dataclass(frozen=True, slots=True)
class Post:
    """The effect: one lead to one campaign, as ``offer`` asks.

    ``repeated`` posts follow one whose answer was lost, so the buyer may have the lead already.
    """

    key: UUID
    lead_id: UUID
    vertical: str
    lead: Lead
    campaign: Campaign
    offer: Offer
    repeated: bool = False


class DeliveryStage(EffectStage[Offer, Post, Answer]):
    """Posts offers within caps, and passes a declined lead to the next candidate of its slip."""

    name = "delivery"
    reads = (topics.OFFERS,)
    writes = (topics.DELIVERIES, topics.DELIVERED, topics.UNDELIVERED, topics.OFFERS, topics.CAPACITY)
    tables = (LEDGER, TAKEN)
    guarantee = Guarantee.EXACTLY_ONCE

    def decode(self, record: Record) -> Offer:
        return decode_event(record, Offer)

    def rebuild(self, tables: Tables) -> None:
        recount(tables)

    def plan(self, arrivals: Sequence[Offer], tables: Tables, context: Context) -> Plan[Post]:
        plan: Plan[Post] = Plan()
        for offer in arrivals:
            candidate = offer.candidates[offer.cursor]
            decided = self._decide(offer, candidate, tables, context)
            if isinstance(decided, Post):
                plan.effects.append((offer, decided))
            else:
                plan.outputs.extend(_outputs(offer, candidate, decided, context))
        return plan

    def order(self, arrival: Offer) -> str | None:
        # The ledger of a lead and campaign is read while nobody is asking: what is reserved then, a crash has left.
        if arrival.cursor >= len(arrival.candidates):
            return None
        return entry_key(arrival.lead_id, arrival.candidates[arrival.cursor].campaign)

    def limit_seconds(self, effect: Post) -> float:
        # The post keeps to its own times; this is for a connector that does not.
        delivery = effect.campaign.delivery
        return delivery.retry_seconds + delivery.timeout_seconds + 10.0

    def unknown(self, effect: Post) -> Answer:
        return Answer(Outcome.UNKNOWN, Reason.OUTCOME_UNKNOWN)

    def _decide(self, offer: Offer, candidate: Candidate, tables: Tables, context: Context) -> Entry | Post:
        """What the ledger already knows, or a post whose reservation is now in the ledger."""
        key = entry_key(offer.lead_id, candidate.campaign)
        campaign = context.configuration.campaign_by_id.get(candidate.campaign)
        entry = tables[LEDGER].get(key)
        if entry is not None and _answers(entry, offer):
            return entry
        if offer.lead.test:
            return _settled(
                tables, key, offer, candidate.campaign, Status.SKIPPED, Reason.LEAD_TEST, day="", context=context
            )
        crashed = entry is not None and entry.status in (Status.RESERVED, Status.UNKNOWN)
        if campaign is None:
            reason = Reason.OUTCOME_UNKNOWN if crashed else Reason.CAMPAIGN_UNKNOWN
            status = Status.UNKNOWN if crashed else Status.SKIPPED
            return _settled(tables, key, offer, candidate.campaign, status, reason, entry.day if entry else "", context)
        day = day_of(campaign, context.now)
        if crashed and entry is not None:
            day = entry.day
            if not campaign.delivery.idempotent:
                return _settled(tables, key, offer, campaign.id, Status.UNKNOWN, Reason.OUTCOME_UNKNOWN, day, context)
        elif not has_room(tables, campaign, day):
            return _settled(tables, key, offer, campaign.id, Status.SKIPPED, Reason.CAP_DAILY, day, context)
        reserved = Entry(
            campaign=campaign.id,
            day=day,
            status=Status.RESERVED,
            run=offer.run,
            at=context.now,
            release=context.configuration.release,
        )
        write(tables, key, reserved)
        return Post(
            key=idempotency_key(offer.lead_id, campaign.id),
            lead_id=offer.lead_id,
            vertical=offer.vertical,
            lead=offer.lead,
            campaign=campaign,
            offer=offer,
            repeated=crashed,
        )

    def settle(self, results: Sequence[tuple[Post, Answer]], tables: Tables, context: Context) -> Plan[Post]:
        outputs: list[Output] = []
        capped: dict[str, Campaign] = {}
        for post, answer in results:
            key = entry_key(post.lead_id, post.campaign.id)
            reserved = tables[LEDGER].get(key)
            assert reserved is not None  # noqa: S101  # plan wrote it, and only this partition's lane writes
            entry = reserved.model_copy(
                update={
                    "status": _status(post, answer),
                    "at": context.now,
                    "reason": answer.reason,
                    "reference": answer.reference,
                    "http_status": answer.http_status,
                    "posts": answer.posts,
                    "latency_ms": answer.latency_ms,
                }
            )
            write(tables, key, entry)
            outputs += _outputs(post.offer, post.offer.candidates[post.offer.cursor], entry, context)
            if post.campaign.daily_cap is not None:
                capped[post.campaign.id] = post.campaign
        return Plan(outputs + [_capacity(campaign, tables, context) for campaign in capped.values()])


def _answers(entry: Entry, offer: Offer) -> bool:
    """Whether an entry is the answer to an offer, so that nothing is decided anew."""
    if entry.status is Status.RESERVED:
        return False
    return entry.status in FINAL or entry.run >= offer.run


def _status(post: Post, answer: Answer) -> Status:
    # An error says nothing about the post before it: were the lead passed on, it could be sold twice.
    if post.repeated and answer.outcome is Outcome.ERROR:
        return Status.UNKNOWN
    return Status(answer.outcome.value)


def _settled(
    tables: Tables, key: str, offer: Offer, campaign: str, status: Status, reason: Reason, day: str, context: Context
) -> Entry:
    # A skip is stored like any outcome: were it decided again after a crash, the lead could be sold twice.
    entry = Entry(
        campaign=campaign,
        day=day,
        status=status,
        run=offer.run,
        at=context.now,
        reason=reason,
        release=context.configuration.release,
    )
    write(tables, key, entry)
    return entry


def _outputs(offer: Offer, candidate: Candidate, entry: Entry, context: Context) -> list[Output]:
    """The attempt, and what follows from it: sold, held, the next candidate, or nobody left."""
    common = envelope(offer, Step.ATTEMPT, context, attempt=offer.cursor)
    common |= {"person": offer.person, "occurred_at": entry.at, "release": entry.release}
    accepted = entry.status is Status.ACCEPTED
    attempt = Delivery(
        **common,
        campaign=candidate.campaign,
        buyer=candidate.buyer,
        outcome=entry.status,
        reason=entry.reason,
        price=candidate.price if accepted else None,
        reference=entry.reference,
        http_status=entry.http_status,
        posts=entry.posts,
        latency_ms=entry.latency_ms,
    )
    outputs = [emit(attempt, offer.person)]
    end = {**common, "event_id": event_id(offer.lead_id, Step.DELIVERY, offer.run), "attempt": 0}
    if accepted:
        sold = LeadDelivered(
            **end,
            campaign=candidate.campaign,
            buyer=candidate.buyer,
            price=candidate.price,
            reference=entry.reference,
        )
        return [*outputs, emit(sold, offer.person)]
    declines = [
        *offer.declines,
        Decline(campaign=candidate.campaign, buyer=candidate.buyer, reason=entry.reason or entry.status),
    ]
    if entry.status is Status.UNKNOWN:
        held = LeadUndelivered(**end, reason=Reason.OUTCOME_UNKNOWN, declines=declines)
        return [*outputs, emit(held, offer.person)]
    if entry.reason == Reason.LEAD_TEST:  # it has shown where it would have gone first
        ended = LeadUndelivered(**end, reason=Reason.LEAD_TEST, declines=declines)
        return [*outputs, emit(ended, offer.person)]
    following = offer.cursor + 1
    if following < len(offer.candidates):
        passed_on = offer.model_copy(
            update={
                "event_id": event_id(offer.lead_id, Step.OFFER, offer.run, following),
                "attempt": following,
                "cursor": following,
                "declines": declines,
                "occurred_at": entry.at,
            }
        )
        return [*outputs, emit(passed_on, offer.candidates[following].buyer)]
    unsold = LeadUndelivered(**end, reason=Reason.ALL_DECLINED, declines=declines)
    return [*outputs, emit(unsold, offer.person)]


def _capacity(campaign: Campaign, tables: Tables, context: Context) -> Output:
    assert campaign.daily_cap is not None  # noqa: S101  # only capped campaigns are reported
    day = day_of(campaign, context.now)
    value = Capacity(
        campaign=campaign.id,
        day=day,
        cap=campaign.daily_cap,
        taken=taken(tables, campaign.id, day),
        occurred_at=context.now,
    )
    return Output(topics.CAPACITY.name, campaign.id.encode(), value)

"""What must hold once a crash history has come to rest, whatever happened in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID

from kit.history import MOST_SALES, WINDOW, History, release
from schemas import headers, topics
from schemas.codec import decode
from schemas.config.campaign import Campaign, Exclusivity
from schemas.events import (
    Decline,
    Delivery,
    Event,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    LeadValidated,
    Offer,
    Outcome,
    Sale,
)
from schemas.headers import DeadLetter
from schemas.messages import Capacity
from schemas.raw_lead import lead_id_of
from schemas.reasons import Reason
from schemas.topics import changelog
from streams.changelog import Restoration
from streams.delivery.ledger import COUNTED, LEDGER, Entry, Status, entry_key
from streams.delivery.slip import following
from streams.memory.worker import MemoryWorker
from streams.stage import Guarantee

E = TypeVar("E", bound=Event)
LeadRun = tuple[UUID, int]

DETERMINISTIC = (LeadValidated, LeadRejected, LeadUnique, LeadDuplicate)
EXACTLY_ONCE = (LeadRouted, LeadUnrouted, Offer, Delivery, LeadDelivered, LeadUndelivered)
UNSTEADY = {"occurred_at", "received_at"}
"""What a repeat may have otherwise; ``received_at`` when a producer sends a lead twice."""


class Found:
    """Every event of a history, by its model."""

    def __init__(self, history: History) -> None:
        self.history = history
        log = history.log
        self._events: dict[type[Event], list[Any]] = {
            model: [decode(model.TOPIC.name, record.value) for record in log.records(model.TOPIC.name)]
            for model in (*DETERMINISTIC, *EXACTLY_ONCE)
        }
        self.dead = [DeadLetter.from_headers(record.headers) for record in log.records(topics.DEAD_LETTERS.name)]
        self.capacity = [decode(topics.CAPACITY.name, record.value) for record in log.records(topics.CAPACITY.name)]
        self.raw: set[LeadRun] = {
            (lead_id_of(record), headers.run_of(record.headers)) for record in log.records(topics.LEADS.name)
        }

    def of(self, model: type[E]) -> list[E]:
        """The events of a model, repeats too, in the order of their partitions."""
        return self._events[model]

    def leads(self, model: type[Event]) -> set[LeadRun]:
        """Leads and runs that have an event of a model."""
        return {(event.lead_id, event.run) for event in self.of(model)}


def check(history: History) -> Counter[str]:
    """All that must hold; returns how many leads came to each end.

    Raises:
        AssertionError: something does not.
    """
    found = Found(history)
    events_are_counted_once(found)
    ends = every_lead_has_one_end(found)
    attempts_are_consistent(found)
    duplicates_are_of_their_window(found)
    nothing_is_sold_twice(found)
    caps_hold(found)
    everything_is_read(found)
    state_is_what_a_restore_finds(found)
    return ends


def events_are_counted_once(found: Found) -> None:
    """An exactly-once stage writes a record once; what a deterministic one repeats is the same again."""
    for once in EXACTLY_ONCE:
        written = Counter(event.event_id for event in found.of(once))
        assert set(written.values()) <= {1}, f"{once.__name__} written more than once: {written.most_common(1)}"
    for repeated in DETERMINISTIC:
        first: dict[UUID, dict[str, Any]] = {}
        for event in found.of(repeated):
            content = event.model_dump(exclude=UNSTEADY)
            assert first.setdefault(event.event_id, content) == content, f"{repeated.__name__} repeated otherwise"
    assert not [letter for letter in found.dead if letter.reason == Reason.STAGE_FAILED], "a stage failed"


def every_lead_has_one_end(found: Found) -> Counter[str]:
    """raw = rejected + duplicate + unrouted + delivered + undelivered + dead, in every run; a replay of a lead that is
    sold, held or on offer ends at the decision that stands."""
    models = (LeadRejected, LeadDuplicate, LeadUnrouted, LeadDelivered, LeadUndelivered)
    ends = {model.__name__.removeprefix("Lead").lower(): found.leads(model) for model in models}
    ends["dead"] = {(letter.lead_id, letter.run) for letter in found.dead}
    offered = found.leads(Offer)
    ends["kept"] = {(lead, run) for lead, run in found.leads(LeadRouted) - offered if run}
    count = Counter(place for leads in ends.values() for place in leads)
    wrong = {place: [end for end, leads in ends.items() if place in leads] for place, n in count.items() if n > 1}
    assert not wrong, f"more than one end: {wrong}"
    assert count.keys() == found.raw, f"lost: {found.raw - count.keys()}, from nowhere: {count.keys() - found.raw}"
    decided = Counter((e.lead_id, e.run) for model in (LeadRouted, LeadUnrouted) for e in found.of(model))
    assert decided.keys() == found.leads(LeadUnique), "a unique lead without a decision, or a decision without a lead"
    assert set(decided.values()) <= {1}, "decided twice"
    tally = Counter({end: len(leads) for end, leads in ends.items()})
    tally["sold by a replay"] = len([event for event in found.of(LeadDelivered) if event.run])
    sales = Counter((event.lead_id, event.run) for event in found.of(LeadDelivered))
    tally["sold twice"] = sum(count > 1 for count in sales.values())
    tally["held"] = len([event for event in found.of(LeadUndelivered) if event.reason == Reason.OUTCOME_UNKNOWN])
    return tally


def attempts_are_consistent(found: Found) -> None:
    """Each offer has one attempt, offers follow the slip, and what is told of the lead follows from the attempts."""
    attempts = {(event.lead_id, event.run, event.attempt): event for event in found.of(Delivery)}
    offers: dict[tuple[UUID, int, int], list[Offer]] = defaultdict(list)
    for offer in found.of(Offer):
        offers[offer.lead_id, offer.run, offer.decision].append(offer)
    assert {(o.lead_id, o.run, o.attempt) for of in offers.values() for o in of} == attempts.keys(), (
        "an attempt too few"
    )
    sold: dict[tuple[UUID, int, int], list[LeadDelivered]] = defaultdict(list)
    for event in found.of(LeadDelivered):
        sold[event.lead_id, event.run, event.decision].append(event)
    unsold = {(event.lead_id, event.run, event.decision): event for event in found.of(LeadUndelivered)}
    for place, asked in offers.items():
        asked.sort(key=lambda offer: offer.cursor)
        slip = asked[0].slip
        sales: list[Sale] = []
        declines: list[Decline] = []
        expected: int | None = 0
        for offer in asked:
            assert offer.cursor == expected, "not the leg whose turn it was"
            assert (offer.sales, offer.declines) == (sales, declines), "an offer tells otherwise what was before it"
            leg, attempt = slip.candidates[offer.cursor], attempts[offer.lead_id, offer.run, offer.attempt]
            assert attempt.campaign == leg.campaign
            if attempt.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN):
                sales.append(Sale(cursor=offer.cursor, unknown=attempt.outcome == Outcome.UNKNOWN))
            if attempt.outcome != Outcome.ACCEPTED:
                why = attempt.reason or attempt.outcome
                declines.append(Decline(cursor=offer.cursor, campaign=leg.campaign, buyer=leg.buyer, reason=why))
            expected = following(slip, offer.cursor, sales, declines)
            assert attempt.over == (expected is None), "over before the slip's end, or never"
        assert expected is None, "given up before the slip's end"
        real = [slip.candidates[sale.cursor].campaign for sale in sales if not sale.unknown]
        assert sorted(event.campaign for event in sold.get(place, ())) == sorted(real)
        assert (place in unsold) == (not real), "sold and unsold, or neither"
        if not real:
            assert unsold[place].reason == (Reason.OUTCOME_UNKNOWN if sales else Reason.ALL_DECLINED)
            assert unsold[place].declines == declines


def duplicates_are_of_their_window(found: Found) -> None:
    """No two leads of a person are unique within a window, and a duplicate's owner is unique and within its window."""
    unique = {event.lead_id: event for event in found.of(LeadUnique)}
    persons: dict[str, list[LeadUnique]] = defaultdict(list)
    for event in unique.values():
        persons[event.person].append(event)
    for events in persons.values():
        events.sort(key=lambda event: event.received_at)
        for earlier, later in pairwise(events):
            assert later.received_at - earlier.received_at >= WINDOW, "two unique leads of a person within a window"
    # With several key sets a lead that falls to a later one keeps the fingerprints that it claimed before.
    fallen = {event.lead_id for event in found.of(LeadDuplicate)} if found.history.changing else set[UUID]()
    for duplicate in found.of(LeadDuplicate):
        assert duplicate.duplicate_of in unique.keys() | fallen, "a duplicate of a lead that is none itself"
        assert abs(duplicate.received_at - duplicate.first_seen_at) < WINDOW
        assert found.history.changing or duplicate.lead_id not in unique, "duplicate and unique"
    assert not found.leads(LeadUnique) & found.leads(LeadDuplicate), "duplicate and unique in one run"


def nothing_is_sold_twice(found: Found) -> None:
    """By the buyers' books, not by ours."""
    buyers = found.history.buyers
    agreed = release(found.history.number).campaign_by_id
    sales: dict[UUID, list[Campaign]] = defaultdict(list)
    for name, lead in buyers.taken:
        sales[lead].append(agreed[name])
    for to in sales.values():
        most = 1 if any(one.exclusivity is Exclusivity.EXCLUSIVE for one in to) else MOST_SALES
        assert len(to) <= most, f"sold too often: {[one.id for one in to]}"
        assert len({one.buyer for one in to}) == len(to), "sold to one company twice"
    told = Counter((event.campaign, event.lead_id) for event in found.of(LeadDelivered))
    assert set(told.values()) <= {1}, "one sale told in two runs"
    assert told.keys() <= set(buyers.taken), "a sale that the buyer does not know"
    assert set(buyers.posts.values()) <= {1}, "posted twice to a buyer that does not know repeats"


def caps_hold(found: Found) -> None:
    """What buyers have taken, counted on the day it was reserved for, and what the ledger counts."""
    history = found.history
    ledger = {key: entry for worker in _owners(found, "delivery") for key, entry in _items(worker, LEDGER)}
    for campaign, lead in history.buyers.taken:
        exclusive = release(history.number).campaign_by_id[campaign].exclusivity is Exclusivity.EXCLUSIVE
        entry = ledger[entry_key(lead, campaign, exclusive=exclusive)]
        assert entry.status in (Status.ACCEPTED, Status.UNKNOWN), f"sold, and the ledger says {entry.status}"
    counted: Counter[tuple[str, str]] = Counter()
    for entry in ledger.values():
        if entry.status in COUNTED:
            counted[entry.campaign, entry.reserved_at.date().isoformat()] += 1
    limits = {campaign.id: [cap.limit for cap in campaign.caps] for campaign in release(history.number).campaigns}
    for (campaign, day), count in counted.items():
        assert all(count <= limit for limit in limits[campaign]), (
            f"{campaign} has {count} of {limits[campaign]} on {day}"
        )
    assert all(use.used <= use.limit for c in found.capacity if isinstance(c, Capacity) for use in c.uses)
    assert not [entry for entry in ledger.values() if entry.status is Status.RESERVED], "a reservation is left"


def everything_is_read(found: Found) -> None:
    """The groups' positions are at the ends of their topics, and nothing is in hand."""
    log = found.history.log
    for worker in found.history.simulation.owners:
        assert worker.lane is None or worker.lane.idle, f"{worker.name} has work in hand"
        for spec in worker.stage.reads:
            if records := log.read(spec.name, worker.partition):
                position = log.position(worker.group, spec.name, worker.partition)
                assert position > records[-1].offset, f"{worker.name} has not committed the end of {spec.name}"


def state_is_what_a_restore_finds(found: Found) -> None:
    """A lane restored now would go on as the one that is alive."""
    log = found.history.log
    for worker in found.history.simulation.owners:
        if worker.lane is None:
            continue
        restoration = Restoration(worker.stage, {spec.name: spec.name for spec in worker.stage.reads})
        for record in log.read(changelog(worker.stage.name).name, worker.partition):
            restoration.take(record.key, record.value, record.timestamp)
        restored = restoration.finish()
        for spec in dict.fromkeys((*worker.stage.tables, *worker.stage.stored_tables)):
            there = dict(restored.tables.store.items(spec))
            alive = dict(_items(worker, spec))
            assert there == alive, f"{worker.name} would be restored with another {spec.name}"
        if worker.stage.guarantee is Guarantee.EXACTLY_ONCE:
            for topic, position in restored.positions.items():
                assert position.next == worker.lane.next(topic), f"{worker.name} would be restored elsewhere"


def _owners(found: Found, stage: str) -> list[MemoryWorker]:
    return [worker for worker in found.history.simulation.owners if worker.stage.name == stage]


def _items(worker: MemoryWorker, spec: Any) -> Iterator[tuple[str, Entry]]:
    if worker.lane is not None:
        yield from worker.lane.tables.store.items(spec)

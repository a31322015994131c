"""Delivery under everything at once: caps of all kinds, several sales of a lead, declines, redelivery, replays, crashes
and windows that end, against honest buyers.

Each company has a partition of its own, driven by the lane that drives it on Kafka: what a step changes, tells and has
done is written together or not at all, and a crash is possible before and after each of them and of each post. A buyer
that honours keys gives a repeated post its first answer, or fails; a post whose answer is lost may have been taken or
not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kit.builders import NOW, campaign, cap, configuration, context, lead_id, offer, slip

from connectors.outbound.contract import Answer
from schemas import topics
from schemas.codec import decode, encode
from schemas.config.buyer import Buyer
from schemas.config.cap import Cap, CapCounts
from schemas.config.release import Configuration
from schemas.config.source import Source
from schemas.decision import Candidate, Slip
from schemas.events import Delivery, LeadDelivered, LeadUndelivered, Offer, Outcome
from schemas.messages import Capacity
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from streams.changelog import Restoration, records_of
from streams.delivery import counters
from streams.delivery.ledger import COUNTED, FINAL, LEDGER, Entry, entry_key, key_of
from streams.delivery.slip import is_late
from streams.delivery.stage import DeliveryStage, Post
from streams.delivery.windows import span_at
from streams.execution import Intent
from streams.lane import Lane, Step
from streams.routing.stage import REDECIDABLE, Status
from streams.stage import Context
from streams.tables import Tables, milliseconds

STAGE = DeliveryStage()
TOPIC_IDS = {topics.OFFERS.name: "1"}
WORDS = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DUPLICATE)
ANSWERS = st.sampled_from([*WORDS, Outcome.ACCEPTED, Outcome.ERROR, Outcome.UNKNOWN])
SILENTLY = st.sampled_from([*WORDS, Outcome.ERROR])


def leg_of(arrival: Offer) -> Candidate:
    """The leg that is asked."""
    return arrival.slip.candidates[arrival.cursor]


class Market:
    """The buyers: what they took, and what they were asked."""

    def __init__(self) -> None:
        self.sold: defaultdict[UUID, set[tuple[str, bool]]] = defaultdict(set)
        """By lead the campaigns that took it, and whether for themselves alone."""
        self.words: dict[UUID, Outcome] = {}
        self.posts: Counter[UUID] = Counter()

    def answer(self, post: Post, drawn: Outcome, silently: Outcome) -> Answer:
        """``silently`` is what the buyer does when its answer does not arrive."""
        self.posts[post.key] += 1
        does = silently if drawn is Outcome.UNKNOWN else drawn
        if post.campaign.delivery.idempotent and post.key in self.words and does is not Outcome.ERROR:
            does = self.words[post.key]
        if does in WORDS:
            self.words[post.key] = does
        if does is Outcome.ACCEPTED:
            self.sold[post.lead_id].add((post.campaign.id, leg_of(post.offer).exclusive))
        return Answer(Outcome.UNKNOWN if drawn is Outcome.UNKNOWN else does)


class Partition:
    """A company's offers, the lane that works on them, and what is durable of its work."""

    def __init__(self) -> None:
        self.log: list[Offer] = []
        self.records: list[KafkaRecord] = []
        self.changelog: list[tuple[bytes, bytes | None, int]] = []
        self.expected: Counter[tuple[UUID, int, int]] = Counter()
        self.attempts: Counter[tuple[UUID, int, int]] = Counter()
        self.topic_ids = dict(TOPIC_IDS)
        self.restart()

    def append(self, arrival: Offer) -> None:
        self.log.append(arrival)
        self.records.append(KafkaRecord("offers", 0, len(self.records), 0, b"company", encode(arrival)))
        self.expected[arrival.lead_id, arrival.run, arrival.attempt] += 1

    def restart(self) -> None:
        """The next owner has what the changelog has, and reads from where it says."""
        restoration = Restoration(STAGE, self.topic_ids)
        for record in self.changelog:
            restoration.take(*record)
        found = restoration.finish()
        self.lane = Lane(STAGE, found.tables, found.positions, records_in_hand=6)
        self.read = self.lane.next("offers") or 0
        self.in_flight: list[Intent] = []

    def begin_again(self) -> None:
        """The topic was made anew and everything in it was copied back: the ledger is all that is known."""
        self.topic_ids["offers"] += "1"
        self.expected = self.attempts + Counter((o.lead_id, o.run, o.attempt) for o in self.log)
        self.restart()

    @property
    def tables(self) -> Tables:
        return self.lane.tables

    def entries(self) -> dict[str, Entry]:
        """What the ledger has by now."""
        return dict(self.tables.store.items(LEDGER))

    def has_work(self) -> bool:
        return self.read < len(self.records) or not self.lane.idle

    def decide(self, most: int, now: Context) -> Step | None:
        """A step that is not written yet."""
        if self.read < len(self.records):
            self.lane.put(self.records[self.read :])
            self.read = len(self.records)
        before = self.entries()
        step = self.lane.step(now, most)
        if step is None:
            return None
        assert not step.dead
        posts = [intent.effect for intent in (*self.in_flight, *step.intents)]
        assert len({post.key for post in posts}) == len(posts), "two posts of one key at a time"
        for intent in step.intents:
            post = intent.effect
            known = before.get(key_of(post.offer))
            assert known is None or known.status not in FINAL
            assert post.repeated or not is_late(post.offer.slip, now.now)
        return step

    def write(self, step: Step) -> list[Any]:
        """All of a step becomes durable; the events it emits."""
        at_ms = milliseconds(step.at)
        self.changelog += [(key, value, at_ms) for key, value in records_of(step, self.topic_ids)]
        self.lane.commit(step)
        self.in_flight += step.intents
        events = [decode(output.topic, output.value) for output in step.outputs]
        told: list[Any] = []
        for output, event in zip(step.outputs, events, strict=True):
            if isinstance(event, Delivery):
                self.attempts[event.lead_id, event.run, event.attempt] += 1
            if isinstance(event, Offer):
                assert output.key == leg_of(event).company.encode()
            if isinstance(event, Delivery | Capacity):
                self._check(told)
                told = []
            if not isinstance(event, Capacity):
                told.append(event)
        self._check(told)
        return events

    def _check(self, told: list[Any]) -> None:
        """An attempt is followed by its sale, if it is one, and by the next offer, the end, or nothing after a sale."""
        if not told:
            return
        attempt, *rest = told
        assert isinstance(attempt, Delivery)
        if attempt.outcome == Outcome.ACCEPTED:
            assert isinstance(rest.pop(0), LeadDelivered)
        assert len(rest) <= 1
        assert all(isinstance(event, Offer | LeadUndelivered) for event in rest)
        assert {event.lead_id for event in told} == {attempt.lead_id}


WINDOWS = st.sampled_from(["hour", "day", "week", "month", "total"])
SPEND = st.sampled_from(["0", "10", "25", "35.5", "60"])
ZONES = ["UTC", "America/Los_Angeles", "Asia/Kolkata", "Australia/Lord_Howe"]


@st.composite
def caps(draw: st.DrawFn) -> Cap:
    """Any cap, mostly a small one."""
    counts = draw(st.sampled_from(list(CapCounts)))
    limit = draw(SPEND) if counts is CapCounts.SPEND else draw(st.integers(0, 3))
    source = draw(st.sampled_from([None, None, "acme"]))
    zone = draw(st.sampled_from([None, *ZONES]))
    return cap(limit, draw(WINDOWS), counts=counts, source=source, time_zone=zone)


SOME_CAPS = st.lists(caps(), max_size=3, unique_by=lambda one: one.name).map(tuple)
OFFERED = Status.OFFERED


class DeliveryMachine(RuleBasedStateMachine):
    release: Configuration

    def __init__(self) -> None:
        super().__init__()
        self.market = Market()
        self.now = NOW
        self.partitions: defaultdict[str, Partition] = defaultdict(Partition)
        self.leads: dict[str, tuple[Status, int, int]] = {}
        """As routing knows them: the status, and the run and the decision that stand."""
        self.names: dict[UUID, str] = {}
        self.slips: defaultdict[UUID, list[Slip]] = defaultdict(list)
        self.ends: defaultdict[tuple[UUID, int, int], set[type[Any]]] = defaultdict(set)

    @initialize(data=st.data())
    def configure(self, data: st.DataObject) -> None:
        self.campaigns = [
            campaign(
                f"campaign-{n}",
                buyer=f"buyer-{n % 3}",
                vertical="solar" if n % 2 else "roofing",
                price=data.draw(st.sampled_from(["0", "10", "12.5"])),
                caps=data.draw(SOME_CAPS),
                idempotent=data.draw(st.sampled_from([True, True, False])),
                time_zone=data.draw(st.sampled_from(ZONES)),
            )
            for n in range(6)
        ]
        self.buyers = [
            Buyer(
                id=f"buyer-{n}",
                name="Buyer",
                parent=parent,
                caps=data.draw(st.just(()) | SOME_CAPS),
                credit=data.draw(st.none() | st.sampled_from([Decimal(0), Decimal(30), Decimal(90)])),
                time_zone=data.draw(st.none() | st.sampled_from(ZONES)),
                duplicate_days=data.draw(st.sampled_from([0, 0, 1, 30])),
                duplicate_scope=data.draw(st.sampled_from(["buyer", "parent"])),
            )
            for n, parent in enumerate((None, "group", "group"))
        ]
        self.put_in_force()
        self.leads_come(data, 3)

    def put_in_force(self) -> None:
        sources = [Source(id=name) for name in ("acme", "quoteharbor")]
        self.release = configuration(*self.campaigns, buyers=self.buyers, sources=sources)

    # What comes in

    def slip(self, data: st.DataObject) -> Slip:
        vertical = data.draw(st.sampled_from(["solar", "roofing"]))
        found = data.draw(st.permutations([c for c in self.campaigns if c.vertical == vertical]))
        kinds = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
        legs = [
            Candidate(
                campaign=c.id,
                buyer=c.buyer,
                company=self.release.buyer_by_id[c.buyer].company,
                price=c.price + 10 * exclusive,
                exclusive=exclusive,
                tier=0,
            )
            for c, only in zip(found, kinds, strict=True)
            for exclusive in ((True, False) if c.id in ("campaign-0", "campaign-1") else (only,))  # hybrid ones
        ]
        deadline = data.draw(st.none() | st.integers(0, 40))
        return slip(
            legs[: data.draw(st.integers(1, len(legs)))],
            max_sales=data.draw(st.integers(1, 3)),
            deadline=None if deadline is None else self.now + timedelta(hours=deadline),
        )

    def submit(self, arrival: Offer) -> None:
        self.partitions[leg_of(arrival).company].append(arrival)

    @rule(data=st.data(), count=st.integers(1, 4))
    def more_leads_come(self, data: st.DataObject, count: int) -> None:
        self.leads_come(data, count)

    def leads_come(self, data: st.DataObject, count: int) -> None:
        on, source = self.slip(data), data.draw(st.sampled_from(["acme", "quoteharbor", "quoteharbor"]))
        for _ in range(count):
            name = f"lead-{len(self.leads)}"
            self.leads[name] = (OFFERED, 0, 0)
            self.names[lead_id(name)] = name
            who = data.draw(st.sampled_from([name, name, "ada"]))
            self.slips[lead_id(name)].append(on)
            self.submit(offer(name, on, who=who, source=source, received_at=self.now))

    @precondition(lambda self: any(partition.log for partition in self.partitions.values()))
    @rule(data=st.data())
    def an_offer_comes_again(self, data: st.DataObject) -> None:
        company = data.draw(st.sampled_from(sorted(b for b, partition in self.partitions.items() if partition.log)))
        self.submit(data.draw(st.sampled_from(self.partitions[company].log)))

    @precondition(lambda self: any(lead[0] in REDECIDABLE for lead in self.leads.values()))
    @rule(data=st.data(), replayed=st.booleans())
    def a_lead_is_decided_again(self, data: st.DataObject, replayed: bool) -> None:
        """In a replay, or in the same run because it was on hold."""
        name = data.draw(st.sampled_from(sorted(n for n, lead in self.leads.items() if lead[0] in REDECIDABLE)))
        _, run, decision = self.leads[name]
        run, decision = (run + 1, 0) if replayed else (run, decision + 1)
        self.leads[name] = (OFFERED, run, decision)
        on, first = self.slip(data), lead_id(name)
        self.slips[first].append(on)
        before = next(o for partition in self.partitions.values() for o in partition.log if o.lead_id == first)
        same = {"source": before.source, "person": before.person, "received_at": before.received_at}
        self.submit(offer(name, on, run=run, decision=decision, **same))

    @rule(hours=st.sampled_from([0.25, 0.5, 1, 3, 20, 24, 30, 200]))
    def time_passes(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule(data=st.data(), window=WINDOWS, counts=st.sampled_from(list(CapCounts)))
    def a_cap_is_added(self, data: st.DataObject, window: str, counts: CapCounts) -> None:
        """One that nothing reaches: it must count all that was before it, and what is under way."""
        number = data.draw(st.integers(0, 5))
        added, old = cap(9999, window, counts=counts), self.campaigns[number]
        if added.name not in {one.name for one in old.caps}:
            self.campaigns[number] = old.model_copy(update={"caps": (*old.caps, added)})
            self.put_in_force()

    @rule(number=st.sampled_from([1, 2, 4, 5]))
    def a_campaign_goes_to_another_buyer_of_its_company(self, number: int) -> None:
        old = self.campaigns[number]
        buyer = "buyer-2" if old.buyer == "buyer-1" else "buyer-1"
        self.campaigns[number] = old.model_copy(update={"buyer": buyer})
        self.put_in_force()

    # What delivery does

    def busy(self) -> list[str]:
        return sorted(buyer for buyer, partition in self.partitions.items() if partition.has_work())

    def asking(self) -> list[str]:
        return sorted(buyer for buyer, partition in self.partitions.items() if partition.in_flight)

    def a_partition(self, data: st.DataObject, buyers: list[str]) -> Partition:
        return self.partitions[data.draw(st.sampled_from(buyers))]

    def decide(self, partition: Partition, most: int = 1000) -> Step | None:
        return partition.decide(most, context(self.release, self.now))

    def write(self, partition: Partition, step: Step) -> None:
        for event in partition.write(step):
            if isinstance(event, Offer):
                self.submit(event)
            elif isinstance(event, LeadDelivered | LeadUndelivered):
                self.note(event)
            else:
                assert isinstance(event, Delivery | Capacity)

    def post(self, data: st.DataObject, intent: Intent) -> Answer:
        return self.market.answer(intent.effect, data.draw(ANSWERS), data.draw(SILENTLY))

    def note(self, event: LeadDelivered | LeadUndelivered) -> None:
        self.ends[event.lead_id, event.run, event.decision].add(type(event))
        name = self.names[event.lead_id]
        status, *stands = self.leads[name]
        if isinstance(event, LeadDelivered):
            assert (event.campaign, event.exclusive) in self.market.sold[event.lead_id]
        if status is Status.SOLD or [event.run, event.decision] < stands:
            return
        if isinstance(event, LeadDelivered):
            self.leads[name] = (Status.SOLD, *stands)  # type: ignore[assignment]
        else:
            held = event.reason == Reason.OUTCOME_UNKNOWN
            self.leads[name] = (Status.HELD if held else Status.UNSOLD, *stands)  # type: ignore[assignment]

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), most=st.integers(1, 8))
    def a_step_is_done(self, data: st.DataObject, most: int) -> None:
        partition = self.a_partition(data, self.busy())
        if step := self.decide(partition, most):
            self.write(partition, step)

    @precondition(lambda self: self.asking())
    @rule(data=st.data(), count=st.integers(1, 4))
    def answers_come(self, data: st.DataObject, count: int) -> None:
        """In any order; the next step settles them."""
        partition = self.a_partition(data, self.asking())
        for intent in data.draw(st.permutations(partition.in_flight))[:count]:
            partition.in_flight.remove(intent)
            partition.lane.give(intent, self.post(data, intent))

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def all_is_done(self, data: st.DataObject) -> None:
        partition = self.a_partition(data, self.busy())
        while step := self.decide(partition):
            self.write(partition, step)
            for intent in partition.in_flight:
                partition.lane.give(intent, self.post(data, intent))
            partition.in_flight.clear()

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def a_crash_before_a_step_is_written(self, data: st.DataObject) -> None:
        """Reservations nobody kept, or answers nobody kept: nothing was posted for the ones, and the others are lost
        with all that would have followed."""
        partition = self.a_partition(data, self.busy())
        durable = partition.entries()
        self.decide(partition, data.draw(st.integers(1, 8)))
        partition.restart()
        assert partition.entries() == durable

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def a_crash_after_a_step_is_written(self, data: st.DataObject) -> None:
        """Reserved, and nothing of it was posted; or settled, and told. None of what is done comes again."""
        partition = self.a_partition(data, self.busy())
        if step := self.decide(partition, data.draw(st.integers(1, 8))):
            self.write(partition, step)
        durable = partition.entries()
        partition.restart()
        assert partition.entries() == durable

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def a_crash_after_posts(self, data: st.DataObject) -> None:
        """Some posts went out; no answer was kept."""
        partition = self.a_partition(data, self.busy())
        if step := self.decide(partition, data.draw(st.integers(1, 8))):
            self.write(partition, step)
        for intent in partition.in_flight[data.draw(st.integers(0, len(partition.in_flight))) :]:
            self.post(data, intent)
        partition.restart()

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def a_crash_before_the_answers_are_written(self, data: st.DataObject) -> None:
        """Every answer came and was decided about, and nobody was told."""
        partition = self.a_partition(data, self.busy())
        if step := self.decide(partition, data.draw(st.integers(1, 8))):
            self.write(partition, step)
        for intent in partition.in_flight:
            partition.lane.give(intent, self.post(data, intent))
        self.decide(partition)
        partition.restart()

    @precondition(lambda self: any(partition.log for partition in self.partitions.values()))
    @rule(data=st.data())
    def a_topic_is_made_anew(self, data: st.DataObject) -> None:
        """All of it is done, and comes again, for no position tells that it is."""
        log = sorted(buyer for buyer, partition in self.partitions.items() if partition.log)
        self.a_partition(data, log).begin_again()

    # What must always be true

    def entries(self) -> Iterator[Entry]:
        for partition in self.partitions.values():
            yield from partition.entries().values()

    @invariant()
    def every_offer_has_one_attempt(self) -> None:
        assert all(partition.attempts <= partition.expected for partition in self.partitions.values())

    @invariant()
    def no_cap_is_exceeded(self) -> None:
        entries = list(self.entries())
        for one in self.campaigns:
            own = [entry for entry in entries if entry.campaign == one.id]
            for limit in one.caps:
                self.holds(limit, own, one.time_zone)
        for buyer in self.buyers:
            own = [entry for entry in entries if entry.buyer == buyer.id]
            for limit in buyer.caps:
                self.holds(limit, own, buyer.time_zone or "UTC")
            spent = sum(entry.price for entry in own if entry.status in COUNTED)
            assert buyer.credit is None or spent <= buyer.credit

    def holds(self, limit: Cap, entries: list[Entry], zone: str) -> None:
        sums: Counter[str] = Counter()
        for entry in entries:
            if limit.source not in (None, entry.source):
                continue
            if limit.counts is CapCounts.SENT:
                moments = [*entry.posted_at, *([entry.reserved_at] if entry.is_sent else [])]
            else:
                moments = [entry.reserved_at] if entry.status in COUNTED else []
            for moment in moments:
                amount = entry.price if limit.counts is CapCounts.SPEND else 1
                sums[span_at(limit.window, limit.time_zone or zone, moment).key] += amount  # type: ignore[assignment]
        assert all(used <= limit.limit for used in sums.values()), (limit, sums)

    @invariant()
    def every_sale_counts_against_its_caps(self) -> None:
        for lead, sold in self.market.sold.items():
            for name, exclusive in sold:
                company = self.release.buyer_by_id[self.release.campaign_by_id[name].buyer].company
                entry = self.partitions[company].tables[LEDGER].get(entry_key(lead, name, exclusive=exclusive))
                assert entry is not None
                assert entry.status in COUNTED

    @invariant()
    def the_counters_are_a_recount(self) -> None:
        for partition in self.partitions.values():
            fresh = Tables()
            for key, entry in partition.entries().items():
                fresh[LEDGER][key] = entry
            for _, kept in partition.tables.store.items(counters.KEPT):
                counters.keep(fresh, counters.count_set(kept.counts))
            fresh.commit()
            for spec in (counters.COUNTERS, counters.TOTALS):
                there = {key: number for key, number in partition.tables.store.items(spec) if number}
                assert there == {key: number for key, number in fresh.store.items(spec) if number}

    @invariant()
    def no_lead_is_sold_more_often_than_its_slip_says(self) -> None:
        for lead, sold in self.market.sold.items():
            assert len(sold) <= max(on.max_sales for on in self.slips[lead])
            assert len(sold) == 1 or not any(exclusive for _, exclusive in sold)
            buyers = [self.release.campaign_by_id[name].buyer for name, _ in sold]
            companies = [self.release.buyer_by_id[buyer].company for buyer in buyers]
            assert len(set(companies)) == len(companies), "sold twice to one company"

    @invariant()
    def no_lead_that_is_sold_is_offered_to_another(self) -> None:
        for lead in (lead for lead, sold in self.market.sold.items() if sold):
            assert self.leads[self.names[lead]][0] is not Status.UNSOLD

    @invariant()
    def no_buyer_has_two_leads_of_a_person(self) -> None:
        """Of those that look for it, as far as their days reach."""
        offers = {o.lead_id: o for partition in self.partitions.values() for o in partition.log}
        for buyer in self.buyers:
            entries = self.partitions[buyer.company].entries()
            own = {key for key, entry in entries.items() if entry.buyer == buyer.id}
            sold = [
                offers[lead]
                for lead, to in self.market.sold.items()
                if any(entry_key(lead, name, exclusive=exclusive) in own for name, exclusive in to)
            ]
            for one, other in combinations([o for o in sold if buyer.duplicate_days], 2):
                days = abs(one.received_at - other.received_at) / timedelta(days=1)
                assert one.person != other.person or days >= buyer.duplicate_days

    def teardown(self) -> None:
        """Once everything is done, every lead has come to an end."""
        rounds = 0
        while buyers := self.busy():
            rounds += 1
            assert rounds <= 1000, "offers go round without end"
            partition = self.partitions[buyers[0]]
            if step := self.decide(partition):
                self.write(partition, step)
            for intent in partition.in_flight:
                answer = self.market.answer(intent.effect, Outcome.REJECTED, Outcome.REJECTED)
                partition.lane.give(intent, answer)
            partition.in_flight.clear()
        assert all(lead[0] is not Status.OFFERED for lead in self.leads.values())
        assert all(len(ends) == 1 for ends in self.ends.values()), "sold and unsold"
        assert {lead for lead, _, _ in self.ends} == set(self.names)
        for partition in self.partitions.values():
            # A lead that was decided about again has been told of: nothing is said to an older offer that comes again.
            assert partition.attempts.keys() == partition.expected.keys()
        self.no_lead_is_sold_more_often_than_its_slip_says()
        self.no_cap_is_exceeded()
        self.the_counters_are_a_recount()


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_the_offers_topic_is_what_the_machine_stands_for() -> None:
    """One partition has all offers to a company, and offers are the only thing delivery reads."""
    assert STAGE.reads == (topics.OFFERS,)
    assert topics.OFFERS.key is topics.Key.COMPANY

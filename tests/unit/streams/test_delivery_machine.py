"""Delivery under everything at once: caps, declines, redelivery, replays, crashes and days, against honest buyers.

Each buyer has a partition of its own, driven by the lane that drives it on Kafka: what a step changes, tells and has
done is written together or not at all, and a crash is possible before and after each of them and of each post. A buyer
that honours keys gives a repeated post its first answer, or fails; a post whose answer is lost may have been taken or
not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kit.builders import NOW, campaign, configuration, context, lead_id, offer

from connectors.outbound.contract import Answer
from schemas import topics
from schemas.codec import decode, encode
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.events import Capacity, Delivery, LeadDelivered, LeadUndelivered, Offer, Outcome
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from streams.changelog import Restoration, records_of
from streams.delivery.ledger import COUNTED, LEDGER, TAKEN, Entry, entry_key
from streams.delivery.stage import FINAL, DeliveryStage, Post
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


class Market:
    """The buyers: what they took, and what they were asked."""

    def __init__(self) -> None:
        self.sold: defaultdict[UUID, set[str]] = defaultdict(set)
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
            self.sold[post.lead_id].add(post.campaign.id)
        return Answer(Outcome.UNKNOWN if drawn is Outcome.UNKNOWN else does)


class Partition:
    """A buyer's offers, the lane that works on them, and what is durable of its work."""

    def __init__(self) -> None:
        self.log: list[Offer] = []
        self.records: list[KafkaRecord] = []
        self.changelog: list[tuple[bytes, bytes | None, int]] = []
        self.expected: Counter[tuple[UUID, int, int]] = Counter()
        self.attempts: Counter[tuple[UUID, int, int]] = Counter()
        self.follow_ups: Counter[tuple[UUID, int]] = Counter()
        self.topic_ids = dict(TOPIC_IDS)
        self.restart()

    def append(self, arrival: Offer) -> None:
        self.log.append(arrival)
        self.records.append(KafkaRecord("offers", 0, len(self.records), 0, b"buyer", encode(arrival)))
        self.expected[arrival.lead_id, arrival.run, arrival.cursor] += 1

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
        self.expected = self.attempts + Counter((o.lead_id, o.run, o.cursor) for o in self.log)
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
            known = before.get(entry_key(post.lead_id, post.campaign.id))
            assert known is None or known.status not in FINAL
        return step

    def write(self, step: Step) -> list[Any]:
        """All of a step becomes durable; the events it emits."""
        at_ms = milliseconds(step.at)
        self.changelog += [(key, value, at_ms) for key, value in records_of(step, self.topic_ids)]
        self.lane.commit(step)
        self.in_flight += step.intents
        events = [decode(output.topic, output.value) for output in step.outputs]
        for output, event in zip(step.outputs, events, strict=True):
            if isinstance(event, Delivery):
                self.attempts[event.lead_id, event.run, event.attempt] += 1
            elif isinstance(event, Offer | LeadDelivered | LeadUndelivered):
                self.follow_ups[event.lead_id, event.run] += 1
            if isinstance(event, Offer):
                assert output.key == event.candidates[event.cursor].buyer.encode()
        return events


class DeliveryMachine(RuleBasedStateMachine):
    release: Configuration

    def __init__(self) -> None:
        super().__init__()
        self.market = Market()
        self.now = NOW
        self.partitions: defaultdict[str, Partition] = defaultdict(Partition)
        self.leads: dict[str, tuple[Status, int]] = {}  # as routing knows them: the status, and the run that decided
        self.names: dict[UUID, str] = {}

    @initialize(
        data=st.data(),
        caps=st.lists(st.none() | st.integers(0, 3), min_size=6, max_size=6),
        idempotent=st.lists(st.sampled_from([True, True, False]), min_size=6, max_size=6),
        zones=st.lists(st.sampled_from(["UTC", "America/Los_Angeles", "Asia/Kolkata"]), min_size=6, max_size=6),
    )
    def configure(self, data: st.DataObject, caps: list[int | None], idempotent: list[bool], zones: list[str]) -> None:
        self.campaigns = [
            campaign(
                f"campaign-{n}",
                buyer=f"buyer-{n % 3}",
                vertical="solar" if n % 2 else "roofing",
                daily_cap=caps[n],
                idempotent=idempotent[n],
                time_zone=zones[n],
            )
            for n in range(6)
        ]
        self.release = configuration(*self.campaigns)
        self.leads_come(data, 3)

    # What comes in

    def slip(self, data: st.DataObject) -> list[Campaign]:
        vertical = data.draw(st.sampled_from(["solar", "roofing"]))
        found = data.draw(st.permutations([c for c in self.campaigns if c.vertical == vertical]))
        return found[: data.draw(st.integers(1, len(found)))]

    def submit(self, arrival: Offer) -> None:
        self.partitions[arrival.candidates[arrival.cursor].buyer].append(arrival)

    @rule(data=st.data(), count=st.integers(1, 4))
    def more_leads_come(self, data: st.DataObject, count: int) -> None:
        self.leads_come(data, count)

    def leads_come(self, data: st.DataObject, count: int) -> None:
        slip = self.slip(data)
        for _ in range(count):
            name = f"lead-{len(self.leads)}"
            self.leads[name] = (Status.OFFERED, 0)
            self.names[lead_id(name)] = name
            self.submit(offer(name, slip))

    @precondition(lambda self: any(partition.log for partition in self.partitions.values()))
    @rule(data=st.data())
    def an_offer_comes_again(self, data: st.DataObject) -> None:
        buyer = data.draw(st.sampled_from(sorted(b for b, partition in self.partitions.items() if partition.log)))
        self.submit(data.draw(st.sampled_from(self.partitions[buyer].log)))

    @precondition(lambda self: any(status in REDECIDABLE for status, _ in self.leads.values()))
    @rule(data=st.data())
    def a_lead_is_replayed(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(n for n, (status, _) in self.leads.items() if status in REDECIDABLE)))
        run = self.leads[name][1] + 1
        self.leads[name] = (Status.OFFERED, run)
        self.submit(offer(name, self.slip(data), run=run))

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

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
        name = self.names[event.lead_id]
        status, run = self.leads[name]
        if status is Status.SOLD or event.run < run:
            return
        if isinstance(event, LeadDelivered):
            assert event.campaign in self.market.sold[event.lead_id]
            self.leads[name] = (Status.SOLD, run)
        else:
            held = event.reason == Reason.OUTCOME_UNKNOWN
            self.leads[name] = (Status.HELD if held else Status.UNSOLD, run)

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

    def counted(self) -> Counter[tuple[str, str]]:
        entries = (entry for partition in self.partitions.values() for entry in partition.entries().values())
        return Counter((entry.campaign, entry.day) for entry in entries if entry.status in COUNTED)

    @invariant()
    def every_offer_has_one_attempt_and_one_end(self) -> None:
        for partition in self.partitions.values():
            assert partition.attempts <= partition.expected
            ends: Counter[tuple[UUID, int]] = Counter()
            for (lead, run, _), count in partition.attempts.items():
                ends[lead, run] += count
            assert partition.follow_ups == ends

    @invariant()
    def no_cap_is_exceeded(self) -> None:
        for (name, _), count in self.counted().items():
            cap = self.release.campaign_by_id[name].daily_cap
            assert cap is None or count <= cap

    @invariant()
    def every_sale_counts_against_its_cap(self) -> None:
        for lead, names in self.market.sold.items():
            for name in names:
                buyer = self.release.campaign_by_id[name].buyer
                entry = self.partitions[buyer].tables[LEDGER].get(entry_key(lead, name))
                assert entry is not None
                assert entry.status in COUNTED

    @invariant()
    def the_counts_are_a_recount(self) -> None:
        kept = {
            tuple(key.rsplit(":", 1)): count
            for partition in self.partitions.values()
            for key, count in partition.tables.store.items(TAKEN)
            if count
        }
        assert kept == dict(self.counted())

    @invariant()
    def no_lead_is_sold_twice(self) -> None:
        assert all(len(names) <= 1 for names in self.market.sold.values())

    @invariant()
    def no_lead_that_is_sold_is_offered_to_another(self) -> None:
        for lead in (lead for lead, names in self.market.sold.items() if names):
            assert self.leads[self.names[lead]][0] is not Status.UNSOLD

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
        assert all(status is not Status.OFFERED for status, _ in self.leads.values())
        assert all(partition.attempts == partition.expected for partition in self.partitions.values())
        self.every_offer_has_one_attempt_and_one_end()
        self.no_lead_is_sold_twice()
        self.no_cap_is_exceeded()
        self.the_counts_are_a_recount()


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_the_offers_topic_is_what_the_machine_stands_for() -> None:
    """One partition has all offers to a buyer, and offers are the only thing delivery reads."""
    assert STAGE.reads == (topics.OFFERS,)
    assert topics.OFFERS.key is topics.Key.BUYER

"""Delivery under everything at once: caps, declines, redelivery, replays, crashes and days, against honest buyers.

Each buyer has a partition of its own with its ledger, as on Kafka. A buyer that honours keys gives a repeated post its
first answer, or fails; a post whose answer is lost may have been taken or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kit.builders import NOW, campaign, configuration, context, lead_id, offer

from connectors.outbound.contract import Answer
from schemas import topics
from schemas.config import Campaign
from schemas.events import Capacity, Delivery, LeadDelivered, LeadUndelivered, Offer, Outcome
from schemas.reasons import Reason
from streams.delivery.ledger import COUNTED, LEDGER, TAKEN, entry_key
from streams.delivery.stage import FINAL, DeliveryStage, Post
from streams.routing.stage import REDECIDABLE, Status
from streams.stage import Output
from streams.tables import Tables

STAGE = DeliveryStage()
WORDS = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DUPLICATE)
ANSWERS = st.sampled_from([*WORDS, Outcome.ACCEPTED, Outcome.ERROR, Outcome.UNKNOWN])


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


class DeliveryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.market = Market()
        self.now = NOW
        self.log: defaultdict[str, list[Offer]] = defaultdict(list)
        self.positions: Counter[str] = Counter()
        self.tables: defaultdict[str, Tables] = defaultdict(Tables)
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
        self.log[arrival.candidates[arrival.cursor].buyer].append(arrival)

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

    @precondition(lambda self: any(self.log.values()))
    @rule(data=st.data())
    def an_offer_comes_again(self, data: st.DataObject) -> None:
        buyer = data.draw(st.sampled_from(sorted(b for b, log in self.log.items() if log)))
        self.submit(data.draw(st.sampled_from(self.log[buyer])))

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

    def waiting(self) -> list[str]:
        return sorted(b for b, log in self.log.items() if self.positions[b] < len(log))

    def take(self, data: st.DataObject) -> tuple[str, list[Offer]]:
        buyer = data.draw(st.sampled_from(self.waiting()))
        slice_ = self.log[buyer][self.positions[buyer] :]
        return buyer, slice_[: data.draw(st.integers(1, len(slice_)))]

    def plan(self, buyer: str, slice_: Sequence[Offer]) -> tuple[list[Output], list[Post]]:
        tables = self.tables[buyer]
        before = {key: entry.status for key, entry in tables._committed.get(LEDGER.name, {}).items()}
        plan = STAGE.plan(slice_, tables, context(self.release, self.now))
        tables.commit()
        assert len({post.key for post in plan.effects}) == len(plan.effects)
        for post in plan.effects:
            assert before.get(entry_key(post.lead_id, post.campaign.id)) not in FINAL
        return plan.outputs, plan.effects

    def perform(self, data: st.DataObject, posts: Sequence[Post]) -> list[tuple[Post, Answer]]:
        return [
            (post, self.market.answer(post, data.draw(ANSWERS), data.draw(st.sampled_from([*WORDS, Outcome.ERROR]))))
            for post in posts
        ]

    def settle(self, buyer: str, results: Sequence[tuple[Post, Answer]]) -> list[Output]:
        tables = self.tables[buyer]
        outputs = STAGE.settle(results, tables, context(self.release, self.now))
        tables.commit()
        return outputs

    def emit(self, slice_: Sequence[Offer], outputs: Sequence[Output]) -> None:
        attempts: Counter[tuple[UUID, int, int]] = Counter()
        follow_ups: Counter[tuple[UUID, int]] = Counter()
        for output in outputs:
            event: Any = output.value
            if isinstance(event, Delivery):
                attempts[event.lead_id, event.run, event.attempt] += 1
            elif not isinstance(event, Capacity):
                follow_ups[event.lead_id, event.run] += 1
            if isinstance(event, Offer):
                assert output.key == event.candidates[event.cursor].buyer.encode()
                self.submit(event)
            elif isinstance(event, LeadDelivered | LeadUndelivered):
                self.note(event)
        assert attempts == Counter((o.lead_id, o.run, o.cursor) for o in slice_)
        assert follow_ups == Counter((o.lead_id, o.run) for o in slice_)

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

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def a_slice_is_done(self, data: st.DataObject) -> None:
        buyer, slice_ = self.take(data)
        outputs, posts = self.plan(buyer, slice_)
        outputs = outputs + self.settle(buyer, self.perform(data, posts))
        self.emit(slice_, outputs)
        self.positions[buyer] += len(slice_)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def a_crash_after_the_plan(self, data: st.DataObject) -> None:
        """Some posts went out; no answer was kept."""
        buyer, slice_ = self.take(data)
        _, posts = self.plan(buyer, slice_)
        self.perform(data, posts[data.draw(st.integers(0, len(posts))) :])
        self.restart(buyer)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def a_crash_before_the_outputs(self, data: st.DataObject) -> None:
        """Every answer was kept, and nobody was told."""
        buyer, slice_ = self.take(data)
        _, posts = self.plan(buyer, slice_)
        self.settle(buyer, self.perform(data, posts))
        self.restart(buyer)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def a_crash_before_the_ack(self, data: st.DataObject) -> None:
        """All of it is done, and comes again."""
        buyer, slice_ = self.take(data)
        outputs, posts = self.plan(buyer, slice_)
        self.emit(slice_, outputs + self.settle(buyer, self.perform(data, posts)))
        self.restart(buyer)

    def restart(self, buyer: str) -> None:
        """The next owner has what the changelog has."""
        fresh = Tables()
        for key, entry in self.tables[buyer]._committed.get(LEDGER.name, {}).items():
            fresh[LEDGER][key] = LEDGER.load(LEDGER.dump(entry))
        fresh.commit()
        STAGE.rebuild(fresh)
        fresh.commit()
        self.tables[buyer] = fresh

    # What must always be true

    def counted(self) -> Counter[tuple[str, str]]:
        entries = (entry for tables in self.tables.values() for entry in tables[LEDGER].values())
        return Counter((entry.campaign, entry.day) for entry in entries if entry.status in COUNTED)

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
                entry = self.tables[buyer][LEDGER].get(entry_key(lead, name))
                assert entry is not None
                assert entry.status in COUNTED

    @invariant()
    def the_counts_are_a_recount(self) -> None:
        kept = {
            tuple(key.rsplit(":", 1)): count
            for tables in self.tables.values()
            for key, count in tables._committed.get(TAKEN.name, {}).items()
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
        while waiting := self.waiting():
            rounds += 1
            assert rounds <= 1000, "offers go round without end"
            buyer = waiting[0]
            slice_ = self.log[buyer][self.positions[buyer] :]
            outputs, posts = self.plan(buyer, slice_)
            results = [(p, self.market.answer(p, Outcome.REJECTED, Outcome.REJECTED)) for p in posts]
            self.emit(slice_, outputs + self.settle(buyer, results))
            self.positions[buyer] += len(slice_)
        assert all(status is not Status.OFFERED for status, _ in self.leads.values())
        self.no_lead_is_sold_twice()
        self.no_cap_is_exceeded()
        self.the_counts_are_a_recount()


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_the_offers_topic_is_what_the_machine_stands_for() -> None:
    """One partition has all offers to a buyer, and offers are the only thing delivery reads."""
    assert STAGE.reads == (topics.OFFERS,)
    assert topics.OFFERS.key is topics.Key.BUYER

"""The whole pipeline in memory: generated leads come to the ends they were made for, and a replay sells nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, SECRET

from connectors.config_file import load_configuration
from connectors.outbound.contract import Answer
from connectors.sandbox.traffic import Expected, Kind, Mix, Traffic, generate
from schemas import topics
from schemas.codec import decode
from schemas.events import Event, LeadDelivered, LeadUndelivered, Outcome
from schemas.headers import DeadLetter
from schemas.messages import Capacity
from schemas.raw_lead import lead_id_of
from schemas.reasons import Reason
from streams.delivery.stage import Post
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.replay.window import again
from streams.stage import Context
from streams.topology import PIPELINE

CONFIGURATION = load_configuration(
    Path(__file__).parents[3] / "deploy" / "local" / "config.yaml", {"LEADLINE_SANDBOX_URL": "http://127.0.0.1:9"}
)
ENDS = {
    topics.REJECTED.name: "rejected",
    topics.DUPLICATE.name: "duplicate",
    topics.UNROUTED.name: "unrouted",
    topics.DELIVERED.name: "delivered",
    topics.UNDELIVERED.name: "undelivered",
    topics.DEAD_LETTERS.name: "dead",
}


class Run:
    """Traffic through the pipeline, with buyers that take everything but roofs in Hawaii."""

    def __init__(self, traffic: Traffic, *, slice_records: int = 100, partitions: int = 4) -> None:
        self.traffic = traffic
        self.posts: list[Post] = []
        self.log = MemoryLog(partitions=partitions, clock=lambda: NOW)
        context = Context(NOW, CONFIGURATION, SECRET, "test")
        self.runner = MemoryRunner(PIPELINE, self.log, lambda: context, self.perform, slice_records)
        for value in traffic.records:
            self.log.append(topics.LEADS.name, None, value)
        self.runner.run()

    def perform(self, post: Post) -> Answer:
        self.posts.append(post)
        declined = post.vertical == "roofing" and post.lead.state == "HI"
        return Answer(Outcome.REJECTED, Reason.BUYER_REJECTED) if declined else Answer(Outcome.ACCEPTED)

    def replay(self, run: int, topic: str = topics.LEADS.name) -> None:
        live = [r for r in self.log.records(topic) if not any(name == "leadline-run" for name, _ in r.headers)]
        for record in live:
            self.log.append(topic, record.key, record.value, again(record, run))
        self.runner.run()

    def ends(self, run: int | None = None) -> dict[str, Counter[UUID]]:
        """By outcome, the leads that have it and how often, of one run or of all."""
        found: dict[str, Counter[UUID]] = {}
        for topic, end in ENDS.items():
            count = found[end] = Counter()
            for record in self.log.records(topic):
                ended = DeadLetter.from_headers(record.headers) if end == "dead" else decode(topic, record.value)
                assert isinstance(ended, Event | DeadLetter)
                if run is None or ended.run == run:
                    count[ended.lead_id] += 1
        return found

    def outcomes(self) -> dict[UUID, str]:
        """Each lead's outcome, whatever the run; a lead with two fails."""
        found: dict[UUID, str] = {}
        for end, leads in self.ends().items():
            for lead in leads:
                assert found.setdefault(lead, end) == end
        return found


def counts(ends: dict[str, Counter[UUID]], raw: int) -> Expected:
    return Expected(raw=raw, **{end: leads.total() for end, leads in ends.items()})


@pytest.fixture(scope="module")
def thousand() -> Run:
    return Run(generate(seed=7))


def test_a_thousand_leads_come_to_exactly_what_was_expected(thousand: Run) -> None:
    traffic = thousand.traffic
    assert len(traffic.records) == traffic.expected.raw == 1000
    assert counts(thousand.ends(), 1000) == traffic.expected
    assert set(thousand.outcomes()) == {lead_id_of(r) for r in thousand.log.records(topics.LEADS.name)}


def test_every_lead_has_one_event_of_one_outcome(thousand: Run) -> None:
    assert all(set(leads.values()) <= {1} for leads in thousand.ends().values())


def test_each_kind_of_lead_ends_as_its_kind_does(thousand: Run) -> None:
    ids = {r.value: lead_id_of(r) for r in thousand.log.records(topics.LEADS.name)}
    outcomes, ends = thousand.outcomes(), {kind: Counter[str]() for kind in Kind}
    for value, kind in zip(thousand.traffic.records, thousand.traffic.kinds, strict=True):
        ends[kind][outcomes[ids[value]]] += 1
    assert ends[Kind.INVALID] == {"rejected": 60}
    assert ends[Kind.OUT_OF_AREA] == {"unrouted": 40}
    assert ends[Kind.CAPPED] == {"delivered": 10, "undelivered": 15}
    assert ends[Kind.DECLINED] == {"undelivered": 15}
    assert ends[Kind.MALFORMED].keys() == {"dead"}
    # Which lead of a pair comes first depends on their partitions.
    assert ends[Kind.SELLABLE] + ends[Kind.DUPLICATES] == {"delivered": 780, "duplicate": 70}


def test_rejections_name_the_flaw_that_was_planted(thousand: Run) -> None:
    for record in thousand.log.records(topics.REJECTED.name):
        event = decode(topics.REJECTED.name, record.value)
        planted = thousand.traffic.rejections[str(event.lead_id)]  # type: ignore[union-attr]
        assert planted in {rejection.reason for rejection in event.reasons}  # type: ignore[union-attr]


def test_every_event_is_the_only_one_of_its_id(thousand: Run) -> None:
    events = [
        decode(spec.name, record.value)
        for spec in topics.CATALOGUE
        if spec not in (topics.LEADS, topics.DEAD_LETTERS)
        for record in thousand.log.records(spec.name)
    ]
    ids = Counter(event.event_id for event in events if isinstance(event, Event))
    assert ids.most_common(1)[0][1] == 1
    caps = [event for event in events if isinstance(event, Capacity)]
    assert caps
    assert all(use.used <= use.limit for event in caps for use in event.uses)


def test_what_is_sold_was_posted_once_and_is_sold_once(thousand: Run) -> None:
    sold = [decode(topics.DELIVERED.name, r.value) for r in thousand.log.records(topics.DELIVERED.name)]
    places = Counter((s.lead_id, s.campaign) for s in sold if isinstance(s, LeadDelivered))
    posted = Counter((p.lead_id, p.campaign.id) for p in thousand.posts)
    assert set(posted.values()) == {1}
    assert len({lead for lead, _ in places}) == len(sold) == sum(places.values())
    assert places.keys() <= posted.keys()


def test_no_personal_data_where_none_may_be(thousand: Run) -> None:
    free = [s for s in topics.CATALOGUE if not s.personal_data]
    shown = "\n".join(
        decode(spec.name, record.value).model_dump_json() for spec in free for record in thousand.log.records(spec.name)
    )
    shown += "\n".join(str(record.headers) for record in thousand.log.records(topics.DEAD_LETTERS.name))
    marks = {m for p in thousand.posts for m in (p.lead.phone, p.lead.email, (p.lead.phone or "")[2:]) if m}
    assert len(marks) > 1000
    assert not [mark for mark in marks if mark in shown]


mixes = st.builds(
    lambda sellable, duplicates, *rest: Mix(sellable, min(duplicates, sellable), *rest),
    *(st.integers(0, 12) for _ in range(4)),
    st.integers(0, 16),
    *(st.integers(0, 5) for _ in range(2)),
)


@settings(max_examples=25)
@given(st.integers(0, 2**32), mixes, st.integers(1, 60), st.sampled_from([1, 2, 4]))
def test_every_lead_of_any_traffic_has_one_end(seed: int, mix: Mix, slice_records: int, partitions: int) -> None:
    traffic = generate(seed, mix)
    run = Run(traffic, slice_records=slice_records, partitions=partitions)
    assert counts(run.ends(), len(traffic.records)) == traffic.expected
    assert len(run.outcomes()) == len(traffic.records)


SMALL = Mix(sellable=40, duplicates=20, invalid=9, out_of_area=6, capped=14, declined=4, malformed=10)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(21, 200))
def test_outcomes_do_not_depend_on_where_slices_are_cut(seed: int, one: int, other: int) -> None:
    traffic = generate(seed, SMALL)
    # One partition: between several, the order of leads is nobody's promise.
    runs = [Run(traffic, slice_records=size, partitions=1) for size in (one, other)]
    assert runs[0].outcomes() == runs[1].outcomes()
    assert len({frozenset((p.lead_id, p.campaign.id) for p in run.posts) for run in runs}) == 1


@pytest.mark.parametrize("topic", [topics.LEADS.name, topics.VALIDATED.name, topics.UNIQUE.name])
def test_a_replay_of_everything_sells_nothing_and_changes_no_outcome(topic: str) -> None:
    run = Run(generate(seed=11, mix=SMALL))
    before, posts, sold = run.outcomes(), list(run.posts), run.ends()["delivered"]
    run.replay(1, topic)
    assert run.outcomes() == before
    assert run.ends()["delivered"] == sold  # not one event more
    # Asked again are only campaigns whose cap was full, and those are full today; buyers' own words stand.
    assert run.posts == posts
    replayed = run.ends(run=1)
    assert {end: set(leads) for end, leads in replayed.items() if end == "undelivered"} == {
        "undelivered": set(run.ends(run=0)["undelivered"])
    }


def test_a_second_replay_is_like_the_first() -> None:
    run = Run(generate(seed=12, mix=SMALL), slice_records=7)
    run.replay(1)
    posts, before = list(run.posts), run.outcomes()
    run.replay(2)
    assert (run.posts, run.outcomes()) == (posts, before)


def test_a_replay_the_day_after_sells_what_the_cap_kept_back() -> None:
    run = Run(generate(seed=13, mix=SMALL))
    tomorrow = Context(NOW.replace(day=NOW.day + 1), CONFIGURATION, SECRET, "test")
    first, sold = len(run.posts), set(run.ends()["delivered"])
    run.runner.context = lambda: tomorrow
    run.replay(1)
    now_sold = run.ends(run=1)["delivered"]
    assert now_sold.total() == len(run.posts) - first == SMALL.capped - 10
    assert not sold & set(now_sold)
    assert len(run.ends(run=1)["undelivered"]) == SMALL.declined


def test_a_lead_that_nobody_takes_says_who_declined_it(thousand: Run) -> None:
    for record in thousand.log.records(topics.UNDELIVERED.name):
        event = decode(topics.UNDELIVERED.name, record.value)
        assert isinstance(event, LeadUndelivered)
        assert [d.reason for d in event.declines] in ([Reason.BUYER_REJECTED], [Reason.CAP_DAY])

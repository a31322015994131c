"""A thousand generated leads through the whole pipeline: every side agrees with what the generator made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kit.full_stack import FullStack, accepted_leads, full_stack, wait_until

from connectors.config_file import load_configuration
from connectors.outbound.contract import Answer
from connectors.sandbox import behaviour
from connectors.sandbox.traffic import Kind, Traffic, generate
from schemas import codec, topics
from schemas.events import Delivery, LeadDelivered, Outcome
from schemas.headers import DeadLetter
from schemas.raw_lead import lead_id_of
from streams.delivery.stage import Post
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.stage import Context
from streams.topology import PIPELINE

pytestmark = pytest.mark.stack

ENDS = {
    topics.REJECTED.name: "rejected",
    topics.DUPLICATE.name: "duplicate",
    topics.UNROUTED.name: "unrouted",
    topics.DELIVERED.name: "delivered",
    topics.UNDELIVERED.name: "undelivered",
    topics.DEAD_LETTERS.name: "dead",
}


UNSOLD = ("unrouted", "undelivered")
"""Routing may have heard of a cap and not offered a lead: which of the two it is, is a matter of moments."""


ROWS = "SELECT _topic, uniqExact(_partition, _offset) FROM leadline.lead_events GROUP BY _topic"
"""Asked before the replay: a lead that is routed otherwise then has the new row in the place of the old one."""


def with_unsold(counts: Mapping[str, int]) -> Counter[str]:
    """Counts by end, with what nobody bought as one."""
    found: Counter[str] = Counter()
    for end, count in counts.items():
        found["unsold" if end in UNSOLD else end] += count
    return found


@dataclass(frozen=True)
class Run:
    """The state of every side after the leads came to rest, and after all of them were replayed."""

    stack: FullStack
    traffic: Traffic
    records: dict[str, list[Any]]
    outcomes: dict[str, str]
    funnel: Any
    received: dict[str, Any]
    rows: dict[str, int]
    replay: dict[str, Any]
    outcomes_after: dict[str, str]
    funnel_after: Any
    received_after: dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    traffic = generate(seed=7)
    started = datetime.now(UTC)
    with full_stack(tmp_path_factory.mktemp("thousand")) as stack:
        stack.send(traffic.records)
        wait_until(lambda: stack.funnel().ended == traffic.expected.raw, "every lead has come to an end")
        stack.wait_for_rest()
        before = {
            "records": {spec.name: stack.records(spec.name) for spec in topics.CATALOGUE},
            "outcomes": stack.outcomes(),
            "funnel": stack.funnel(),
            "received": stack.received(),
            "rows": dict(stack.query(ROWS)),
        }
        replay = stack.leadline("replay", "--topic", "leads", "--from", started.isoformat())
        stack.wait_for_rest()
        yield Run(
            stack=stack,
            traffic=traffic,
            **before,
            replay=replay,
            outcomes_after=stack.outcomes(),
            funnel_after=stack.funnel(),
            received_after=stack.received(),
        )


def test_every_topic_holds_what_the_generator_made(run: Run) -> None:
    expected = run.traffic.expected
    assert len(run.records[topics.LEADS.name]) == expected.raw == 1000
    made = {end: getattr(expected, end) for end in ENDS.values()}
    assert with_unsold({end: len(run.records[topic]) for topic, end in ENDS.items()}) == with_unsold(made)
    validated = expected.raw - expected.rejected - expected.dead
    unique = validated - expected.duplicate
    routed = unique - len(run.records[topics.UNROUTED.name])
    assert len(run.records[topics.VALIDATED.name]) == validated
    assert len(run.records[topics.UNIQUE.name]) == unique
    assert len(run.records[topics.ROUTED.name]) == routed
    # Each offer is one attempt, and nothing was written twice.
    assert len(run.records[topics.OFFERS.name]) == len(run.records[topics.DELIVERIES.name])
    attempts = [codec.decode(topics.DELIVERIES.name, r.value) for r in run.records[topics.DELIVERIES.name]]
    assert len({a.event_id for a in attempts if isinstance(a, Delivery)}) == len(attempts)


def test_clickhouse_has_the_same_counts_and_every_lead_one_end(run: Run) -> None:
    expected = run.traffic.expected
    assert run.funnel.raw == expected.raw == run.funnel.ended == len(run.outcomes)
    for end in ("rejected", "duplicate", "delivered", "unsold", "dead"):
        assert getattr(run.funnel, end) == getattr(expected, end), end
    made = with_unsold({end: getattr(expected, end) for end in ENDS.values()})
    assert with_unsold(Counter(run.outcomes.values())) == made


def test_every_row_of_a_topic_is_in_clickhouse(run: Run) -> None:
    unsunk = (topics.CAPACITY.name, topics.CONFIG.name)
    assert run.rows == {t: len(r) for t, r in run.records.items() if r and t not in unsunk}


def test_each_kind_of_lead_came_to_the_end_it_was_made_for(run: Run) -> None:
    ends: dict[Kind, Counter[str]] = {kind: Counter() for kind in Kind}
    by_value = {r.value: str(lead_id_of(r)) for r in run.records[topics.LEADS.name]}
    for value, kind in zip(run.traffic.records, run.traffic.kinds, strict=True):
        ends[kind][run.outcomes[by_value[value]]] += 1
    assert ends[Kind.INVALID] == {"rejected": 60}
    assert ends[Kind.OUT_OF_AREA] == {"unrouted": 40}
    assert with_unsold(ends[Kind.CAPPED]) == {"delivered": 10, "unsold": 15}
    assert ends[Kind.DECLINED] == {"undelivered": 15}
    # Which lead of a pair comes first depends on the partitions the producer chose.
    assert ends[Kind.SELLABLE] + ends[Kind.DUPLICATES] == {"delivered": 780, "duplicate": 70}
    assert sum(ends[Kind.MALFORMED].values()) == sum(1 for kind in run.traffic.kinds if kind is Kind.MALFORMED)


def test_buyers_received_each_sold_lead_once_and_at_its_price(run: Run) -> None:
    sold = [codec.decode(topics.DELIVERED.name, r.value) for r in run.records[topics.DELIVERED.name]]
    bought = accepted_leads(run.received)
    assert bought == Counter(str(s.lead_id) for s in sold if isinstance(s, LeadDelivered))
    assert set(bought.values()) == {1}
    by_buyer = Counter(s.buyer for s in sold if isinstance(s, LeadDelivered))
    accepted = {name: totals["accepted"] for name, totals in run.received["buyers"].items() if totals["accepted"]}
    assert accepted == by_buyer
    assert by_buyer["aurora"] == 10  # its daily cap


def test_undecodable_bytes_are_dead_letters_with_their_origin(run: Run) -> None:
    raw = {(r.topic, r.partition, r.offset): r for r in run.records[topics.LEADS.name]}
    letters = run.records[topics.DEAD_LETTERS.name]
    assert len(letters) == 10
    for record in letters:
        letter = DeadLetter.from_headers(record.headers)
        origin = raw[(letter.topic, letter.partition, letter.offset)]
        assert (record.value or b"") == (origin.value or b"")
        assert letter.stage == "validation"
        assert letter.reason.startswith(("value.", "schema."))
        assert letter.timestamp_ms == origin.timestamp
    # The partitions moved on: what came after a dead letter has an end too.
    assert len(run.outcomes) == 1000


def test_the_in_memory_runner_comes_to_the_same_outcomes(run: Run) -> None:
    configuration = load_configuration(
        Path(run.stack.environment["LEADLINE_CONFIG"]), {"LEADLINE_SANDBOX_URL": str(run.stack.endpoints.sandbox_url)}
    )
    sandbox = behaviour.load(Path(__file__).parents[2] / "deploy" / "local" / "sandbox.yaml")

    def perform(post: Post) -> Answer:
        buyer = post.campaign.buyer
        decision = behaviour.answer(buyer, sandbox.buyers[buyer], str(post.key), 100)
        return Answer(Outcome(decision.answer.status.value))

    log = MemoryLog()
    for record in run.records[topics.LEADS.name]:
        log.append(topics.LEADS.name, record.key, record.value)
    context = Context(datetime.now(UTC), configuration, b"another secret of 32 bytes ......", "test")
    MemoryRunner(PIPELINE, log, lambda: context, perform).run()
    in_memory = with_unsold({ENDS[t]: len(log.records(t)) for t in ENDS})
    assert in_memory == with_unsold({ENDS[t]: len(run.records[t]) for t in ENDS})

    ends = {}
    for topic, end in ENDS.items():
        for record in log.records(topic):
            lead_id = lead_id_of(record) if end == "dead" else codec.decode(topic, record.value).lead_id  # type: ignore[union-attr]
            ends[str(lead_id)] = end
    made = {str(lead_id_of(r)): r.value for r in run.records[topics.LEADS.name]}
    kinds = dict(zip(run.traffic.records, run.traffic.kinds, strict=True))
    interchangeable = {Kind.SELLABLE, Kind.DUPLICATES, Kind.CAPPED, Kind.MALFORMED}
    fixed = [lead_id for lead_id, value in made.items() if kinds[value] not in interchangeable]
    assert len(fixed) == 60 + 40 + 15
    assert {lead_id: ends[lead_id] for lead_id in fixed} == {lead_id: run.outcomes[lead_id] for lead_id in fixed}


def test_replaying_everything_sells_nothing_and_changes_no_count(run: Run) -> None:
    assert run.replay == {"run": 1, "records": 1000, "written": 1000, "passed_over": 0, "erased": 0}
    for count in ("raw", "rejected", "duplicate", "delivered", "unsold", "dead", "validated", "unique"):
        assert getattr(run.funnel_after, count) == getattr(run.funnel, count), count
    assert {lead: end in UNSOLD or end for lead, end in run.outcomes_after.items()} == {
        lead: end in UNSOLD or end for lead, end in run.outcomes.items()
    }
    totals = {name: t["requests"] for name, t in run.received["buyers"].items()}
    assert {name: t["requests"] for name, t in run.received_after["buyers"].items()} == totals


def test_the_replay_went_through_every_stage_again(run: Run) -> None:
    rows = dict(
        run.stack.query("SELECT stage, uniqExact(lead_id) FROM leadline.lead_events WHERE run = 1 GROUP BY stage")
    )
    expected = run.traffic.expected
    validated = expected.raw - expected.rejected - expected.dead
    assert rows["received"] == 1000
    assert rows["validation"] == 1000 - expected.dead
    assert rows["dead"] == expected.dead
    assert rows["dedup"] == validated
    assert rows["routing"] == validated - expected.duplicate
    # Sold leads are routed again on paper only; those that nobody had were offered again, or found at a cap.
    assert 15 <= rows["delivery"] <= expected.undelivered


def test_a_second_replay_passes_over_the_first(run: Run) -> None:
    window = ["--from", "2020-01-01", "--dry-run"]
    assert run.stack.leadline("replay", *window)["records"] == 2000


def test_no_personal_data_in_the_warehouse_or_the_logs(run: Run) -> None:
    leads = [
        codec.decode(topics.VALIDATED.name, r.value).lead  # type: ignore[union-attr]
        for r in run.records[topics.VALIDATED.name][:200]
    ]
    marks = {m for lead in leads for m in (lead.phone, lead.email, (lead.phone or "")[2:]) if m}
    dump = run.stack.query("SELECT toString(tuple(*)) FROM leadline.lead_events")
    text = "\n".join(row[0] for row in dump)
    text += "".join(path.read_text(errors="replace") for path in (run.stack.home / "logs").glob("*.log"))
    assert not [mark for mark in marks if mark in text]

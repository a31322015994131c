"""Running a slice: whatever a record does, it ends in outputs or in a dead letter, and touches no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, campaign, cap, configuration, context, lead_id, offer, unique, validated
from structlog.testing import capture_logs

from connectors.outbound.contract import Answer
from schemas import headers, topics
from schemas.codec import UndecodableError, encode
from schemas.events import LeadUnique, Outcome
from schemas.headers import DeadLetter
from schemas.identity import lead_id_at
from schemas.raw_lead import RawArrival
from schemas.reasons import Reason
from schemas.record import KafkaRecord, Record
from streams.delivery.counters import COUNTERS
from streams.delivery.ledger import LEDGER
from streams.delivery.stage import DeliveryStage
from streams.execution import run_slice
from streams.lane import Lane
from streams.stage import Context, Output, Stage
from streams.tables import Tables, TableSpec
from streams.topology import PIPELINE
from streams.validation.stage import Validation


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Logs go nowhere: another test may have sent them to a stream that is closed by now."""
    with capture_logs():
        yield


COUNTS = TableSpec("counts", int)
SECRET_TEXT = "jane.doe@example.com"


class Tally(Stage[RawArrival]):
    """Counts by the first letter of a value; `!` makes it fail, after it wrote; `#` and `?` do not decode."""

    name = "tally"
    reads = (topics.LEADS,)
    writes = (topics.VALIDATED,)
    tables = (COUNTS,)

    def decode(self, record: Record) -> RawArrival:
        text = (record.value or b"").decode()
        if "#" in text:
            raise UndecodableError(Reason.VALUE_NOT_JSON)
        if "?" in text:
            raise LookupError(text)
        return RawArrival({"text": text}, lead_id_at("leads", 0, record.offset), True, 0, NOW, None)

    def process(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> list[Output]:
        outputs = []
        for arrival in arrivals:
            text = arrival.fields["text"]
            count = (tables[COUNTS].get(text[:1]) or 0) + 1
            tables[COUNTS][text[:1]] = count
            if "!" in text:
                raise LookupError(text)
            outputs.append(Output("out", text.encode(), f"{text}:{count}".encode()))
        return outputs


def records(values: Sequence[str]) -> list[KafkaRecord]:
    return [KafkaRecord("leads", 0, n, 1_000 + n, b"key", value.encode()) for n, value in enumerate(values)]


def dead(outputs: Sequence[Output]) -> list[Output]:
    return [output for output in outputs if output.topic == topics.DEAD_LETTERS.name]


def living(outputs: Sequence[Output]) -> list[Output]:
    return [output for output in outputs if output.topic != topics.DEAD_LETTERS.name]


values = st.text("ab!#?", min_size=1, max_size=3).map(lambda t: t if t[0] in "ab" else "a" + t)


@settings(max_examples=300)
@given(st.lists(values, max_size=20), st.lists(values, max_size=4))
def test_bad_records_leave_the_slice_as_if_they_had_not_been_there(slice_: list[str], before: list[str]) -> None:
    stage, now = Tally(), context()
    tables, clean_tables = Tables(), Tables()
    for ready in (tables, clean_tables):
        run_slice(stage, records([v for v in before if not set(v) & set("!#?")]), ready, now)  # an overlay not empty
    plan = run_slice(stage, records(slice_), tables, now)
    clean = run_slice(
        stage, [r for r, v in zip(records(slice_), slice_, strict=True) if not set(v) & set("!#?")], clean_tables, now
    )

    assert living(plan.outputs) == clean.outputs
    assert {(c.table, c.key, c.value) for c in tables.changes()} == {
        (c.table, c.key, c.value) for c in clean_tables.changes()
    }
    letters = [DeadLetter.from_headers(output.headers) for output in dead(plan.outputs)]
    assert sorted(letter.offset for letter in letters) == [n for n, v in enumerate(slice_) if set(v) & set("!#?")]
    assert len(plan.outputs) == len(slice_)


def letter_of(stage: Stage[Any], record: KafkaRecord, tables: Tables | None = None) -> DeadLetter:
    with capture_logs() as logs:
        (output,) = run_slice(stage, [record], tables or Tables(), context()).outputs
    assert (output.topic, output.key, output.value) == (topics.DEAD_LETTERS.name, record.key, record.value)
    shown = b"".join(name.encode() + value for name, value in output.headers) + repr(logs).encode()
    assert SECRET_TEXT.encode() not in shown
    return DeadLetter.from_headers(output.headers)


@pytest.mark.parametrize("mark", ["!", "#", "?"])
def test_neither_headers_nor_log_lines_quote_the_value(mark: str) -> None:
    letter = letter_of(Tally(), records([SECRET_TEXT + mark])[0])
    assert letter.reason == (Reason.VALUE_NOT_JSON if mark == "#" else Reason.STAGE_FAILED)
    assert letter.detail == ("" if mark == "#" else "LookupError")


def test_a_dead_letter_says_where_it_came_from() -> None:
    pairs = ((headers.RUN, b"3"), (headers.LEAD_ID, str(lead_id("x")).encode()), (headers.RECEIVED_AT, b"5000"))
    record = KafkaRecord("leads", 2, 17, 1234, b"key", b'{"phone": "jane.doe@example.com', pairs)
    assert letter_of(Validation(), record) == DeadLetter(
        topic="leads",
        partition=2,
        offset=17,
        timestamp_ms=1234,
        stage="validation",
        reason=Reason.VALUE_NOT_JSON,
        detail="",
        version="test",
        lead_id=lead_id("x"),
        run=3,
        received_at_ms=5000,
    )
    bare = letter_of(Validation(), record._replace(headers=()))
    assert (bare.lead_id, bare.run, bare.received_at_ms) == (lead_id_at("leads", 2, 17), 0, 1234)


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda s: s.name)
@pytest.mark.parametrize("value", [None, b"", b"jane.doe@example.com", b"\x00jane.doe@example.com", b"\x00" * 9])
def test_every_stage_survives_bytes_that_are_no_event(stage: Stage[Any], value: bytes | None) -> None:
    for spec in stage.reads:
        letter = letter_of(stage, KafkaRecord(spec.name, 0, 0, 2**62, None, value))
        assert letter.stage == stage.name


@settings(max_examples=200)
@given(st.sampled_from(PIPELINE), st.binary(max_size=40), st.integers(-1, 2**63 - 1))
def test_any_bytes_have_an_outcome(stage: Stage[Any], value: bytes, timestamp: int) -> None:
    for spec in stage.reads:
        assert run_slice(stage, [KafkaRecord(spec.name, 0, 0, timestamp, None, value)], Tables(), context()).outputs


def test_an_event_that_makes_a_stage_fail_is_dead_under_its_lead() -> None:
    one = campaign("one")
    poison = offer("x", [one], run=2, cursor=5)  # beyond its slip
    letter = letter_of(DeliveryStage(), KafkaRecord("offers", 0, 0, 0, b"one", encode(poison)))
    assert (letter.lead_id, letter.run, letter.detail) == (lead_id("x"), 2, "IndexError")
    assert letter.received_at_ms == round(NOW.timestamp() * 1000)


def test_a_poison_offer_takes_no_reservation_and_stops_no_other() -> None:
    one = campaign("one", caps=(cap(3),))
    offers = [offer("a", [one]), offer("b", [one], cursor=9), offer("c", [one])]
    slice_ = [KafkaRecord("offers", 0, n, 0, b"one", encode(o)) for n, o in enumerate(offers)]
    tables = Tables()
    plan = run_slice(DeliveryStage(), slice_, tables, context(configuration(one)))
    assert [intent.effect.lead_id for intent in plan.intents] == [lead_id("a"), lead_id("c")]
    assert [intent.item.record for intent in plan.intents] == [slice_[0], slice_[2]]
    assert [item.record for item in plan.dead] == [slice_[1]]
    assert len(dead(plan.outputs)) == 1
    assert len(list(tables[LEDGER].values())) == sum(tables[COUNTERS].values()) == 2


def test_bisecting_a_slice_posts_a_lead_that_stands_in_it_twice_once() -> None:
    one = campaign("one")
    offers = [offer("a", [one]), offer("b", [one], cursor=9), offer("c", [one]), offer("a", [one])]
    slice_ = [KafkaRecord("offers", 0, n, 0, b"one", encode(o)) for n, o in enumerate(offers)]
    lane, now = Lane(DeliveryStage(), Tables()), context(configuration(one))
    lane.put(slice_)
    posts: Counter[UUID] = Counter()
    letters = 0
    while (step := lane.step(now)) is not None:
        lane.commit(step)
        letters += len(dead(step.outputs))
        for intent in step.intents:
            posts[intent.effect.lead_id] += 1
            lane.give(intent, Answer(Outcome.ACCEPTED))
    assert posts == {lead_id("a"): 1, lead_id("c"): 1}
    assert letters == 1
    assert lane.idle


class Unencodable(Stage[RawArrival]):
    """Emits what no schema holds for a value with `!`."""

    name = "unencodable"
    reads = (topics.LEADS,)
    writes = (topics.UNIQUE,)

    def decode(self, record: Record) -> RawArrival:
        return Tally().decode(record)

    def process(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> list[Output]:
        bad = {"run": "no number"}
        return [self._output(unique("x").model_copy(update=bad if "!" in a.fields["text"] else {})) for a in arrivals]

    def _output(self, event: LeadUnique) -> Output:
        return Output("leads.unique", b"key", event)


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_an_output_that_cannot_be_encoded_is_its_records_failure() -> None:
    outputs = run_slice(Unencodable(), records(["a", "b!", "c"]), Tables(), context()).outputs
    assert [o.topic for o in outputs] == [topics.DEAD_LETTERS.name, "leads.unique", "leads.unique"]
    assert all(isinstance(o.value, bytes) for o in outputs)


class Together(Tally):
    """Fails at two records at once, at neither alone."""

    def process(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> list[Output]:
        if len(arrivals) > 1:
            raise LookupError
        return super().process(arrivals, tables, context)


def test_records_that_fail_only_together_are_dead_together() -> None:
    tables = Tables()
    plan = run_slice(Together(), records(["a", "b"]), tables, context())
    assert len(dead(plan.outputs)) == len(plan.outputs) == 2
    assert tables.changes() == []


def test_a_run_header_raises_the_run_of_an_event_and_never_lowers_it() -> None:
    record = KafkaRecord("leads.validated", 0, 0, 0, b"k", encode(validated("x", run=2)), ((headers.RUN, b"1"),))
    dedup = PIPELINE[1]
    assert dedup.decode(record).run == 2
    assert dedup.decode(record._replace(headers=((headers.RUN, b"3"),))).run == 3

"""Any event's row holds what the event does, and no bytes can stop the sink or harm another record's row."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kit.builders import models
from kit.events import DETAILS, SLIP, event, record_of
from kit.told_rows import Row, Told

from schemas import headers
from schemas.codec import encode
from schemas.decision import Facts, Failed, Slip
from schemas.events import (
    Consent,
    Decline,
    Delivery,
    Event,
    Feedback,
    LeadRejected,
    LeadRouted,
    LeadUnrouted,
    LeadValidated,
    Offer,
    Rejection,
)
from schemas.headers import DeadLetter
from schemas.messages import Capacity, ConfigEntity
from schemas.raw_lead import label_of
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from schemas.values import Frozen
from warehouse.sinking.tables import SUNK_TOPICS
from warehouse.tables.body import REFUSED
from warehouse.tables.feedback import FREE_TEXT
from warehouse.tables.lead_events import LEAD_EVENTS
from warehouse.tables.routing_evaluations import CHOSEN

EVENTS = tuple(DETAILS)
WRITTEN_AT = 1_700_000_000_000
LETTER = DeadLetter("leads", 1, 5, WRITTEN_AT, "validation", "value.not_json", "", "1", UUID(int=9), 2, 1000)
NASTY = (
    "", "it's", 'a "b"', "back\\slash \\n \\u0041", "tab\tline\nreturn\r", "\x00\x01\x1f\x7f",
    "ünï 😀 日本", "\u2028\u2029", "\ufffd\uffff", "'; DROP TABLE lead_events --", '{"a": 1}',
    "\\N", "NULL", " spaced ", "x" * 3000,
)  # fmt: skip
# Each example is a batch: many inserts. What fails is small enough.
SOME = hypothesis_settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])


# Whatever an event holds


def single(number: float) -> float:
    """As a column of Float32 holds it."""
    return float(struct.unpack("f", struct.pack("f", number))[0])


def assert_own(row: Row, sent: Frozen, *but: str) -> None:
    """Every field that has a column of its name is in it as it is; one that is None is empty there."""
    for name in set(type(sent).model_fields) & set(row) - set(but):
        value, found = getattr(sent, name), row[name]
        if isinstance(value, float):
            value = single(value)
        assert found == value or (value is None and not found), (name, value, found)


def fitting(sent: Any) -> Any:
    """The event within what the tables hold: a leg that is on the slip, numbers that are no lengths of logs."""
    changes: Row = {}
    slip: Slip | None = getattr(sent, "slip", None)
    if slip is not None:
        candidates, tiers = slip.candidates or SLIP.candidates, slip.tiers or SLIP.tiers
        candidates = [leg.model_copy(update={"tier": leg.tier % len(tiers)}) for leg in candidates]
        changes["slip"] = slip.model_copy(update={"candidates": candidates, "tiers": tiers})
        if isinstance(sent, Offer):
            changes["cursor"] = sent.cursor % len(candidates)
    if isinstance(sent, LeadRejected) and not sent.reasons:
        changes["reasons"] = DETAILS[LeadRejected]["reasons"]
    if isinstance(sent, Delivery):
        changes |= {"posts": sent.posts % 2**16, "latency_ms": abs(sent.latency_ms) % 1e30}
        changes["http_status"] = None if sent.http_status is None else sent.http_status % 2**16
        if sent.exchange is not None:
            sizes = {name: getattr(sent.exchange, name) % 2**32 for name in ("request_bytes", "response_bytes")}
            changes["exchange"] = sent.exchange.model_copy(update=sizes)
    return sent.model_copy(update=changes)


def nastily(sent: Any, chance: random.Random) -> Any:
    """The same with other texts and times: those at the ends, and those that quoting gets wrong."""
    if isinstance(sent, Frozen):
        return sent.model_copy(update={name: nastily(getattr(sent, name), chance) for name in type(sent).model_fields})
    if isinstance(sent, list):
        return [nastily(one, chance) for one in sent]
    if isinstance(sent, dict):
        return {chance.choice(NASTY): nastily(one, chance) for one in sent.values()}
    if isinstance(sent, str):
        return chance.choice(NASTY)
    if isinstance(sent, datetime):
        return headers.EPOCH + timedelta(milliseconds=chance.choice((0, headers.LATEST_MS, 1_795_000_000_001)))
    if isinstance(sent, Decimal):
        return chance.choice((Decimal(0), Decimal("0.0001"), Decimal("99999999.9999"), Decimal("1234.1000")))
    return sent


def assert_attributes(attributes: Row, sent: Event) -> None:
    """What the models of the event's parts read back from it is what they were."""
    for name, value in attributes.items():
        kept: Any = getattr(sent, name, None)
        if name == "slip":
            assert Slip.model_validate(value) == kept
        elif name == "trace":
            failed = [Failed(**one | {"campaigns": bytes.fromhex(one["campaigns"])}) for one in value["failed"]]
            # As bytes, since the model reads base64 from a text.
            assert (failed, Facts.model_validate(value["facts"])) == (kept.failed, kept.facts)
        elif name in ("held", "first_seen_at"):
            assert kept == (None if value is None else datetime.fromisoformat(value))
        elif name in ("reasons", "warnings"):
            assert [Rejection(**one) for one in value] == kept
        elif name == "declines":
            assert [Decline(**one) for one in value] == kept
        elif name == "duplicate_of":
            assert UUID(value) == kept
        elif name == "test":
            assert value is sent.lead.test  # type: ignore[attr-defined]
        else:
            assert value == kept, name


SAID = ("source", "vertical", "campaign", "buyer", "kind", "outcome", "reason", "release")
"""What others write on ``feedback``, and may have no name in it."""


def assert_said(row: Row, said: Feedback) -> None:
    for name in ("source", "vertical", "campaign", "buyer"):
        assert row[name] == label_of(getattr(said, name))
    reason = said.reason or ""
    assert row["reason"] == (label_of(reason) or (FREE_TEXT if reason.strip() else ""))
    assert row["release"] == (said.release if re.fullmatch("[0-9a-f]{1,64}", said.release) else "")


def assert_told(told: Told, sent: list[Event]) -> None:
    placed = told.write(map(record_of, sent))
    for one, row in zip(sent, told.events(placed), strict=True):
        own_words = {Delivery: ("price",), Feedback: SAID}.get(type(one), ())
        assert_own(row, one, "source", "latency_ms", *own_words)
        if isinstance(one, Feedback):
            assert_said(row, one)
            assert row["outcome"] == label_of(one.kind)
        assert_attributes(row["attributes"], one)
        if isinstance(one, (LeadRouted, Offer)):
            leg = one.slip.candidates[one.cursor if isinstance(one, Offer) else 0]
            assert_own(row, leg, "price", "tier")
            assert (row["route"], row["tier"]) == (one.slip.route, one.slip.tiers[leg.tier].name)

    def rows_of(table: str, model: type[Event]) -> Iterator[tuple[Any, list[Row]]]:
        of_model = [at for at, one in enumerate(sent) if isinstance(one, model)]
        found = told.rows(table, (placed[at] for at in of_model))
        return zip((sent[at] for at in of_model), found, strict=True)

    for said, (row,) in rows_of("feedback", Feedback):
        assert_own(row, said, *SAID)
        assert_said(row, said)
        assert row["kind"] == label_of(said.kind)
    for asked, (row,) in rows_of("deliveries", Delivery):
        assert_own(row, asked, "source")
        assert row["is_last"] == asked.over
        if asked.exchange is None:
            assert (row["endpoint"], row["idempotency_key"], row["request_bytes"]) == ("", UUID(int=0), 0)
        else:
            assert_own(row, asked.exchange)
            assert row["idempotency_key"] == asked.exchange.key
    for valid, (row,) in rows_of("contacts", LeadValidated):
        lead, consent = valid.lead, valid.lead.consent or Consent()
        assert_own(row, valid, "source")
        assert_own(row, lead)
        assert row["fields"] == lead.extra
        names = {name: f"consent_{name}" for name in ("text_hash", "url", "ip", "at", "sellers")}
        assert_own({name: row[column] for name, column in names.items()} | row, consent)
    for model in (LeadRouted, LeadUnrouted):
        for decided, rows in rows_of("routing_evaluations", model):
            found = [(row["vertical"], row["reason"], row["campaigns"], tuple(row["named"])) for row in rows]
            expected = [(one.vertical, one.reason, one.campaigns, ()) for one in decided.trace.failed]
            if model is LeadRouted:
                chosen = tuple(dict.fromkeys(leg.campaign for leg in decided.slip.candidates))
                expected.append((decided.vertical, CHOSEN, b"", chosen))
            assert sorted(found) == sorted(expected)
            route = decided.slip.route if model is LeadRouted else decided.route
            assert {(row["route"], row["decision"]) for row in rows} <= {(route, decided.attempt)}


@SOME
@given(sent=st.tuples(*(models(model).map(fitting) for model in EVENTS)), seed=st.randoms(use_true_random=False))
def test_whatever_an_event_holds_lands_as_it_is(told: Told, sent: tuple[Event, ...], seed: random.Random) -> None:
    assert_told(told, [*sent, *(nastily(one, seed) for one in sent)])


@SOME
@given(capacities=st.lists(models(Capacity), max_size=8), entities=st.lists(models(ConfigEntity), max_size=8))
def test_whatever_caps_and_releases_hold_lands_as_it_is(
    told: Told, capacities: list[Capacity], entities: list[ConfigEntity]
) -> None:
    sent = [*capacities, *entities]
    placed = told.write(KafkaRecord(one.TOPIC.name, 0, 0, 0, b"k", encode(one)) for one in sent)
    uses, releases = (told.rows(table, placed) for table in ("cap_ledger", "releases"))
    for capacity, rows in zip(capacities, uses, strict=False):
        assert len(rows) == len(capacity.uses)
        for row in rows:
            assert_own(row, capacity, "until")
        columns = ("cap", "since", "until", "limit", "used")
        told_of = [tuple(row[name] for name in columns) for row in rows]
        assert sorted(told_of, key=repr) == sorted(
            (tuple(getattr(use, name) for name in columns) for use in capacity.uses), key=repr
        )
    for entity, found in zip(entities, releases[len(capacities) :], strict=True):
        (row,) = found
        assert_own(row, entity)


# Whatever comes


SCHEMA_IDS = st.integers(0, 20).map(lambda n: b"\x00" + n.to_bytes(4, "big"))
NAMES = st.sampled_from([headers.RUN, headers.LEAD_ID, headers.RECEIVED_AT, *(name for name, _ in LETTER.headers())])
ANYTHING = st.builds(
    KafkaRecord,
    topic=st.sampled_from(SUNK_TOPICS),
    partition=st.just(0),
    offset=st.just(0),
    timestamp=st.integers(-1, 2**63 - 1),
    key=st.none(),
    value=st.none() | st.binary(max_size=300) | st.builds(bytes.__add__, SCHEMA_IDS, st.binary(max_size=300)),
    headers=st.lists(
        st.tuples(NAMES, st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode())), max_size=13
    ).map(tuple),
)


@SOME
@given(records=st.lists(ANYTHING, min_size=1, max_size=20))
def test_no_bytes_stop_the_sink(told: Told, records: list[KafkaRecord]) -> None:
    placed = told.write(records)
    told.events(record for record in placed if record.topic in LEAD_EVENTS.topics)


@st.composite
def damaged(draw: st.DrawFn) -> KafkaRecord:
    """An event's record with wrong bytes, too few or too many; what says its schema is as it was."""
    record = record_of(event(draw(st.sampled_from(EVENTS))))
    assert record.value is not None
    body = bytearray(record.value[5:])
    match draw(st.integers(0, 5)):
        case 0:
            body[draw(st.integers(0, len(body) - 1))] ^= 1 << draw(st.integers(0, 7))
        case 1:
            del body[draw(st.integers(0, len(body))) :]
        case 2:
            body.extend(draw(st.binary(min_size=1, max_size=20)))
        case 3:
            at = draw(st.integers(0, len(body) - 1))
            body[at : at + 1] = draw(st.binary(max_size=3))
        case 4:
            for at in draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
                body[at] = draw(st.integers(0, 255))
        case _:
            body = bytearray(draw(st.binary(max_size=60)))
    return record._replace(value=record.value[:5] + bytes(body))


@SOME
@given(bad=st.lists(damaged(), min_size=1, max_size=6), seed=st.randoms(use_true_random=False))
def test_a_damaged_event_harms_nobody_elses_row(told: Told, bad: list[KafkaRecord], seed: random.Random) -> None:
    good = [event(model) for model in seed.sample(EVENTS, seed.randrange(1, 8))]
    records = {id(record): record for record in [*bad, *map(record_of, good)]}
    order = list(records)
    seed.shuffle(order)
    rows = dict(zip(order, told(*(records[one] for one in order)), strict=True))
    for one, record in zip(good, list(records)[len(bad) :], strict=True):
        assert_own(rows[record], one, "latency_ms", *(["price"] if isinstance(one, Delivery) else []))
        assert_attributes(rows[record]["attributes"], one)
    for record in bad:
        row = rows[id(record)]
        assert row["stage"] != "dead" or row["reason"] in {Reason.SCHEMA_MISMATCH, REFUSED}

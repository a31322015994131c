"""Dedup by several key sets: whichever partition a fingerprint lives in, its leads meet there in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, SECRET, configuration, context, lead, lead_id, validated
from pydantic import ValidationError

from schemas.codec import encode
from schemas.config.dedup import DedupScope, KeySet
from schemas.config.vertical import Vertical
from schemas.events import Event, LeadClaim, LeadDuplicate, LeadUnique, LeadValidated
from schemas.identity import person
from schemas.record import KafkaRecord
from schemas.topics import CLAIMS
from streams.dedup.stage import Dedup
from streams.memory.log import MemoryLog
from streams.stage import Context
from streams.tables import Tables

STAGE = Dedup()
EMAIL = KeySet(fields=("email",), days=10)
HOME = KeySet(fields=("zip", "last_name"), days=5)


def rules(*key_sets: KeySet, repeat_seconds: int = 0) -> Context:
    return context(configuration(verticals=[Vertical(name="solar", dedup=key_sets, repeat_seconds=repeat_seconds)]))


def from_person(
    name: object,
    phone: str,
    email: str | None = None,
    *,
    last_name: str = "Lovelace",
    zip_code: str = "30301",
    source: str = "web",
    days: float = 0,
) -> LeadValidated:
    found = lead().model_copy(update={"phone": phone, "email": email, "last_name": last_name, "zip": zip_code})
    who = person(SECRET, phone=phone, email=email)
    arrival = validated(name, received_at=NOW + timedelta(days=days))
    return arrival.model_copy(update={"lead": found, "person": who, "source": source})


class Partitions:
    """The stage on several partitions, each with tables of its own, as a group of workers runs it."""

    def __init__(self, context: Context, count: int = 4) -> None:
        self._context = context
        self._log = MemoryLog(partitions=count)
        self._tables = [Tables() for _ in range(count)]
        self.claims: list[LeadClaim] = []

    def through(self, *leads: LeadValidated) -> list[LeadUnique | LeadDuplicate]:
        """The verdict on each lead, one after the other."""
        return [self._verdict(arrival, arrival.person) for arrival in leads]

    def _verdict(self, arrival: Event, key: str) -> LeadUnique | LeadDuplicate:
        tables = self._tables[self._log.partition_of(CLAIMS.name, key.encode())]
        (output,) = STAGE.process([arrival], tables, self._context)
        tables.commit()
        assert output.key is not None
        if isinstance(output.value, LeadClaim):
            self.claims.append(output.value)
            record = KafkaRecord(CLAIMS.name, 0, 0, 0, output.key, encode(output.value), output.headers)
            return self._verdict(STAGE.decode(record), output.key.decode())
        assert isinstance(output.value, LeadUnique | LeadDuplicate)
        assert output.key == output.value.person.encode()
        return output.value


def owners(events: Sequence[LeadUnique | LeadDuplicate]) -> list[object]:
    return [event.duplicate_of if isinstance(event, LeadDuplicate) else None for event in events]


def test_row_49_dedup_with_an_n_day_window_and_chosen_fields() -> None:
    group = Partitions(rules(KeySet(days=30), EMAIL, HOME))
    events = group.through(
        from_person("a", "+14045550100", "ann@example.com"),
        from_person("b", "+14045550101", "Ann@Example.com", last_name="Lee", days=9),
        from_person("c", "+14045550102", "ann@example.com", last_name="Lee", zip_code="30305", days=11),
        from_person("d", "+14045550103", "dan@example.com", days=4),
        from_person("e", "+14045550104", None, last_name="Miller", zip_code="30308", days=4),
        from_person("f", "+14045550104", "fay@example.com", days=5),
    )
    assert owners(events) == [None, lead_id("a"), None, lead_id("a"), None, lead_id("e")]
    found = [(e.rule, e.key_set) for e in events if isinstance(e, LeadDuplicate)]
    assert found == [
        ("duplicate.key_set", "email"),
        ("duplicate.key_set", "zip+last_name"),
        ("duplicate.person", "person"),
    ]
    assert isinstance(events[0], LeadUnique)
    assert events[0].lead == from_person("a", "+14045550100", "ann@example.com").lead


def test_row_51_dedup_against_leads_still_in_flight() -> None:
    """Two leads in one slice: nothing has become of the first when the second comes."""
    tables = Tables()
    pair = [from_person("a", "+14045550100"), from_person("b", "+14045550100")]
    first, second = [o.value for o in STAGE.process(pair, tables, rules(KeySet()))]
    assert isinstance(first, LeadUnique)
    assert isinstance(second, LeadDuplicate)
    assert second.duplicate_of == lead_id("a")


def test_row_5_a_request_that_comes_again_within_seconds_is_named_so() -> None:
    group = Partitions(rules(KeySet(days=1), repeat_seconds=60))
    sent = from_person("a", "+14045550100")
    again = from_person("b", "+14045550100", days=59 / 86_400).model_copy(update={"raw": sent.raw | {"lead_id": "x"}})
    late = from_person("c", "+14045550100", days=61 / 86_400).model_copy(update={"raw": sent.raw})
    other = from_person("d", "+14045550100", days=59 / 86_400)
    rules_named = [e.rule for e in group.through(sent, again, late, other) if isinstance(e, LeadDuplicate)]
    assert rules_named == ["duplicate.payload", "duplicate.person", "duplicate.person"]


def test_without_key_sets_only_the_repeated_request_is_a_duplicate() -> None:
    group = Partitions(rules(repeat_seconds=60))
    sent = from_person("a", "+14045550100")
    events = group.through(
        sent, from_person("b", "+14045550100"), from_person("c", "+14045550100").model_copy(update={"raw": sent.raw})
    )
    assert owners(events) == [None, None, lead_id("a")]


def test_a_scope_of_the_source_keeps_sources_apart() -> None:
    group = Partitions(rules(KeySet(fields=("email",), scope=DedupScope.SOURCE)))
    leads = [from_person(n, f"+1404555010{n}", "ann@example.com", source=s) for n, s in enumerate(["a", "b", "a"])]
    events = group.through(*leads)
    assert owners(events) == [None, None, lead_id(0)]
    assert isinstance(events[2], LeadDuplicate)
    assert events[2].key_set == "email@source"


def test_a_key_set_says_nothing_about_a_lead_that_lacks_one_of_its_fields() -> None:
    group = Partitions(rules(EMAIL))
    assert owners(group.through(from_person("a", "+14045550100"), from_person("b", "+14045550101"))) == [None, None]
    assert not group.claims


def test_persons_meet_at_home_and_only_other_key_sets_take_a_hop() -> None:
    group = Partitions(rules(HOME, KeySet(fields=("phone", "zip")), KeySet(), EMAIL))
    group.through(from_person("a", "+14045550100", "ann@example.com"))
    assert [claim.key_sets for claim in group.claims] == [["zip+last_name", "email"], ["email"]]
    assert len({claim.event_id for claim in group.claims}) == 2


def test_a_key_set_that_is_configured_no_more_is_passed_by_on_the_way() -> None:
    before = rules(HOME, EMAIL)
    (claim,) = STAGE.process([from_person("a", "+14045550100", "ann@example.com")], Tables(), before)
    assert isinstance(claim.value, LeadClaim)
    (gone,) = STAGE.process([claim.value], Tables(), rules(EMAIL))
    assert isinstance(gone.value, LeadClaim), "the next key set's partition is another"
    (unique,) = STAGE.process([claim.value], Tables(), rules(KeySet()))
    assert isinstance(unique.value, LeadUnique)


def test_a_claim_holds_what_a_stranger_cannot_read_in_its_key() -> None:
    (claim,) = STAGE.process([from_person("a", "+14045550100", "ann@example.com")], Tables(), rules(EMAIL))
    assert claim.key is not None
    assert b"ann" not in claim.key
    assert len(claim.key) == 32


def test_key_sets_are_named_once() -> None:
    with pytest.raises(ValidationError, match="key set of dedup named twice: email"):
        Vertical(name="solar", dedup=(EMAIL, KeySet(fields=("email",), days=2)))


def test_a_key_set_of_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValidationError, match="key set emial of dedup: no field emial is configured"):
        Vertical(name="solar", dedup=(KeySet(fields=("emial",)),))


PHONES, EMAILS = ("+14045550100", "+14045550101", "+14045550102"), (None, "ann@example.com", "bob@example.com")


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(PHONES), st.sampled_from(EMAILS), st.integers(0, 40)), max_size=14),
    st.lists(st.integers(0, 13), max_size=10),
    st.sampled_from([1, 4]),
)
def test_a_lead_keeps_its_verdict_however_often_it_comes_and_agrees_with_a_list(
    people: list[tuple[str, str | None, int]], again: list[int], partitions: int
) -> None:
    leads = [from_person(n, phone, email, days=days) for n, (phone, email, days) in enumerate(people)]
    group = Partitions(rules(KeySet(days=30), EMAIL), partitions)
    verdicts = owners(group.through(*leads))
    assert verdicts == _by_a_list(leads)
    repeated = [n for n in again if n < len(leads)]
    assert owners(group.through(*(leads[n] for n in repeated))) == [verdicts[n] for n in repeated]


def _by_a_list(leads: Sequence[LeadValidated]) -> list[object]:
    """The same by looking through everything that was claimed before."""
    claimed: dict[tuple[str, str], list[tuple[object, datetime]]] = {}
    found: list[object] = []
    for arrival in leads:
        verdict = None
        for kind, value, days in (("person", arrival.person, 30), ("email", arrival.lead.email, 10)):
            if value is None:
                continue
            windows = claimed.setdefault((kind, value), [])
            near = [o for o, at in windows if abs(arrival.received_at - at) < timedelta(days=days)]
            if near:
                verdict = near[0]
                break
            windows.append((arrival.lead_id, arrival.received_at))
        found.append(verdict)
    return found

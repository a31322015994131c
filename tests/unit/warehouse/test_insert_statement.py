"""What a table of the sink is made of, and the statement that its rows are made by."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from schemas import topics
from schemas.events import Event, LeadClaim
from schemas.messages import MODELS
from warehouse.quoting import quote
from warehouse.sinking.tables import SUNK_TOPICS, TABLES
from warehouse.tables.contacts import CONTACTS
from warehouse.tables.lead_events import DESCRIBED, LEAD_EVENTS
from warehouse.tables.statement import statement_of
from warehouse.tables.table import PLACE, UNREADABLE, Table, slot_of


def slots_of(table: Table) -> list[str]:
    return [slot_of(source.topic) for source in table.sources] + [UNREADABLE] * (table.unreadable is not None)


def test_every_event_has_a_row_and_every_other_topic_is_sunk_or_state() -> None:
    about_leads = {model for model in MODELS if issubclass(model, Event)} - {LeadClaim}
    assert about_leads == set(DESCRIBED)
    elsewhere = {topics.CLAIMS, topics.CONFIG, topics.CAPACITY}
    assert LEAD_EVENTS.topics == {spec.name for spec in topics.CATALOGUE if spec not in elsewhere}
    assert set(SUNK_TOPICS) == {spec.name for spec in topics.CATALOGUE} - {topics.CLAIMS.name}


def test_a_topic_s_slot_is_a_name_of_its_own() -> None:
    slots = [slot_of(spec.name) for spec in topics.CATALOGUE] + [UNREADABLE]
    assert len(slots) == len(set(slots))
    assert all(re.fullmatch(r"[a-z_]+", slot) for slot in slots)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_statement_has_the_slots_that_there_are_and_no_others(table: Table) -> None:
    slots = slots_of(table)
    for some in [*combinations(slots, 1), *combinations(slots, 2), tuple(slots)]:
        sql = statement_of(table, some).sql("d")
        assert re.findall(r"\b(\w+) Array\(Tuple\(", sql) == list(some)
        assert re.findall(r"notEmpty\((\w+)\), \d", sql) == list(some)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_columns_are_the_same_whatever_the_slots(table: Table) -> None:
    def columns(*slots: str) -> list[str]:
        (found,) = re.findall(rf"INSERT INTO d\.{table.name} \((.*)\)\n", statement_of(table, slots).sql("d"))
        names: list[str] = found.split(", ")
        assert len(names) == len(set(names))
        assert tuple(names[-3:]) == PLACE
        return sorted(names)

    slots = slots_of(table)
    expected = columns(*slots)
    assert all(columns(slot) == expected for slot in slots)


def test_a_statement_is_made_once() -> None:
    assert statement_of(CONTACTS, ("leads_validated",)) is statement_of(CONTACTS, ("leads_validated",))


def test_contacts_looks_for_the_erased_in_its_own_database() -> None:
    sql = statement_of(CONTACTS, ("leads_validated",)).sql("leads_db")
    assert "FROM leads_db.erased)" in sql
    assert "FROM leads_db.erased_persons" in sql
    assert "{database}" not in sql


def test_a_literal_ends_where_it_should() -> None:
    assert quote("it's \\") == r"'it\'s \\'"

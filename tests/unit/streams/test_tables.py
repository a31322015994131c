"""Tables: an overlay that is committed or forgotten, checked against plain dictionaries."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kit.builders import models

from streams.dedup.owners import OWNERS, Owners
from streams.delivery.ledger import LEDGER, Entry
from streams.routing.stage import DECISIONS, Decided
from streams.tables import Tables, TableSpec

ONE, TWO, DERIVED = TableSpec("one", int), TableSpec("two", int), TableSpec("derived", int, derived=True)
SPECS = (ONE, TWO, DERIVED)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(SPECS), st.sampled_from("abc"), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.sampled_from(SPECS), st.sampled_from("abc")),
        st.sampled_from([("commit",), ("rollback",), ("savepoint",), ("back",)]),
    ),
    max_size=40,
)
Content = dict[tuple[str, str], int]


def assert_same(tables: Tables, content: Content) -> None:
    for spec in SPECS:
        assert {key: tables[spec].get(key) for key in "abc"} == {key: content.get((spec.name, key)) for key in "abc"}
        values = sorted(value for (name, _), value in content.items() if name == spec.name)
        assert sorted(tables[spec].values()) == values


@given(steps)
def test_tables_are_dictionaries_with_an_undo(steps: list[tuple[Any, ...]]) -> None:
    tables, committed, content = Tables(), Content(), Content()
    savepoint, saved = tables.savepoint(), dict(content)
    changelog: dict[tuple[str, str], bytes] = {}
    for name, *arguments in steps:
        match name:
            case "set":
                spec, key, value = arguments
                tables[spec][key] = content[spec.name, key] = value
            case "delete":
                spec, key = arguments
                del tables[spec][key]
                content.pop((spec.name, key), None)
            case "commit":
                for change in tables.changes():
                    data = change.encoded()
                    changelog.pop((change.table.name, change.key), None)
                    if data is not None:
                        changelog[change.table.name, change.key] = data
                tables.commit()
                committed = dict(content)
                savepoint, saved = tables.savepoint(), dict(content)
                assert tables.changes() == []
            case "rollback":
                tables.rollback()
                content = dict(committed)
                savepoint, saved = tables.savepoint(), dict(content)
            case "savepoint":
                savepoint, saved = tables.savepoint(), dict(content)
            case "back":
                tables.rollback(savepoint)
                content = dict(saved)
        assert_same(tables, content)
    # A worker that starts anew from the changelog has what was committed, apart from what is derived.
    kept = {(name, key): value for (name, key), value in committed.items() if name != DERIVED.name}
    assert {place: ONE.load(data) for place, data in changelog.items()} == kept


def test_values_may_be_written_while_they_are_read() -> None:
    tables = Tables()
    tables[ONE]["a"] = 1
    tables.commit()
    tables[ONE]["b"] = 2
    for value in tables[ONE].values():
        tables[TWO][str(value)] = value
    assert sorted(tables[TWO].values()) == [1, 2]


@given(models(Entry), models(Decided), models(Owners))
def test_the_changelog_gives_back_every_value(entry: Entry, decision: Decided, owners: Owners) -> None:
    assert LEDGER.load(LEDGER.dump(entry)) == entry
    assert DECISIONS.load(DECISIONS.dump(decision)) == decision
    assert OWNERS.load(OWNERS.dump(owners)) == owners

"""Migrations as files: numbered without gaps, never changed once released, and as dangerous as they say."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from pathlib import Path

import pytest

from warehouse.dictionary import render
from warehouse.errors import WarehouseError
from warehouse.layout import Backend, Layout
from warehouse.migrate import Danger, Migration, Statement, grade, migrations, parse

RELEASED = {
    "0001_lead_events": "cee42325262fd3e075e91b592d91634248db5ec92062cfbe366acd6ad1b49cb3",
    "0002_replays": "d76e00e13f2859be8ebb73778d409da55a830b0b9d35d1c8de79186054e0466e",
    "0003_ingested": "e15773615f4279daec005da141ecf6b23034f7912a7e5a95acae8b1aac0f4084",
    "0004_contacts": "005e22fabff723127157a2cc0a99512754fbc9254e3f75c6024090c7c00df007",
    "0005_erasures": "9a79875e6fa574d97f5350ef4ceecf168269d78a1f3230c54f19edfd7f3c0f9b",
    "0006_rollups": "78fba13a0f1c12707b690b72df3ee4c2a015af719877442150a2bfbed66ff4c7",
    "0007_deliveries": "639334c2432bee243822e8c8c1e97794c48ab651ae1bef4225f500f287192b7c",
    "0008_decisions": "495138fddc8272f22d0413f6d5248d1be03781c2c07248a592337ec23e3c1333",
    "0009_gaps": "0fe6a9b1658bf3935129445aafdacc34c44a3a1078d0559a7d9517c98f562764",
    "0010_feedback_words": "7d8b2450cad4fff8c4ac6262d55913efa4c5afcf8da6012ed9043a7c4d7f235e",
    "0011_sunk_topics": "6b1910b3b8e60447018b84fe5050612769899099f479c588e881fe90ab11c1bb",
    "0012_returned": "6c2046dbbb086f8c1476e73b2119f0e4440cfa9158ffe190aef07747fe0ea45c",
    "0013_rollup_reasons": "90d0e6dfa40c4e70853873abf118d61f00a86f99ef5d7133452eb8efd97b7e66",
}
"""A released migration never changes: write a new one instead, and add its checksum here."""
ALONE = Layout("leads", None, Backend.EMBEDDED)
CLUSTER = Layout("leads", "main", Backend.SERVER)


def test_they_are_numbered_in_order() -> None:
    names = [migration.name for migration in migrations()]
    assert names == sorted(names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+", name) for name in names)


def test_no_released_migration_has_changed() -> None:
    assert {migration.name: migration.checksum for migration in migrations()} == RELEASED


def test_a_checksum_is_that_of_the_file() -> None:
    for migration in migrations():
        content = (resources.files("warehouse") / "migrations" / f"{migration.name}.sql").read_bytes()
        assert migration.checksum == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("layout", [ALONE, CLUSTER], ids=["alone", "cluster"])
def test_every_statement_can_be_sent_and_repeated(layout: Layout) -> None:
    for migration in migrations():
        for statement in migration.statements_in(layout):
            assert "leads." in statement
            assert not re.search(r"\{(database|engine|window|on_cluster)", statement)
            assert ";" not in re.sub(r"'(?:[^']|'')*'", "", statement)
            # A migration that was cut off is applied again from its start.
            assert re.match(r"CREATE .*IF NOT EXISTS|CREATE OR REPLACE|ALTER .*IF (NOT )?EXISTS", statement, re.DOTALL)
            assert (" ON CLUSTER `main`" in statement) is (layout is CLUSTER), statement


@pytest.mark.parametrize("layout", [ALONE, CLUSTER], ids=["alone", "cluster"])
def test_every_table_remembers_insert_tokens(layout: Layout) -> None:
    """Without that, an insert that is sent again is counted again by the targets of materialized views."""
    windows = {
        None: ["non_replicated_deduplication_window = 10000"],
        "main": ["replicated_deduplication_window = 10000", "replicated_deduplication_window_seconds = 604800"],
    }[layout.cluster]
    tables = [s for m in migrations() for s in m.statements_in(layout) if "MergeTree" in s and "CREATE TABLE" in s]
    assert tables
    for statement in tables:
        assert all(window in statement for window in windows)
        assert ("ENGINE = Replicated" in statement) is (layout is CLUSTER)


@pytest.mark.parametrize(
    ("sql", "danger"),
    [
        ("CREATE TABLE IF NOT EXISTS t (a String DEFAULT 'DROP TABLE') ENGINE = MergeTree ORDER BY a", Danger.NONE),
        ("CREATE TABLE t (deleted UInt8, `drop` String COMMENT 'what to delete') ENGINE = MergeTree", Danger.NONE),
        ("CREATE OR REPLACE VIEW v AS SELECT replace(a, 'b', 'c') FROM t -- DROP", Danger.NONE),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS b UInt8", Danger.NONE),
        ("CREATE OR REPLACE TABLE t (a String) ENGINE = Memory", Danger.DESTRUCTIVE),
        ("DROP TABLE IF EXISTS t", Danger.DESTRUCTIVE),
        ("alter table t delete where a = 1", Danger.DESTRUCTIVE),
        ("ALTER TABLE t DROP COLUMN IF EXISTS b", Danger.DESTRUCTIVE),
        ("ALTER TABLE t RENAME COLUMN a TO b", Danger.DESTRUCTIVE),
        ("TRUNCATE TABLE t", Danger.DESTRUCTIVE),
        ("ALTER TABLE t MODIFY COLUMN a LowCardinality(String)", Danger.BLOCKING),
        ("ALTER TABLE t UPDATE a = 1 WHERE b", Danger.BLOCKING),
        ("ALTER TABLE t MATERIALIZE INDEX i", Danger.BLOCKING),
        ("CREATE MATERIALIZED VIEW v TO t POPULATE AS SELECT 1", Danger.BLOCKING),
    ],
)
def test_a_statement_is_as_dangerous_as_its_words(sql: str, danger: Danger) -> None:
    assert grade(sql) is danger


def test_a_file_is_read() -> None:
    text = (
        "-- why\n-- @stmt\nCREATE TABLE IF NOT EXISTS {database}.a (x Int8) ENGINE = {engine:MergeTree} ORDER BY x\n\n"
        "-- @stmt danger=destructive backend=server\nDROP TABLE IF EXISTS {database}.b{on_cluster}\n"
    )
    migration = parse("0009_b", text)
    assert migration == Migration(
        "0009_b",
        (
            Statement("CREATE TABLE IF NOT EXISTS {database}.a (x Int8) ENGINE = {engine:MergeTree} ORDER BY x"),
            Statement("DROP TABLE IF EXISTS {database}.b{on_cluster}", Danger.DESTRUCTIVE, Backend.SERVER),
        ),
        hashlib.sha256(text.encode()).hexdigest(),
    )
    assert migration.danger is Danger.DESTRUCTIVE
    assert migration.statements_in(ALONE) == [
        "CREATE TABLE IF NOT EXISTS leads.a (x Int8) ENGINE = MergeTree ORDER BY x"
    ]
    assert migration.statements_in(CLUSTER) == [
        "CREATE TABLE IF NOT EXISTS leads.a (x Int8) ENGINE = ReplicatedMergeTree ORDER BY x",
        "DROP TABLE IF EXISTS leads.b ON CLUSTER `main`",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CREATE TABLE x", "has no statement"),
        ("-- @stmt\nDROP TABLE x", "declared danger=none and is destructive"),
        ("-- @stmt danger=blocking\nSELECT 1", "declared danger=blocking and is none"),
        ("-- @stmt danger=fatal\nSELECT 1", "unknown value"),
        ("-- @stmt backend=cloud\nSELECT 1", "unknown value"),
        ("-- @stmt when=later\nSELECT 1", "unknown option 'when'"),
    ],
)
def test_a_file_that_does_not_say_what_it_does_is_refused(text: str, said: str) -> None:
    with pytest.raises(WarehouseError, match=re.escape(said)):
        parse("0001_x", text)


def test_the_dictionary_in_the_docs_is_the_one_of_today() -> None:
    page = Path(__file__).parents[3] / "docs" / "data-dictionary.md"
    assert page.read_text() == render(), "again: leadline warehouse dictionary > docs/data-dictionary.md"

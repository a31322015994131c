"""The pipeline's tables: what they keep outlives what may ask for it, and no two are mistaken for each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schemas.config.dedup import LONGEST_WINDOW_DAYS
from schemas.topics import CATALOGUE, Cleanup, changelog
from streams.dedup.owners import OWNERS
from streams.leases import LEASES
from streams.routing.memory import SHARES
from streams.routing.stage import HOLDS, LEADS
from streams.stage import Guarantee, Stage
from streams.topology import PIPELINE, all_topics

KEPT_FOR_GOOD = {
    "admissions-for-good",  # as many as caps in total let through
    "totals",  # a few for each campaign and buyer with a cap in total
    "counts",  # one for each campaign and buyer
    "count-set",  # one
    "told",  # one for each campaign that is full
}
EVERY_STAGE = pytest.mark.parametrize("stage", PIPELINE, ids=lambda stage: stage.name)


@EVERY_STAGE
def test_an_entry_outlives_every_record_that_its_stage_may_read(stage: Stage[Any]) -> None:
    """Were it gone before, a record read again would be decided as if it had never come."""
    for spec in stage.reads:
        assert spec.cleanup is Cleanup.DELETE, "what is kept for ever would need entries that are"
        assert spec.retention_days is not None
        for table in stage.tables:
            assert table.expiry is None or table.expiry > timedelta(days=spec.retention_days), table.name


@EVERY_STAGE
def test_every_table_that_is_stored_is_bounded(stage: Stage[Any]) -> None:
    tables = [table for table in stage.tables if table.name not in KEPT_FOR_GOOD]
    assert all(table.derived or table.expiry is not None for table in tables)


def test_what_was_sold_outlives_every_topic_that_it_can_be_replayed_from() -> None:
    """A replay starts from any topic, dead letters included, and no lead may be sold again by it."""
    longest = max(spec.retention_days for spec in CATALOGUE if spec.retention_days is not None)
    for stage in PIPELINE:
        if stage.guarantee is Guarantee.EXACTLY_ONCE:
            for table in set(stage.tables) - {HOLDS, LEADS, SHARES}:  # these say nothing of who has a lead
                assert table.expiry is None or table.expiry > timedelta(days=longest), table.name


def test_an_owner_outlives_its_window_for_any_lead_that_may_still_be_read() -> None:
    # A lead may be read a topic's retention after it came, and its window opened a window before that.
    assert OWNERS.expiry is not None
    for spec in PIPELINE[1].reads:
        assert spec.retention_days is not None
        assert OWNERS.expiry > timedelta(days=LONGEST_WINDOW_DAYS + spec.retention_days)


def test_no_table_is_mistaken_for_another() -> None:
    names = [table.name for stage in PIPELINE for table in stage.tables]
    assert len(names) == len(set(names))
    for stage in PIPELINE:
        # Keys of one changelog: neither a table's name nor a position's can begin another's.
        prefixes = [table.dump_key("") if table.key is str else table.dump_key(b"") for table in stage.tables]
        assert len({prefix.partition(b":")[0] for prefix in prefixes} | {b""}) == len(prefixes) + 1


@EVERY_STAGE
def test_a_stage_has_one_changelog_with_leases_or_positions(stage: Stage[Any]) -> None:
    assert (LEASES in stage.stored_tables) == (stage.guarantee is Guarantee.DETERMINISTIC)
    assert not [table for table in stage.stored_tables if table.derived]
    assert all_topics().count(changelog(stage.name)) == 1

"""Releases as records: whole again from them, whatever was put in force and however often they are read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from kit.builders import NOW, campaign, configuration

from schemas.codec import decode, encode
from schemas.config.history import ReleaseHistory, UnknownReleaseError
from schemas.config.placeholders import WrittenRelease
from schemas.messages import ConfigEntity
from schemas.topics import CONFIG

RELEASES = (
    configuration(campaign("one"), campaign("two")),
    configuration(campaign("one"), campaign("two", price="12.50"), campaign("three")),
)
FIRST, SECOND = map(WrittenRelease.of, RELEASES)


def put_in_force(history: ReleaseHistory, written: WrittenRelease, message: str = "", hours: int = 0) -> list[str]:
    """The keys of the records, which have been to the topic and back."""
    keys = []
    for key, record in list(history.records_of(written, NOW + timedelta(hours=hours), "ann", message)):
        found = decode(CONFIG.name, encode(record))
        assert isinstance(found, ConfigEntity)
        history.add(key, found)
        keys.append(key)
    return keys


def test_row_71_config_change_log() -> None:
    history = ReleaseHistory()
    put_in_force(history, FIRST, "first")
    put_in_force(history, SECOND, "a third campaign", 1)
    put_in_force(history, FIRST, "back", 2)
    assert [(a.number, a.release, a.message, a.author, a.previous) for a in history.applied] == [
        (1, FIRST.release, "first", "ann", None),
        (2, SECOND.release, "a third campaign", "ann", FIRST.release),
        (3, FIRST.release, "back", "ann", SECOND.release),
    ]
    assert [a.at for a in history.applied] == [NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2)]
    assert history.current == FIRST.release


def test_every_release_is_whole_again_and_known_by_its_hash() -> None:
    history = ReleaseHistory()
    put_in_force(history, FIRST)
    put_in_force(history, SECOND)
    for written, release in zip((FIRST, SECOND), RELEASES, strict=True):
        found = history.written(written.release)
        assert found == written
        assert found.filled({}) == release
        assert found.filled({}).release == found.release == release.release
    assert history.releases == [FIRST.release, SECOND.release]


def test_only_what_is_new_is_written() -> None:
    history = ReleaseHistory()
    put_in_force(history, FIRST)
    added = put_in_force(history, SECOND)
    new = {version.hash for version in SECOND.entities.values()} - {v.hash for v in FIRST.entities.values()}
    assert added == [*sorted((f"entity/{found}" for found in new), key=added.index), *added[-2:]]
    assert added[-2:] == [f"release/{SECOND.release}", "applied/00000002"]
    assert put_in_force(history, FIRST) == ["applied/00000003"]


def test_records_that_are_read_again_change_nothing() -> None:
    history, again = ReleaseHistory(), ReleaseHistory()
    records = []
    for release in (FIRST, SECOND):
        new = list(history.records_of(release, NOW, "ann", ""))
        records += new
        for key, record in new:
            history.add(key, record)
    for key, record in [*records, *records]:
        again.add(key, record)
    assert again.applied == history.applied
    assert again.written(SECOND.release) == SECOND


def test_a_release_that_was_never_in_force_is_named_in_the_error() -> None:
    with pytest.raises(UnknownReleaseError, match="no release 'abc'; `leadline config history` lists them"):
        ReleaseHistory().written("abc")
    assert ReleaseHistory().current is None

"""Placeholders: what decides is filled in when it is loaded; how a lead is delivered, by each process itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.builders import campaign, configuration

from connectors.config_file import load
from schemas.config.changes import changes
from schemas.config.placeholders import UnusableReleaseError, WrittenRelease

TEXT = """
verticals: [{name: solar}]
buyers: [{id: sunpath, name: "${NAME}"}]
campaigns:
  - id: west
    buyer: sunpath
    vertical: solar
    price: "${PRICE}"
    delivery: {url: "${BASE}/leads?token=${TOKEN}", timeout_seconds: "${SECONDS}"}
  - {id: east, buyer: sunpath, vertical: solar, price: "1", delivery: {url: "https://east.example/leads"}}
"""
HERE = {"NAME": "Sunpath", "PRICE": "12.5", "BASE": "https://a.example", "TOKEN": "hunter2", "SECONDS": "5"}
THERE = HERE | {"BASE": "https://b.example", "TOKEN": "${PRICE}", "PATH": "x"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(TEXT)
    return tmp_path / "config.yaml"


def test_what_is_delivered_to_stays_unfilled_and_what_decides_does_not(path: Path) -> None:
    written = load(path, HERE).written
    assert written.variables == {"BASE", "TOKEN"}
    west = written.entities["campaigns", "west"].content
    assert west["delivery"]["url"] == "${BASE}/leads?token=${TOKEN}"
    assert (west["delivery"]["timeout_seconds"], west["price"]) == (5.0, "12.5000")
    assert written.entities["buyers", "sunpath"].content["name"] == "Sunpath"


def test_a_release_is_the_same_wherever_it_is_filled_in(path: Path) -> None:
    here, there = load(path, HERE), load(path, THERE)
    assert here.written == there.written
    assert here.configuration.release == there.configuration.release == here.written.release
    assert not changes(here.written, there.written)
    assert load(path, HERE | {"PRICE": "13"}).written.release != here.written.release


def test_each_process_fills_it_in_by_its_own_environment(path: Path) -> None:
    loaded = load(path, HERE)
    for environment, url in (
        (HERE, "https://a.example/leads?token=hunter2"),
        (THERE, "https://b.example/leads?token=${PRICE}"),
    ):
        found = loaded.written.filled(environment)
        assert found.campaign_by_id["west"].delivery.url == url
        assert found.release == loaded.written.release
    assert loaded.written.filled(HERE) == loaded.configuration


def test_a_variable_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(UnusableReleaseError, match=r"needs BASE, TOKEN: set them in the environment"):
        load(path, HERE).written.filled({})


def test_what_a_variable_makes_is_checked_and_not_shown(path: Path) -> None:
    with pytest.raises(UnusableReleaseError, match="delivery") as raised:
        load(path, HERE).written.filled(HERE | {"BASE": "s3cret"})
    assert "s3cret" not in str(raised.value)


def test_without_placeholders_a_release_is_its_configuration() -> None:
    plain = configuration(campaign("b"), campaign("a", price="2.00"))
    written = WrittenRelease.of(plain)
    assert written.release == plain.release
    assert written.filled({}) == plain
    assert dict(written.entities) == plain.entities

"""The linter on sources: each rule finds its trap."""

from __future__ import annotations

from typing import Any

import pytest
from kit.builders import campaign, configuration

from schemas.config.lint import lint
from schemas.config.route import Route
from schemas.config.source import Source, key_hash
from schemas.config.vertical import Vertical

KEYED = {"keys": [key_hash("a")]}


def found(*sources: dict[str, Any], routes: tuple[Route, ...] = ()) -> list[tuple[str, str | None, str | None]]:
    own = [Source.model_validate(source) for source in sources]
    whole = configuration(campaign("one"), sources=own, routes=routes, verticals=[Vertical(name="roofing")])
    return [(f.code, f.trap.id, f.trap.field) for f in lint(whole) if f.code.startswith("source.")]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"status": "paused"}, "source.paused", "status"),
        ({"status": "test"}, "source.test", "status"),
        ({"caps": [{"window": "day", "limit": 0}]}, "source.stopped", "caps"),
        ({"revshare": "100"}, "source.paid_all", "revshare"),
        ({"sub_ids": [{"id": "x", "status": "paused"}]}, "source.paused", "sub_ids"),
        ({"sub_ids": [{"id": "x", "status": "test"}]}, "source.test", "sub_ids"),
        ({"sub_ids": [{"id": "x", "caps": [{"window": "day", "limit": 0}]}]}, "source.stopped", "sub_ids"),
    ],
)
def test_a_trap_of_a_source(changes: dict[str, Any], code: str, field: str) -> None:
    assert found({"id": "acme"}) == []
    assert found({"id": "acme", **changes}) == [(code, "acme", field)]


def test_a_source_without_a_key_where_others_have_one() -> None:
    assert found({"id": "acme", **KEYED}, {"id": "bolt"}) == [("source.open", "bolt", "keys")]
    assert found({"id": "acme", **KEYED}, {"id": "bolt", **KEYED}) == []


def test_a_source_that_no_route_takes() -> None:
    route = Route.model_validate(
        {"id": "r", "vertical": "solar", "sources": ["acme"], "groups": [{"name": "all", "campaigns": ["one"]}]}
    )
    other = {"id": "bolt", "verticals": ["roofing"]}  # which has no route, so all its campaigns
    assert found({"id": "acme"}, other, routes=(route,)) == []
    assert found({"id": "acme"}, {"id": "bolt"}, routes=(route,)) == [("source.unrouted", "bolt", None)]

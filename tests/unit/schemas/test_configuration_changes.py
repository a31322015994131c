"""What differs between two configurations, and the schema that editors check a file by."""

from __future__ import annotations

import re

import pytest
from kit.builders import campaign, configuration

from schemas.config.changes import ABSENT, FieldChange, changes
from schemas.config.delivery import DirectPost
from schemas.config.filters import Filter
from schemas.config.json_schema import editor_schema
from schemas.config.release import Configuration

ONE, TWO = campaign("one", price="12.5"), campaign("two")
OLD = configuration(ONE, TWO)


def test_the_order_of_entities_is_no_content() -> None:
    turned = Configuration(verticals=OLD.verticals, buyers=OLD.buyers[::-1], campaigns=OLD.campaigns[::-1])
    assert changes(OLD, turned) == ()
    assert turned.release == OLD.release


def test_added_removed_and_changed() -> None:
    new = configuration(ONE.model_copy(update={"priority": 7}), campaign("three"))
    found = [(change.kind, change.id, change.change) for change in changes(OLD, new)]
    assert found == [
        ("buyers", "three", "added"),
        ("buyers", "two", "removed"),
        ("campaigns", "one", "changed"),
        ("campaigns", "three", "added"),
        ("campaigns", "two", "removed"),
    ]
    assert [(change.before is None, change.after is None) for change in changes(OLD, new)][:2] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({"price": "12.50"}, {"price": "13"}, [("price", "12.5000", "13.0000")]),
        ({"states": frozenset({"CA", "NY"})}, {"states": frozenset({"NY"})}, [("states", ["CA", "NY"], ["NY"])]),
        ({}, {"status": "paused"}, [("status", ABSENT, "paused")]),
        ({"status": "paused"}, {}, [("status", "paused", ABSENT)]),
        (
            {"delivery": DirectPost(url="https://a.example")},
            {"delivery": DirectPost(url="https://b.example", idempotent=False)},
            [
                ("delivery.url", "https://a.example", "https://b.example"),
                ("delivery.idempotent", True, False),
            ],
        ),
        (
            {"filters": (Filter(name="b", require="zip > '1'"),)},
            {"filters": (Filter(name="a", require="!test"), Filter(name="b", require="zip > '2'"))},
            [
                ("filters[b].require", "zip > '1'", "zip > '2'"),
                ("filters[a]", ABSENT, {"name": "a", "require": "!test", "unless": None}),
            ],
        ),
        (
            {"filters": (Filter(name="a", require="test"), Filter(name="b", require="!test"))},
            {"filters": (Filter(name="b", require="!test"), Filter(name="a", require="test"))},
            [("filters", ["a", "b"], ["b", "a"])],
        ),
    ],
)
def test_fields_before_and_after(
    before: dict[str, object], after: dict[str, object], fields: list[tuple[str, object, object]]
) -> None:
    (change,) = changes(configuration(campaign("one", **before)), configuration(campaign("one", **after)))
    assert change.fields == tuple(FieldChange(*field) for field in fields)


def test_two_releases_differ_exactly_when_an_entity_does() -> None:
    twin = Configuration.model_validate_json(OLD.model_dump_json())
    assert {key: version.hash for key, version in twin.entities.items()} == {
        key: version.hash for key, version in OLD.entities.items()
    }
    other = configuration(ONE, TWO.model_copy(update={"priority": 1}))
    differing = [key for key, version in other.entities.items() if version.hash != OLD.entities[key].hash]
    assert differing == [("campaigns", "two")]
    assert other.release != OLD.release


def test_the_schema_has_every_setting_and_no_other() -> None:
    schema = editor_schema()
    assert set(schema["properties"]) == set(Configuration.model_fields)
    assert not schema["additionalProperties"]
    assert {"id", "states", "delivery"} <= set(schema["$defs"]["Campaign"]["properties"])
    assert not schema["$defs"]["Campaign"]["additionalProperties"]


def test_the_schema_lets_a_variable_stand_for_a_value() -> None:
    definitions = editor_schema()["$defs"]
    url, priority = (
        definitions[model]["properties"][name] for model, name in (("DirectPost", "url"), ("Campaign", "priority"))
    )
    assert {"$ref": "#/$defs/Variable"} in url["anyOf"]
    assert {"$ref": "#/$defs/Variable"} in priority["anyOf"]
    assert re.search(definitions["Variable"]["pattern"], "${BASE}/leads")
    assert not re.search(definitions["Variable"]["pattern"], "five")

"""The topic catalogue."""

from __future__ import annotations

import re
from typing import get_args

from pydantic import BaseModel

from schemas.messages import MODELS
from schemas.topics import BY_NAME, CATALOGUE, DAY_MS, Cleanup, Key, changelog
from streams.topology import PIPELINE, all_topics

KAFKA_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
KAFKA_CONFIG = {
    "cleanup.policy", "retention.ms", "max.message.bytes", "segment.ms", "min.cleanable.dirty.ratio",
    "max.compaction.lag.ms",
}  # fmt: skip


def test_names_are_unique_and_kafkas() -> None:
    names = [spec.name for spec in all_topics()]
    assert len(names) == len(set(names))
    assert all(KAFKA_NAME.fullmatch(name) for name in names)
    # Kafka's metrics fold the two characters together.
    assert len({name.replace(".", "_") for name in names}) == len(names)
    assert set(BY_NAME) == {spec.name for spec in CATALOGUE}


def test_everything_about_a_person_meets_in_one_partition() -> None:
    assert not [spec.name for spec in CATALOGUE if spec.key is Key.PERSON and spec.single]
    for stage in PIPELINE:
        assert not [spec.name for spec in stage.reads if spec.single], stage.name
        assert len({spec.key for spec in stage.reads} - {Key.FINGERPRINT}) == 1, stage.name
        assert not changelog(stage.name).single


def test_configurations_are_kafkas_words() -> None:
    for spec in all_topics():
        assert set(spec.config) <= KAFKA_CONFIG
        assert all(isinstance(value, str) for value in spec.config.values())
        # A changelog or a compacted topic that also deletes by age would forget a sale.
        assert (spec.cleanup is Cleanup.COMPACT) == (spec.config["retention.ms"] == "-1")
    assert changelog("delivery").config["cleanup.policy"] == "compact"


def test_topics_with_names_of_people_are_marked() -> None:
    """Whatever a model has of a lead's own fields makes its topic personal data, and so do the words of others."""
    for model in MODELS:
        holds = {"lead", "raw", "fields"} & set(model.model_fields) or model.TOPIC.external
        assert bool(holds) == model.TOPIC.personal_data, model.__name__
    assert BY_NAME["dead-letters"].personal_data


def test_a_changelog_of_leads_is_marked_and_bounded() -> None:
    """Whatever a table's value has of a lead makes the changelog personal data, for as long as the entry lives."""
    for stage in PIPELINE:
        holding = [table for table in stage.tables if {"lead", "raw", "fields"} & set(fields_of(table.value))]
        days = [table.expiry.days for table in holding if table.expiry is not None]
        assert len(days) == len(holding), "an entry with personal data ends"
        spec = changelog(stage.name)
        assert (spec.personal_data, spec.entry_days) == (bool(holding), max(days, default=None))


def fields_of(value: object) -> set[str]:
    """The fields of a table's value and of all that is in it."""
    found: set[str] = set()
    models = [value]
    while models:
        model = models.pop()
        models += get_args(model)
        if isinstance(model, type) and issubclass(model, BaseModel):
            found |= set(model.model_fields)
            models += [field.annotation for field in model.model_fields.values()]
    return found


def test_personal_data_is_gone_when_the_catalogue_says() -> None:
    """Kafka deletes whole segments: a record may be there for its retention and a segment's length."""
    for spec in all_topics():
        if spec.personal_data and spec.cleanup is Cleanup.DELETE:
            longest = int(spec.config["retention.ms"]) + int(spec.config["segment.ms"])
            assert spec.gone_after_days is not None
            assert longest < spec.gone_after_days * DAY_MS
        elif spec.personal_data:
            assert int(spec.config["max.compaction.lag.ms"]) <= DAY_MS
    assert BY_NAME["leads"].gone_after_days == 31
    assert BY_NAME["config"].gone_after_days is None
    assert changelog("routing").gone_after_days == 33


def test_a_topic_takes_what_the_one_before_it_took() -> None:
    sizes = {spec.name: int(spec.config["max.message.bytes"]) for spec in CATALOGUE}
    assert sizes["leads"] < min(size for name, size in sizes.items() if name != "leads")

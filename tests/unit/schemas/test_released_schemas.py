"""Released Avro schemas: what stands in Kafka for ten years must be read by every model to come."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import avro_records

from schemas import avro_schema
from schemas.avro_schema import AVRO_DIR, CATALOGUE, release, schema_of, subject
from schemas.codec import MAGIC, PREFIX, decode
from schemas.messages import MODELS, Message

CHECKSUMS = Path(__file__).with_name("released_schemas.sha256")
RELEASED = sorted(AVRO_DIR.glob("*/v*.avsc"))
BY_SUBJECT = {subject(model): model for model in MODELS}


def name_of(path: Path) -> str:
    return path.relative_to(AVRO_DIR).as_posix()


def catalogue() -> dict[int, tuple[str, int]]:
    return {int(number): (name, version) for number, (name, version) in json.loads(CATALOGUE.read_text()).items()}


def id_of(path: Path) -> int:
    place = (path.parent.name, int(path.stem[1:]))
    return next(number for number, found in catalogue().items() if found == place)


def test_released_files_never_change() -> None:
    pinned = {name: checksum for checksum, name in map(str.split, CHECKSUMS.read_text().splitlines())}
    found = {name_of(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in RELEASED}
    missing, changed = pinned.keys() - found, [n for n in pinned if n in found and found[n] != pinned[n]]
    assert not missing, f"released schemas are gone: {missing}; take them back from git"
    assert not changed, f"released schemas changed: {changed}; take them back from git and release a next version"
    added = "\n".join(f"{found[name]}  {name}" for name in sorted(found.keys() - pinned))
    assert not added, f"pin the new schemas by adding to {CHECKSUMS.name}:\n{added}"


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_the_latest_schema_is_the_models(model: type[Message]) -> None:
    latest = max((AVRO_DIR / subject(model)).glob("v*.avsc"))
    assert json.loads(latest.read_text()) == schema_of(model), (
        f"{model.__name__} changed: run `python -m schemas.avro_schema`, which writes the next version"
    )


def test_every_id_points_to_a_file_and_every_file_has_one_id() -> None:
    places = list(catalogue().values())
    assert len(places) == len(set(places))
    assert {f"{name}/v{version:04}.avsc" for name, version in places} == {name_of(path) for path in RELEASED}
    assert len(json.loads(CATALOGUE.read_text(), object_pairs_hook=list)) == len(catalogue())  # no id stands twice
    assert {name for name, _ in places} == set(BY_SUBJECT)


def _within(found: Any, datum: Any) -> Any:
    """What was found, without the fields that the datum's older schema does not know, at any depth."""
    if isinstance(datum, dict) and isinstance(found, dict):
        return {name: _within(found[name], datum[name]) for name in datum if name in found}
    if isinstance(datum, list) and isinstance(found, list) and len(found) == len(datum):
        return [_within(inner, outer) for inner, outer in zip(found, datum, strict=True)]
    return found


@pytest.mark.parametrize("path", RELEASED, ids=name_of)
def test_every_released_version_is_read_by_the_model_of_today(path: Path) -> None:
    model = BY_SUBJECT[path.parent.name]
    document = json.loads(path.read_text())
    schema = fastavro.parse_schema(document)
    prefix = PREFIX.pack(MAGIC, id_of(path))

    @settings(max_examples=25)
    @given(avro_records(document))
    def is_read(datum: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, schema, datum)
        message = decode(model.TOPIC.name, prefix + buffer.getvalue())
        assert _within(message.model_dump(), datum) == datum

    is_read()


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_a_field_with_a_default_may_be_missing_from_an_older_schema(model: type[Message]) -> None:
    newest = schema_of(model)
    older = json.loads(json.dumps(newest))
    older["fields"] = [field for field in older["fields"] if "default" not in field]

    @settings(max_examples=5)
    @given(avro_records(older))
    def is_read(datum: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, fastavro.parse_schema(older), datum)
        buffer.seek(0)
        model.model_validate(fastavro.schemaless_reader(buffer, older, fastavro.parse_schema(newest)))

    is_read()


def test_a_release_writes_what_changed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(release(tmp_path)) == len(MODELS)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/v*.avsc")}
    assert release(tmp_path) == []

    real, changed = schema_of, MODELS[1]

    def with_one_more(model: type[Message]) -> dict[str, Any]:
        schema = real(model)
        more = [{"name": "more", "type": "string", "default": ""}] if model is changed else []
        return schema | {"fields": [*schema["fields"], *more]}

    monkeypatch.setattr(avro_schema, "schema_of", with_one_more)
    assert release(tmp_path) == [f"{subject(changed)}/v0002.avsc"]
    assert all(path.read_bytes() == content for path, content in before.items())
    listing = json.loads((tmp_path / CATALOGUE.name).read_text())
    assert listing[str(len(MODELS) + 1)] == [subject(changed), 2]


@given(st.sampled_from(RELEASED))
def test_released_names_are_in_order(path: Path) -> None:
    versions = sorted(p.name for p in path.parent.glob("v*.avsc"))
    assert versions == [f"v{n:04}.avsc" for n in range(1, len(versions) + 1)]

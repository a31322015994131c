"""Avro schemas derived from the event models.

``python -m schemas.avro_schema`` writes the next version of every model that changed; a released file never changes.
Decimal, uuid and timestamp-millis are Avro's logical types; a mapping is a map of strings.
"""

from __future__ import annotations

import json
import types
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.messages import MODELS

AVRO_DIR: Final = Path(__file__).parent / "avro"
CATALOGUE: Final = AVRO_DIR / "catalogue.json"
NAMESPACE: Final = "leadline"

PRIMITIVES: Final[dict[type, object]] = {
    str: "string",
    int: "long",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
    UUID: {"type": "string", "logicalType": "uuid"},
    datetime: {"type": "long", "logicalType": "timestamp-millis"},
    Decimal: {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 4},
}


def subject(model: type[BaseModel]) -> str:
    """The schema registry's subject, by TopicNameStrategy."""
    return f"{model.TOPIC.name}-value"  # type: ignore[attr-defined]  # every model of MODELS has a topic


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The Avro record of a model, with nested records defined where they first stand."""
    return _record(model, set())


def _record(model: type[BaseModel], seen: set[str]) -> dict[str, Any]:
    seen.add(model.__name__)
    fields = [_field(name, info, seen) for name, info in model.model_fields.items()]
    return {"type": "record", "name": model.__name__, "namespace": NAMESPACE, "fields": fields}


def _field(name: str, info: FieldInfo, seen: set[str]) -> dict[str, Any]:
    field = {"name": name, "type": _type(info.annotation, seen)}
    default = info.default
    if default is not PydanticUndefined:
        field["default"] = default
        union = field["type"]
        if default is None and isinstance(union, list):  # Avro: a union's default is of its first branch
            field["type"] = ["null", *(branch for branch in union if branch != "null")]
    return field


def _type(annotation: Any, seen: set[str]) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        rest = [_type(a, seen) for a in arguments if a is not type(None)]
        return ["null", *rest]
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], seen)}
    if origin is dict:
        return {"type": "map", "values": _type(arguments[1], seen)}
    if hasattr(annotation, "__metadata__"):
        return _type(arguments[0], seen)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__ if annotation.__name__ in seen else _record(annotation, seen)
    return PRIMITIVES[annotation]


def release(directory: Path = AVRO_DIR) -> list[str]:
    """Write the schema of every model that differs from its latest file; returns the new files' names."""
    listing = directory / CATALOGUE.name
    catalogue: dict[str, list[Any]] = json.loads(listing.read_text()) if listing.exists() else {}
    written = []
    for model in MODELS:
        folder = directory / subject(model)
        versions = sorted(folder.glob("v*.avsc"))
        schema = schema_of(model)
        if versions and json.loads(versions[-1].read_text()) == schema:
            continue
        version = len(versions) + 1
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"v{version:04}.avsc"
        path.write_text(json.dumps(schema, indent=2) + "\n")
        catalogue[str(len(catalogue) + 1)] = [subject(model), version]
        written.append(str(path.relative_to(directory)))
    listing.write_text(json.dumps(catalogue, indent=2) + "\n")
    return written


if __name__ == "__main__":
    for name in release():
        print(name)

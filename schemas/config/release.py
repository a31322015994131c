"""A release: one whole configuration, known by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, to_jsonable_python

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.entity import Entity
from schemas.config.vertical import Vertical
from schemas.expressions import ExpressionError, compile_condition

IDENTITY: Final = {"verticals": "name", "buyers": "id", "campaigns": "id"}
"""The field that an entity of each kind is known by."""
REFERENCES: Final = {"campaigns": {"buyer": "buyers", "vertical": "verticals"}}
"""The fields that name an entity of another kind."""


@dataclass(frozen=True)
class EntityVersion:
    """One entity as a release has it: ``kind`` such as ``campaigns``, its content as JSON has it, and that one's hash
    (16 hex digits)."""

    kind: str
    id: str
    content: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """The content hash: equal for equal content."""
        return _hash(self.content)


class Configuration(Entity):
    """One release of everything that decides about leads."""

    verticals: tuple[Vertical, ...]
    buyers: tuple[Buyer, ...]
    campaigns: tuple[Campaign, ...]

    @model_validator(mode="after")
    def _references(self) -> Configuration:
        document = {kind: [dict(entity) for entity in getattr(self, kind)] for kind in IDENTITY}
        if faults := list(reference_faults(document)) or list(self._filter_faults()):
            raise ValidationError.from_exception_data(type(self).__name__, faults)
        return self

    def _filter_faults(self) -> Iterator[InitErrorDetails]:
        samples = {name: vertical.samples for name, vertical in self.vertical_by_name.items()}
        for index, campaign in enumerate(self.campaigns):
            for place, own in enumerate(campaign.filters):
                try:
                    compile_condition(own.expression, samples[campaign.vertical])
                except ExpressionError as error:
                    fault = PydanticCustomError(
                        "expression",
                        "campaign {owner}: filter {name}: {fault}",
                        {"owner": campaign.id, "name": own.name, "fault": str(error)},
                    )
                    loc = ("campaigns", index, "filters", place, "require" if own.wanted else "unless")
                    yield InitErrorDetails(type=fault, loc=loc, input=own.expression)

    @cached_property
    def release(self) -> str:
        """The content hash that stands on every decision: 16 hex digits of SHA-256 over the canonical JSON."""
        whole = canonical(self)
        for kind, identity in IDENTITY.items():  # in which order, and in which file, entities are written is no content
            whole[kind].sort(key=lambda entity, identity=identity: entity[identity])
        return _hash(whole)

    @cached_property
    def vertical_by_name(self) -> dict[str, Vertical]:
        """Verticals by their name."""
        return {vertical.name: vertical for vertical in self.verticals}

    @cached_property
    def campaign_by_id(self) -> dict[str, Campaign]:
        """Campaigns by their id."""
        return {campaign.id: campaign for campaign in self.campaigns}

    @cached_property
    def campaigns_of(self) -> dict[str, tuple[Campaign, ...]]:
        """Each vertical's campaigns, best priority first, then by id."""
        ordered = sorted(self.campaigns, key=lambda c: (c.priority, c.id))
        return {v.name: tuple(c for c in ordered if c.vertical == v.name) for v in self.verticals}

    @cached_property
    def entities(self) -> dict[tuple[str, str], EntityVersion]:
        """Every entity by kind and id, in the order of the configuration."""
        versions = (
            EntityVersion(kind, getattr(entity, identity), canonical(entity))
            for kind, identity in IDENTITY.items()
            for entity in getattr(self, kind)
        )
        return {(version.kind, version.id): version for version in versions}


def reference_faults(document: Mapping[str, Sequence[Any]]) -> Iterator[InitErrorDetails]:
    """What does not fit together in a configuration: a name given twice, a reference to what is not there.

    Takes the entities as mappings, valid or not, so that these faults can be told together with an entity's own. The
    context has ``first`` (the index of the first of that name) or ``known`` (the names there are).
    """
    names: dict[str, dict[str, int]] = {}
    for kind, identity in IDENTITY.items():
        names[kind] = {}
        for index, entity in enumerate(document.get(kind, ())):
            if isinstance(name := _field(entity, identity), str):
                first = names[kind].setdefault(name, index)
                if first != index:
                    fault = PydanticCustomError(
                        "named_twice", "{kind} named twice: {name}", {"kind": kind[:-1], "name": name, "first": first}
                    )
                    yield InitErrorDetails(type=fault, loc=(kind, index, identity), input=name)
    for kind, references in REFERENCES.items():
        for index, entity in enumerate(document.get(kind, ())):
            for field, target in references.items():
                if isinstance(name := _field(entity, field), str) and name not in names[target]:
                    fault = PydanticCustomError(
                        "unknown_reference",
                        "{owner}: no {target} {name} is configured",
                        {
                            "owner": f"{kind[:-1]} {_field(entity, IDENTITY[kind])}",
                            "target": target[:-1],
                            "name": repr(name),
                            "known": list(names[target]),
                        },
                    )
                    yield InitErrorDetails(type=fault, loc=(kind, index, field), input=name)


def canonical(value: Any) -> Any:
    """A value as JSON has it, the same for equal values: a set, which has no order, becomes a sorted list.

    What a model leaves out of its dump is left out.
    """
    if isinstance(value, BaseModel):
        fields = [(name, info, getattr(value, name)) for name, info in type(value).model_fields.items()]
        # What is left out of a dump is left out here: a field that came later must not change older releases' hashes.
        shown = [(info.alias or name, content) for name, info, content in fields if not _excluded(info, content)]
        return {name: canonical(content) for name, content in shown}
    if isinstance(value, Mapping):
        return {to_jsonable_python(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(canonical, value), key=lambda item: json.dumps(item, sort_keys=True))
    return list(map(canonical, value)) if isinstance(value, (list, tuple)) else to_jsonable_python(value)


def _excluded(info: FieldInfo, content: Any) -> bool:
    return info.exclude_if is not None and bool(info.exclude_if(content))


def _field(entity: Any, name: str) -> Any:
    return entity.get(name) if isinstance(entity, Mapping) else None


def _hash(document: Any) -> str:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]

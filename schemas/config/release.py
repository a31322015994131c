"""A release: one whole configuration, known by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import not_
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, to_jsonable_python

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.entity import Entity
from schemas.config.route import Route
from schemas.config.source import Source
from schemas.config.suppression import SuppressionList
from schemas.config.vertical import Vertical
from schemas.expressions import ExpressionError, compile_condition

IDENTITY: Final = {
    "verticals": "name",
    "sources": "id",
    "buyers": "id",
    "campaigns": "id",
    "routes": "id",
    "suppression_lists": "name",
}
"""The field that an entity of each kind is known by."""
REFERENCES: Final = {
    "sources": {"verticals": "verticals"},
    "campaigns": {"buyer": "buyers", "vertical": "verticals", "caps.source": "sources"},
    "buyers": {"caps.source": "sources"},
    "routes": {
        "vertical": "verticals",
        "sources": "sources",
        "groups.campaigns": "campaigns",
        "unsold.vertical": "verticals",
        "unsold.sweeper": "campaigns",
    },
    "suppression_lists": {"verticals": "verticals"},
}
"""The fields that name entities of another kind, each by its path."""


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
        return content_hash(self.content)


class Configuration(Entity):
    """One release of everything that decides about leads."""

    verticals: tuple[Vertical, ...]
    sources: Annotated[tuple[Source, ...], Field(exclude_if=not_)] = ()
    buyers: tuple[Buyer, ...]
    campaigns: tuple[Campaign, ...]
    routes: Annotated[tuple[Route, ...], Field(exclude_if=not_)] = ()
    suppression_lists: Annotated[tuple[SuppressionList, ...], Field(exclude_if=not_)] = ()

    @model_validator(mode="before")
    @classmethod
    def _time_zones(cls, document: Any) -> Any:
        """Campaigns without a time zone have their buyer's, and a release says so: what it means must not hang on
        another entity."""
        if not isinstance(document, Mapping) or not _listed(document.get("campaigns")):
            return document
        zones = {_field(b, "id"): _field(b, "time_zone") for b in _listed(document.get("buyers"))}
        return {**document, "campaigns": [_in_zone(c, zones) for c in document["campaigns"]]}

    @model_validator(mode="after")
    def _references(self) -> Configuration:
        document = {kind: getattr(self, kind) for kind in IDENTITY}
        if faults := list(reference_faults(document)) or list(self._filter_faults()):
            raise ValidationError.from_exception_data(type(self).__name__, faults)
        return self

    def _filter_faults(self) -> Iterator[InitErrorDetails]:
        samples = {name: vertical.samples for name, vertical in self.vertical_by_name.items()}
        owners: list[tuple[str, int, Campaign | Route]] = [
            *(("campaigns", index, campaign) for index, campaign in enumerate(self.campaigns)),
            *(("routes", index, route) for index, route in enumerate(self.routes)),
        ]
        for kind, index, owner in owners:
            for place, own in enumerate(owner.filters):
                loc = (kind, index, "filters", place, "require" if own.wanted else "unless")
                yield from _expression_faults(kind, owner.id, own.name, own.expression, [samples[owner.vertical]], loc)
        for index, source in enumerate(self.sources):
            for place, criterion in enumerate(source.filters):
                loc = ("sources", index, "filters", place, "reject_unless")
                of = [samples[name] for name in source.verticals or samples]
                yield from _expression_faults("sources", source.id, criterion.name, criterion.reject_unless, of, loc)

    @cached_property
    def release(self) -> str:
        """The content hash that stands on every decision: 16 hex digits of SHA-256 over the canonical JSON."""
        whole = canonical(self)
        for kind, identity in IDENTITY.items():  # in which order, and in which file, entities are written is no content
            whole.get(kind, []).sort(key=lambda entity, identity=identity: entity[identity])
        return content_hash(whole)

    @cached_property
    def vertical_by_name(self) -> dict[str, Vertical]:
        """Verticals by their name."""
        return {vertical.name: vertical for vertical in self.verticals}

    @cached_property
    def campaign_by_id(self) -> dict[str, Campaign]:
        """Campaigns by their id."""
        return {campaign.id: campaign for campaign in self.campaigns}

    @cached_property
    def source_by_id(self) -> dict[str, Source]:
        """Sources by their id."""
        return {source.id: source for source in self.sources}

    @cached_property
    def buyer_by_id(self) -> dict[str, Buyer]:
        """Buyers by their id."""
        return {buyer.id: buyer for buyer in self.buyers}

    @cached_property
    def route_by_id(self) -> dict[str, Route]:
        """Routes by their id."""
        return {route.id: route for route in self.routes}

    @cached_property
    def routes_of(self) -> dict[str, tuple[Route, ...]]:
        """Each vertical's routes in the order in which they are tried."""
        ordered = sorted(self.routes, key=lambda route: (route.priority, route.id))
        return {v.name: tuple(route for route in ordered if route.vertical == v.name) for v in self.verticals}

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
            for path, target in references.items():
                for place, name in _named(entity, path.split(".")):
                    if name in names[target]:
                        continue
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
                    yield InitErrorDetails(type=fault, loc=(kind, index, *place), input=name)
    yield from _vertical_faults(document)


def _vertical_faults(document: Mapping[str, Sequence[Any]]) -> Iterator[InitErrorDetails]:
    """Routes' campaigns that buy another vertical's leads."""
    vertical_of = {
        name: _field(campaign, "vertical")
        for campaign in document.get("campaigns", ())
        if isinstance(name := _field(campaign, "id"), str)
    }
    for index, route in enumerate(document.get("routes", ())):
        for path in ("groups.campaigns", "unsold.sweeper"):
            for place, name in _named(route, path.split(".")):
                own, other = _field(route, "vertical"), vertical_of.get(name)
                if isinstance(own, str) and isinstance(other, str) and own != other:
                    fault = PydanticCustomError(
                        "other_vertical",
                        "{owner}: campaign {name} buys {other}, and the route is of {own}",
                        {"owner": f"route {_field(route, 'id')}", "name": repr(name), "other": other, "own": own},
                    )
                    yield InitErrorDetails(type=fault, loc=("routes", index, *place), input=name)


def _named(value: Any, path: Sequence[str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The names at the end of a path, which may lead through lists, each with its place."""
    if isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield from (((index, *place), name) for place, name in _named(item, path))
    elif not path:
        if isinstance(value, str):
            yield (), value
    else:
        yield from (((path[0], *place), name) for place, name in _named(_field(value, path[0]), path[1:]))


def _expression_faults(
    kind: str, owner: str, name: str, expression: str, samples: Sequence[Mapping[str, Any]], loc: tuple[str | int, ...]
) -> Iterator[InitErrorDetails]:
    try:
        for own in samples:
            compile_condition(expression, own)
    except ExpressionError as error:
        context = {"owner": f"{kind[:-1]} {owner}", "name": name, "fault": str(error)}
        fault = PydanticCustomError("expression", "{owner}: filter {name}: {fault}", context)
        yield InitErrorDetails(type=fault, loc=loc, input=expression)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _in_zone(campaign: Any, zones: Mapping[Any, Any]) -> Any:
    if not isinstance(campaign, Mapping) or "time_zone" in campaign:
        return campaign
    zone = zones.get(campaign.get("buyer")) if isinstance(campaign.get("buyer"), str) else None
    return {**campaign, "time_zone": zone} if zone else campaign


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
    return entity.get(name) if isinstance(entity, Mapping) else getattr(entity, name, None)


def content_hash(document: Any) -> str:
    """16 hex digits of SHA-256 over a document's JSON as it stands."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]

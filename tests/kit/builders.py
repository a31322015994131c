"""Builders of events, leads and configurations, and hypothesis strategies derived from the models and their Avro."""

from __future__ import annotations

import types
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin
from uuid import UUID, uuid5

from hypothesis import strategies as st
from pydantic import BaseModel

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.cap import Cap, CapWindow
from schemas.config.delivery import DirectPost
from schemas.config.release import Configuration
from schemas.config.route import Route
from schemas.config.source import Source
from schemas.config.vertical import Vertical
from schemas.decision import Candidate, Slip, Tier
from schemas.events import Delivery, Event, Lead, LeadUnique, LeadValidated, Offer, Outcome
from schemas.identity import LEADS_NAMESPACE, Step, attempt_of, event_id, person
from streams.stage import Context

NOW = datetime(2026, 3, 4, 17, 0, tzinfo=UTC)
SECRET = b"a pseudonym key of 32 bytes ...."
STATES = ("CA", "GA", "NY")

B = TypeVar("B", bound=BaseModel)

# Values


def lead_id(name: object) -> UUID:
    """An id that a name stands for."""
    return uuid5(LEADS_NAMESPACE, str(name))


def lead(**changes: Any) -> Lead:
    """A normalised lead."""
    fields: dict[str, Any] = {
        "first_name": "Ada",
        "last_name": "McDonald",
        "phone": "+14045550123",
        "email": "ada@example.com",
        "zip": "30303",
        "state": "GA",
    }
    return Lead(**fields | changes)


def raw_fields(**changes: str) -> dict[str, str]:
    """The fields of a lead that passes validation."""
    fields = {
        "vertical": "solar",
        "source": "quoteharbor",
        "first_name": "Ada",
        "last_name": "McDonald",
        "phone": "404-555-0123",
        "email": "ada@example.com",
        "zip": "30303",
        "state": "GA",
    }
    return fields | changes


def cap(limit: object, window: str = "day", **changes: Any) -> Cap:
    """A cap on leads a day, unless it is said otherwise."""
    return Cap(window=CapWindow(window), limit=Decimal(str(limit)), **changes)


def campaign(name: str, **changes: Any) -> Campaign:
    """A campaign of a buyer of the same name; ``idempotent`` goes to its delivery."""
    delivery = DirectPost(url="http://127.0.0.1:9/leads", idempotent=changes.pop("idempotent", True))
    fields: dict[str, Any] = {"buyer": name, "vertical": "solar", "states": frozenset(STATES), "delivery": delivery}
    return Campaign(id=name, **fields | changes)


def configuration(
    *campaigns: Campaign,
    verticals: Iterable[Vertical] = (),
    buyers: Iterable[Buyer] = (),
    sources: Iterable[Source] = (),
    routes: Iterable[Route] = (),
) -> Configuration:
    """A configuration with every vertical and buyer that the campaigns name."""
    named = {v.name: v for v in verticals}
    for name in ("solar", *(c.vertical for c in campaigns)):
        named.setdefault(name, Vertical(name=name))
    accounts = {b.id: b for b in buyers}
    for name in (c.buyer for c in campaigns):
        accounts.setdefault(name, Buyer(id=name, name=name.title()))
    return Configuration(
        verticals=tuple(named.values()),
        buyers=tuple(accounts.values()),
        campaigns=campaigns,
        sources=tuple(sources),
        routes=tuple(routes),
    )


def context(release: Configuration | None = None, now: datetime = NOW) -> Context:
    """What a stage may know."""
    return Context(now=now, configuration=release or configuration(), secret=SECRET, version="test")


def _envelope(name: object, step: Step, run: int, vertical: str, received_at: datetime) -> dict[str, Any]:
    return {
        "event_id": event_id(lead_id(name), step, run),
        "lead_id": lead_id(name),
        "run": run,
        "received_at": received_at,
        "occurred_at": received_at,
        "release": "0" * 16,
        "vertical": vertical,
        "source": "quoteharbor",
    }


def validated(
    name: object, who: str = "ada", *, run: int = 0, vertical: str = "solar", received_at: datetime = NOW
) -> LeadValidated:
    """A lead on its way to dedup."""
    common = _envelope(name, Step.VALIDATION, run, vertical, received_at)
    return LeadValidated(
        **common, person=person(SECRET, phone=who, email=None), lead=lead(), raw={"reference": str(name)}
    )


def unique(
    name: object,
    *,
    run: int = 0,
    vertical: str = "solar",
    content: Lead | None = None,
    received_at: datetime = NOW,
    who: object = None,
    **changes: Any,
) -> LeadUnique:
    """A lead, of a person of its own unless ``who`` is said, on its way to routing."""
    common = _envelope(name, Step.DEDUP, run, vertical, received_at) | changes
    return LeadUnique(**common, person=person(SECRET, phone=str(who or name), email=None), lead=content or lead())


def slip(legs: Iterable[Campaign | Candidate], **changes: Any) -> Slip:
    """A routing slip of one tier and one sale; a campaign is an exclusive leg at its price."""
    candidates = [
        leg
        if isinstance(leg, Candidate)
        else Candidate(campaign=leg.id, buyer=leg.buyer, company=leg.buyer, price=leg.price, exclusive=True, tier=0)
        for leg in legs
    ]
    tiers = [Tier(name="all", max_sales=None, stop=False, unsold=False)]
    fields: dict[str, Any] = {"route": "all", "tiers": tiers, "max_sales": 1, "deadline": None}
    return Slip(candidates=candidates, **fields | changes)


def offer(
    name: object,
    legs: Slip | Iterable[Campaign],
    *,
    run: int = 0,
    cursor: int = 0,
    decision: int = 0,
    who: object = None,
    **changes: Any,
) -> Offer:
    """A lead, of a person of its own unless ``who`` is said, on its way to the delivery to the slip's leg at the
    cursor."""
    common = _envelope(name, Step.OFFER, run, "solar", NOW)
    attempt = attempt_of(decision, cursor)
    common |= {"event_id": event_id(lead_id(name), Step.OFFER, run, attempt), "attempt": attempt}
    fields: dict[str, Any] = {
        "person": person(SECRET, phone=str(who or name), email=None),
        "lead": lead(),
        "slip": legs if isinstance(legs, Slip) else slip(legs),
        "cursor": cursor,
        "decision": decision,
        "declines": [],
        "sales": [],
    }
    return Offer(**common | fields | changes)


def answered(
    name: object,
    campaign: str,
    outcome: str = Outcome.ACCEPTED,
    *,
    who: object = None,
    run: int = 0,
    decision: int = 0,
    cursor: int = 0,
    **changes: Any,
) -> Delivery:
    """How a leg of a lead's slip ended, the last one unless it is said otherwise, of a campaign whose buyer has its
    name."""
    common = _envelope(name, Step.ATTEMPT, run, "solar", NOW)
    attempt = attempt_of(decision, cursor)
    common |= {"event_id": event_id(lead_id(name), Step.ATTEMPT, run, attempt), "attempt": attempt}
    sold = outcome == Outcome.ACCEPTED
    fields: dict[str, Any] = {
        "person": person(SECRET, phone=str(who or name), email=None),
        "campaign": campaign,
        "buyer": campaign,
        "outcome": str(outcome),
        "reason": None if sold else f"buyer.{outcome}",
        "price": Decimal(1) if sold else None,
        "reference": None,
        "http_status": None,
        "posts": 1,
        "latency_ms": 1.0,
        "company": campaign,
        "exclusive": True,
        "route": "all",
        "tier": "all",
        "decision": decision,
        "over": True,
    }
    return Delivery(**common | fields | changes)


def without_clock(event: Event) -> Event:
    """An event as it is whenever it was written."""
    return event.model_copy(update={"occurred_at": NOW})


# Strategies

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
timestamps = st.integers(0, 9_999_999_999_999).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
money = st.decimals(0, Decimal("99999999.9999"), places=4, allow_nan=False, allow_infinity=False)

_PRIMITIVES: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    UUID: st.uuids(),
    datetime: timestamps,
    Decimal: money,
    bytes: st.binary(max_size=8),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
}


def models(model: type[B]) -> st.SearchStrategy[B]:
    """Any value of a model."""
    fields = {name: _values(info.annotation, info.metadata) for name, info in model.model_fields.items()}
    return st.fixed_dictionaries(fields).map(lambda content: model(**content))


def _values(annotation: Any, metadata: Iterable[Any] = ()) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _values(arguments[0], annotation.__metadata__)
    if origin in (Union, types.UnionType):
        return st.one_of(st.none(), *(_values(a) for a in arguments if a is not type(None)))
    if origin is list:
        return st.lists(_values(arguments[0]), max_size=3)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(_values(arguments[0]), _values(arguments[1]), max_size=3)
    if annotation is int:
        bounds = list(metadata)
        lowest = next((b.ge for b in bounds if hasattr(b, "ge")), -(2**63))
        return st.integers(lowest, next((b.lt for b in bounds if hasattr(b, "lt")), 2**63) - 1)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    return _PRIMITIVES[annotation]


_AVRO: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "string": texts,
    "long": st.integers(0, 2**16 - 1),  # the narrowest that a model has
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=8),
    "uuid": st.uuids(),
    "timestamp-millis": timestamps,
    "decimal": money,
}


def avro_records(schema: Any, named: dict[str, st.SearchStrategy[Any]] | None = None) -> st.SearchStrategy[Any]:
    """Any datum of an Avro schema, as a writer takes it."""
    named = {} if named is None else named
    if isinstance(schema, list):
        return st.one_of([avro_records(branch, named) for branch in schema])
    if isinstance(schema, str):
        return named[schema] if schema in named else _AVRO[schema]
    if schema["type"] == "record":
        content = st.fixed_dictionaries({f["name"]: avro_records(f["type"], named) for f in schema["fields"]})
        named[schema["name"]] = content
        return content
    if schema["type"] == "array":
        return st.lists(avro_records(schema["items"], named), max_size=3)
    if schema["type"] == "map":
        return st.dictionaries(texts, avro_records(schema["values"], named), max_size=3)
    return _AVRO[schema.get("logicalType", schema["type"])]

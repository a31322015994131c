"""Where leads come from."""

from __future__ import annotations

import hashlib
from collections import Counter
from operator import not_
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from schemas.config.cap import CapWindow
from schemas.config.entity import Entity, Name, TimeZone
from schemas.config.field import LeadFilter
from schemas.config.margin import Margin, Percent
from schemas.values import Money

Status = Literal["active", "paused", "test"]
KeyHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def source_id(text: str) -> str:
    """A source as somebody wrote it, as ids are written: case and outer spaces do not count."""
    return text.strip().lower()


def key_hash(key: str) -> str:
    """What the configuration keeps of a key: its SHA-256, 64 hex digits."""
    return hashlib.sha256(key.encode()).hexdigest()


class SourceCap(Entity):
    """At most ``limit`` leads that pass validation in a ``window``, by the source's time zone."""

    window: CapWindow
    limit: Annotated[int, Field(ge=0)]


def _windows_once(caps: tuple[SourceCap, ...]) -> tuple[SourceCap, ...]:
    if repeated := [name for name, count in Counter(cap.window for cap in caps).items() if count > 1]:
        raise ValueError(f"two caps for one window: {', '.join(repeated)}")
    return caps


SourceCaps = Annotated[tuple[SourceCap, ...], AfterValidator(_windows_once)]


class SubId(Entity):
    """A part of a publisher's traffic, named by the lead's field ``sub_id``. One that is not listed is taken as any."""

    id: Annotated[str, Field(min_length=1, max_length=100)]
    status: Annotated[Status, Field(exclude_if=lambda status: status == "active")] = "active"
    caps: Annotated[SourceCaps, Field(exclude_if=not_)] = ()


class Source(Entity):
    """A publisher's feed of leads, known by the ``source`` that its leads name.

    ``status``: a paused source's leads are rejected, a test source's leads are test leads. ``verticals`` it may send
    (any where none is named). ``keys`` are the SHA-256, in hex, of what its posts to the intake must show; without one
    anybody may post in its name. A lead costs ``payout`` once it is sold for the first time, and ``revshare`` percent
    of each of its prices. ``filters`` reject as those of a vertical do, ``caps`` and those of ``sub_ids`` count leads
    that pass. ``margin`` and ``floor`` stand in for those of the route; with ``ignore_margin`` its leads are sold at
    any price from the floor on, at a loss too.
    """

    id: Name
    name: Annotated[str, Field(exclude_if=not_)] = ""
    publisher: Annotated[str, Field(exclude_if=not_)] = ""
    status: Annotated[Status, Field(exclude_if=lambda status: status == "active")] = "active"
    verticals: Annotated[tuple[Name, ...], AfterValidator(_sorted), Field(exclude_if=not_)] = ()
    keys: Annotated[tuple[KeyHash, ...], Field(exclude_if=not_)] = ()
    payout: Annotated[Money | None, Field(exclude_if=lambda payout: payout is None)] = None
    revshare: Annotated[Percent | None, Field(exclude_if=lambda share: share is None)] = None
    filters: Annotated[tuple[LeadFilter, ...], Field(exclude_if=not_)] = ()
    caps: Annotated[SourceCaps, Field(exclude_if=not_)] = ()
    sub_ids: Annotated[tuple[SubId, ...], Field(exclude_if=not_)] = ()
    time_zone: Annotated[TimeZone, Field(exclude_if=lambda zone: zone == "UTC")] = "UTC"
    floor: Annotated[Money | None, Field(exclude_if=lambda floor: floor is None)] = None
    margin: Annotated[Margin | None, Field(exclude_if=not_)] = None
    ignore_margin: Annotated[bool, Field(exclude_if=not_)] = False

    @model_validator(mode="after")
    def _named_once(self) -> Source:
        for kind, names in (("filter", [f.name for f in self.filters]), ("sub id", [s.id for s in self.sub_ids])):
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{kind} named twice: {', '.join(repeated)}")
        return self

"""What every configured thing is made of."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _with_letter(name: str) -> str:
    if name.strip("0123456789_-"):
        return name
    raise ValueError(f"{name!r} is no name: digits alone may be a phone number, which the warehouse leaves out")


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$"), AfterValidator(_with_letter)]
State = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no IANA time zone, such as America/New_York") from None
    return name


TimeZone = Annotated[str, AfterValidator(_zone)]
"""The name of an IANA time zone."""


class Entity(BaseModel):
    """A configured thing; an unknown key is an error, so that a typing mistake is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

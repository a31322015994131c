"""When a campaign buys: days and hours on the wall clock of its time zone."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from schemas.config.entity import Entity

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As :meth:`datetime.date.weekday` counts them."""
TIME: Final = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _time(value: Any) -> Any:
    if isinstance(value, int):  # YAML 1.1 counts in sixties: a bare 17:00 is 1020
        raise ValueError('quote the time, such as "17:00": YAML reads it as a number')
    if isinstance(value, str) and not TIME.fullmatch(value):
        raise ValueError(f'{value!r} is no time of day from "00:00" to "24:00"')
    return value


Time = Annotated[str, BeforeValidator(_time)]
"""``HH:MM``; ``24:00`` is the end of the day."""


class Window(Entity):
    """Hours on certain days (every day where none is named): from the minute ``from`` up to, not including, ``to``.

    A window whose end is not after its start runs over midnight, and belongs to the day it starts on.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    days: Annotated[
        tuple[Day, ...], Field(min_length=1), AfterValidator(lambda days: tuple(sorted(set(days), key=DAYS.index)))
    ] = DAYS
    opens: Annotated[Time, Field(alias="from")]
    closes: Annotated[Time, Field(alias="to")]

    @model_validator(mode="after")
    def _has_hours(self) -> Window:
        if self.opens == "24:00":
            raise ValueError('a window cannot start at "24:00"; write "00:00" and the day after')
        if self.opens == self.closes:
            raise ValueError('a window ends when it starts; the whole day is from "00:00" to "24:00"')
        return self


class Schedule(Entity):
    """Open in any of the windows, and always where there is none: nothing is ever closed by omission.

    A closed date is closed from midnight to midnight, whatever the windows say. The wall clock of the campaign's time
    zone decides: a window within the hour that daylight saving skips does not open that day, and one within the hour
    that comes twice opens twice.
    """

    open: tuple[Window, ...] = ()
    closed_dates: Annotated[tuple[date, ...], AfterValidator(lambda dates: tuple(sorted(set(dates))))] = ()

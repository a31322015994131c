"""What contracts are made of: moments, amounts of money, and values that never change."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _to_milliseconds(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone")
    if moment.tzinfo is UTC and not moment.microsecond % 1000:  # nearly every one, and there are two to an event
        return moment
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Timestamp = Annotated[datetime, AfterValidator(_to_milliseconds)]
"""A moment in UTC, in whole milliseconds, as Avro and ClickHouse keep it."""


Money = Annotated[
    Decimal, Field(max_digits=12, decimal_places=4, ge=0), AfterValidator(lambda m: m.quantize(Decimal("0.0001")))
]
"""An amount in the account's currency, Decimal(12, 4)."""


class Frozen(BaseModel):
    """A value: compared by content, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

"""Which suppression lists a lead is on. Pure: the lists are opened by whoever calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from schemas.config.suppression import ListField, ListKind, MatchRule, SuppressionList
from schemas.events import Lead
from schemas.reasons import Reason

REASONS = {
    ListKind.SUPPRESSION: Reason.SUPPRESSION_LISTED,
    ListKind.DO_NOT_CONTACT: Reason.DO_NOT_CONTACT_LISTED,
    ListKind.DUPLICATE_DATABASE: Reason.DUPLICATE_DATABASE,
}


class OpenedList(Protocol):
    """What can be asked who is on it."""

    @property
    def rule(self) -> MatchRule: ...

    def find(self, values: Mapping[ListField, str]) -> Mapping[tuple[ListField, ...], Sequence[int]]:
        """The fields by which a lead is listed, each with the ordinals of the rows' dates, if they have any."""
        ...


@dataclass(frozen=True, slots=True)
class ListMatch:
    """A list that a lead is on, and the fields they have in common."""

    name: str
    kind: ListKind
    fields: tuple[ListField, ...]

    @property
    def reason(self) -> Reason:
        """The reason to give."""
        return REASONS[self.kind]


def lists_matching(
    lists: Iterable[tuple[SuppressionList, OpenedList]], lead: Lead, *, vertical: str, received_at: datetime
) -> list[ListMatch]:
    """The lists that a normalised lead is on, in their order.

    A row of a list with ``days`` counts when its date is at most so many calendar days (UTC) from the lead's receipt.
    A list that needs a field the lead lacks does not match.
    """
    values = identity_of(lead)
    today = received_at.astimezone(UTC).toordinal()
    found = []
    for entity, opened in lists:
        if entity.verticals and vertical not in entity.verticals:
            continue
        for fields, days in opened.find(values).items():
            if entity.days is None or any(abs(today - day) <= entity.days for day in days):
                found.append(ListMatch(entity.name, entity.kind, fields))
                break
    return found


def identity_of(lead: Lead) -> dict[ListField, str]:
    """The values of a lead that lists compare, those it has; names whatever their case."""
    values: dict[ListField, str | None] = {
        "first_name": lead.first_name.casefold(),
        "last_name": lead.last_name.casefold(),
        "phone": lead.phone,
        "email": lead.email,
        "zip": lead.zip,
    }
    return {field: value for field, value in values.items() if value}

"""Which suppression lists a lead is on. Pure: the lists are opened by whoever calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from schemas.config.suppression import LIST_FIELDS, ListField, ListKind, MatchRule, SuppressionList
from schemas.reasons import Reason

NAMES: Final[frozenset[ListField]] = frozenset({"first_name", "last_name"})
REASONS: Final = {
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


class Lists(Protocol):
    """Opens lists. Asked for each slice: a list that was imported anew is the new one from then on."""

    def __call__(self, entities: Sequence[SuppressionList], /) -> Sequence[tuple[SuppressionList, OpenedList]]: ...


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
    lists: Iterable[tuple[SuppressionList, OpenedList]],
    texts: Mapping[str, str | None],
    *,
    vertical: str,
    received_at: datetime,
) -> list[ListMatch]:
    """The lists that a lead is on by the normalised texts of its fields, in the lists' order.

    A row of a list with ``days`` counts when its date is at most so many calendar days (UTC) from the lead's receipt.
    A list that needs a field the lead lacks does not match.
    """
    values = identity_of(texts)
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


def identity_of(texts: Mapping[str, str | None]) -> dict[ListField, str]:
    """The values of a lead that lists compare, those it has; names whatever their case."""
    values: dict[ListField, str] = {}
    for name in LIST_FIELDS:
        if text := texts.get(name):
            values[name] = text.casefold() if name in NAMES else text
    return values

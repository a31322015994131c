"""Suppression lists, do-not-contact lists and imported duplicate databases."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from schemas.config.dedup import LONGEST_WINDOW_DAYS
from schemas.config.entity import Entity, Name


class ListKind(StrEnum):
    """What being on a list means."""

    SUPPRESSION = "suppression"
    DO_NOT_CONTACT = "do_not_contact"
    DUPLICATE_DATABASE = "duplicate_database"


ListField = Literal["first_name", "last_name", "phone", "email", "zip"]
"""A field of a lead that a list can be compared by."""

LIST_FIELDS: Final[tuple[ListField, ...]] = ("first_name", "last_name", "phone", "email", "zip")


class MatchBy(StrEnum):
    """Which lead is on a list: one with a listed phone, email, either of them, or all of the rule's ``fields``."""

    PHONE = "phone"
    EMAIL = "email"
    PHONE_OR_EMAIL = "phone_or_email"
    FIELDS = "fields"


class Hashed(StrEnum):
    """What stands in the list's file: the values themselves, or the hexadecimal digest of each."""

    NONE = "none"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"


class PhoneForm(StrEnum):
    """How a phone was written when its digest was taken: 4155550100, +14155550100 or 14155550100."""

    NATIONAL = "national"
    E164 = "e164"
    INTERNATIONAL = "international"


CONTACTS: Final[dict[MatchBy, tuple[ListField, ...]]] = {
    MatchBy.PHONE: ("phone",),
    MatchBy.EMAIL: ("email",),
    MatchBy.PHONE_OR_EMAIL: ("phone", "email"),
}


class MatchRule(Entity):
    """How a lead is compared with a list. It is fixed by the import, since only keyed hashes are kept.

    ``fields`` and ``optional`` go with ``match: fields``: a lead and a row match when all fields agree, where one of
    the ``optional`` ones that either of them lacks is skipped.
    """

    match: MatchBy = MatchBy.PHONE
    hashed: Hashed = Hashed.NONE
    phone_form: PhoneForm = PhoneForm.NATIONAL
    fields: tuple[ListField, ...] = ()
    optional: tuple[ListField, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> MatchRule:
        if (self.match is MatchBy.FIELDS) != bool(self.fields):
            raise ValueError("fields go with match: fields, and match: fields needs them")
        if len(set(self.fields)) < len(self.fields):
            raise ValueError("a field is named twice")
        if not set(self.optional) <= set(self.fields):
            raise ValueError("optional fields are among the fields")
        if self.fields and set(self.optional) == set(self.fields):
            raise ValueError("at least one field is not optional: else everybody with nothing in common would match")
        if self.fields and self.hashed is not Hashed.NONE:
            raise ValueError("hashed lists match by phone, email or phone_or_email")
        return self

    @property
    def compared(self) -> tuple[ListField, ...]:
        """The fields that are compared, in a fixed order."""
        return tuple(f for f in LIST_FIELDS if f in self.fields) or CONTACTS[self.match]

    @property
    def required(self) -> frozenset[ListField]:
        """The fields without which nothing can be compared; none where any one of several is enough."""
        if self.match is MatchBy.PHONE_OR_EMAIL:
            return frozenset()
        return frozenset(self.compared) - frozenset(self.optional)


class SuppressionList(MatchRule):
    """A list in use. ``days`` counts calendar days (UTC) between a row's date and the lead's receipt, either way, and
    is for duplicate databases; without it a row never ages. Without ``verticals`` the list is for all of them."""

    name: Name
    path: Path | None = Field(default=None, description="The imported list; <home>/suppression/<name>.bin when unset.")
    kind: ListKind = ListKind.SUPPRESSION
    days: Annotated[int, Field(ge=1, le=10 * LONGEST_WINDOW_DAYS)] | None = None
    verticals: Annotated[tuple[Name, ...], AfterValidator(lambda names: tuple(sorted(set(names))))] = ()

    @model_validator(mode="after")
    def _ages(self) -> SuppressionList:
        if self.days is not None and self.kind is not ListKind.DUPLICATE_DATABASE:
            raise ValueError("days go with kind: duplicate_database")
        return self

    def file(self, home: Path) -> Path:
        """Where the imported list is."""
        return self.path or home / "suppression" / f"{self.name}.bin"

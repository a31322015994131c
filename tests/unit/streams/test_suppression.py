"""Imported suppression and duplicate databases: which lists a lead is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from kit.builders import context, lead_id, raw_fields

from connectors.suppression.importing import Request, import_list
from connectors.suppression.opening import ListFiles, open_lists
from schemas.config.placeholders import UnusableReleaseError
from schemas.config.release import Configuration
from schemas.config.suppression import ListField, ListKind, MatchBy, MatchRule, SuppressionList
from schemas.config.vertical import Vertical
from schemas.events import Lead
from schemas.raw_lead import RawArrival
from schemas.reasons import Reason
from streams.tables import Tables
from streams.validation.stage import Validation
from streams.validation.suppression import identity_of, lists_matching

SECRET = b"a secret of thirty-two bytes, ok"
RECEIVED = datetime(2026, 11, 23, 12, tzinfo=UTC)
LEAD = Lead(first_name="Ann", last_name="McLee", phone="+14155550100", email="ann@example.com", zip="94105", state="CA")


class Dated:
    """A list that the lead's phone is on, by rows of certain dates."""

    rule = MatchRule()

    def __init__(self, *dates: str) -> None:
        self.days = [date.fromisoformat(text).toordinal() for text in dates]

    def find(self, values: Mapping[ListField, str]) -> Mapping[tuple[ListField, ...], Sequence[int]]:
        return {("phone",): self.days} if values.get("phone") == LEAD.phone else {}


def test_imported_suppression_and_duplicate_database(tmp_path: Path) -> None:
    files = {
        "dnc": "phone\n(415) 555-0100\n",
        "unsubscribed": "email\nANN@example.com\n",
        "sold": "first,last,email,date\nAnn,MCLEE,ann@example.com,2026-11-01\n",
        "others": "phone\n2125550100\n",
    }
    entities = [
        SuppressionList(name="dnc", kind="do_not_contact"),
        SuppressionList(name="unsubscribed", match="email"),
        SuppressionList(name="sold", kind="duplicate_database", days=30, match="fields",
                        fields=("first_name", "last_name", "email")),
        SuppressionList(name="others"),
    ]  # fmt: skip
    for entity in entities:
        file = tmp_path / f"{entity.name}.csv"
        file.write_text(files[entity.name])
        rule = MatchRule.model_validate({name: getattr(entity, name) for name in MatchRule.model_fields})
        request = Request(entity.name, entity.kind, rule)
        import_list(file, entity.file(tmp_path), request, secret=SECRET, now=RECEIVED)
    lists = open_lists(entities, tmp_path, SECRET)
    found = lists_matching(lists, LEAD.model_dump(), vertical="solar", received_at=RECEIVED)
    assert [(match.name, match.reason, match.fields) for match in found] == [
        ("dnc", Reason.DO_NOT_CONTACT_LISTED, ("phone",)),
        ("unsubscribed", Reason.SUPPRESSION_LISTED, ("email",)),
        ("sold", Reason.DUPLICATE_DATABASE, ("first_name", "last_name", "email")),
    ]
    stranger = LEAD.model_copy(update={"phone": "+13105550100", "email": None})
    assert lists_matching(lists, stranger.model_dump(), vertical="solar", received_at=RECEIVED) == []


@pytest.mark.parametrize(
    ("dates", "matches"),
    [
        (["2026-11-23"], True),
        (["2026-10-24"], True),
        (["2026-10-23"], False),
        (["2025-01-01", "2026-11-20"], True),
        (["2025-01-01", "2026-01-01"], False),
        (["2026-12-23"], True),
        (["2026-12-24"], False),
    ],
)
def test_a_row_counts_within_days_of_the_receipt(dates: list[str], matches: bool) -> None:
    entity = SuppressionList(name="sold", kind="duplicate_database", days=30)
    found = lists_matching([(entity, Dated(*dates))], LEAD.model_dump(), vertical="solar", received_at=RECEIVED)
    assert bool(found) is matches


def test_without_days_a_row_never_ages() -> None:
    entity = SuppressionList(name="sold", kind="duplicate_database")
    for opened in (Dated("1999-01-01"), Dated()):
        assert lists_matching([(entity, opened)], LEAD.model_dump(), vertical="solar", received_at=RECEIVED)


@pytest.mark.parametrize(("verticals", "matches"), [((), True), (("solar", "roofing"), True), (("roofing",), False)])
def test_a_list_is_for_its_verticals(verticals: Any, matches: bool) -> None:
    entity = SuppressionList(name="dnc", verticals=verticals)
    assert (
        bool(lists_matching([(entity, Dated())], LEAD.model_dump(), vertical="solar", received_at=RECEIVED)) is matches
    )


def test_what_a_lead_lacks_is_not_compared() -> None:
    assert identity_of({**LEAD.model_dump(), "phone": None}) == {
        "first_name": "ann", "last_name": "mclee", "email": "ann@example.com", "zip": "94105",
    }  # fmt: skip


# In validation


def release_with(*entities: SuppressionList) -> Configuration:
    return Configuration(verticals=(Vertical(name="solar"),), buyers=(), campaigns=(), suppression_lists=entities)


def rejections(stage: Validation, release: Configuration, **changes: str) -> list[tuple[str, str, str]]:
    arrival = RawArrival(raw_fields(**changes), lead_id("a"), True, 0, RECEIVED, None)
    (output,) = stage.process([arrival], Tables(), context(release))
    return [(r.reason, r.field, r.detail) for r in getattr(output.value, "reasons", [])]


def test_row_52_imported_suppression_or_duplicate_database(tmp_path: Path) -> None:
    dnc = SuppressionList(name="dnc", kind=ListKind.DO_NOT_CONTACT)
    rule = MatchRule(match=MatchBy.FIELDS, fields=("last_name", "email", "zip"), optional=("zip",))
    sold = SuppressionList(name="sold", kind=ListKind.DUPLICATE_DATABASE, days=30, **rule.model_dump())
    for entity, content in (
        (dnc, "phone\n404-555-0123\n"),
        (sold, "last,email,zip,date\nMcDonald,ADA@example.com,,2026-11-01\n"),
    ):
        file = tmp_path / f"{entity.name}.csv"
        file.write_text(content)
        own = MatchRule.model_validate({name: getattr(entity, name) for name in MatchRule.model_fields})
        request = Request(entity.name, entity.kind, own)
        import_list(file, entity.file(tmp_path), request, secret=SECRET, now=RECEIVED)
    stage, release = Validation(lists=ListFiles(tmp_path, SECRET)), release_with(dnc, sold)
    stage.prepare(release)
    on_both = [
        (Reason.DO_NOT_CONTACT_LISTED, "dnc", "by phone"),
        (Reason.DUPLICATE_DATABASE, "sold", "by last_name, email"),
    ]
    assert rejections(stage, release) == on_both
    assert rejections(stage, release, phone="404-555-0199", email="bob@example.com") == []
    # With all the reasons there are, those of the fields first: what could be read is looked up.
    assert rejections(stage, release, first_name="", last_name="")[2:] == on_both[:1]


def test_a_list_that_nobody_can_open_lets_no_lead_through(tmp_path: Path) -> None:
    release = release_with(SuppressionList(name="dnc"))
    for stage in (Validation(), Validation(lists=ListFiles(tmp_path, SECRET))):
        with pytest.raises(UnusableReleaseError):
            stage.prepare(release)
        with pytest.raises(UnusableReleaseError):
            rejections(stage, release)

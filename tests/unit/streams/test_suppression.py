"""Imported suppression and duplicate databases: which lists a lead is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.suppression.importing import Request, import_list
from connectors.suppression.opening import open_lists
from schemas.config.suppression import ListField, MatchRule, SuppressionList
from schemas.events import Lead
from schemas.reasons import Reason
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
    found = lists_matching(lists, LEAD, vertical="solar", received_at=RECEIVED)
    assert [(match.name, match.reason, match.fields) for match in found] == [
        ("dnc", Reason.DO_NOT_CONTACT_LISTED, ("phone",)),
        ("unsubscribed", Reason.SUPPRESSION_LISTED, ("email",)),
        ("sold", Reason.DUPLICATE_DATABASE, ("first_name", "last_name", "email")),
    ]
    stranger = LEAD.model_copy(update={"phone": "+13105550100", "email": None})
    assert lists_matching(lists, stranger, vertical="solar", received_at=RECEIVED) == []


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
    found = lists_matching([(entity, Dated(*dates))], LEAD, vertical="solar", received_at=RECEIVED)
    assert bool(found) is matches


def test_without_days_a_row_never_ages() -> None:
    entity = SuppressionList(name="sold", kind="duplicate_database")
    for opened in (Dated("1999-01-01"), Dated()):
        assert lists_matching([(entity, opened)], LEAD, vertical="solar", received_at=RECEIVED)


@pytest.mark.parametrize(("verticals", "matches"), [((), True), (("solar", "roofing"), True), (("roofing",), False)])
def test_a_list_is_for_its_verticals(verticals: Any, matches: bool) -> None:
    entity = SuppressionList(name="dnc", verticals=verticals)
    assert bool(lists_matching([(entity, Dated())], LEAD, vertical="solar", received_at=RECEIVED)) is matches


def test_what_a_lead_lacks_is_not_compared() -> None:
    assert identity_of(LEAD.model_copy(update={"phone": None})) == {
        "first_name": "ann", "last_name": "mclee", "email": "ann@example.com", "zip": "94105",
    }  # fmt: skip

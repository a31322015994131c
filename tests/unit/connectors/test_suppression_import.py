"""Lists from CSV files: every row is accounted for, in any form that lists come in."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.suppression.compiled_file import SuppressionSet, read_header
from connectors.suppression.errors import SuppressionError
from connectors.suppression.importing import Account, Request, import_list
from schemas.config.suppression import ListField, ListKind, MatchRule

SECRET = b"a secret of thirty-two bytes, ok"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALL = ("first_name", "last_name", "phone", "email", "zip")


class Imported:
    """A list imported from a text."""

    def __init__(self, folder: Path, content: str | bytes, *, kind: str = "suppression", columns: Any = None,
                 date_format: str | None = None, **rule: Any) -> None:  # fmt: skip
        self.file, self.compiled = folder / "list.csv", folder / "home" / "list.bin"
        self.file.write_bytes(content.encode() if isinstance(content, str) else content)
        request = Request("list", ListKind(kind), MatchRule(**rule), columns or {}, date_format)
        self.account: Account = import_list(self.file, self.compiled, request, secret=SECRET, now=NOW)
        account = self.account
        assert account.accepted + account.duplicates + account.bad == account.rows
        self.opened = SuppressionSet.open(self.compiled, SECRET)

    def has(self, **values: str) -> bool:
        lead: dict[ListField, str] = values  # type: ignore[assignment]
        return bool(self.opened.find(lead))

    def dates(self, **values: str) -> list[date]:
        lead: dict[ListField, str] = values  # type: ignore[assignment]
        return [date.fromordinal(day) for days in self.opened.find(lead).values() for day in days]


# Columns


@pytest.mark.parametrize(
    "content",
    [
        "4155550100\n2125550100\n",
        "phone\n4155550100\n2125550100",
        "\ufeffPhone Number\r\n(415) 555-0100\r\n+1 212-555-0100\r\n",
        "id,HomePhone,name\n1,14155550100,Ann\n2,212.555.0100,Bob\n",
        "1,Ann,4155550100\n2,Bob,2125550100\n",
        "name;tel\nAnn;415 555 0100\nBob;212 555 0100\n",
        'name\tcell\n"Ann, the ""first"""\t4155550100\nBob\t"2125550100"\n',
        "cell\n\n415-555-0100\n\n\u200b2125550100\n",
    ],
)
def test_the_phone_is_found_in_any_order_with_or_without_a_header(tmp_path: Path, content: str) -> None:
    imported = Imported(tmp_path, content)
    assert (imported.account.rows, imported.account.accepted) == (2, 2)
    assert imported.has(phone="+14155550100")
    assert imported.has(phone="+12125550100")
    assert not imported.has(phone="+13105550100")
    assert not imported.has(email="ann@example.com")


def test_a_column_can_be_named_by_number_or_title(tmp_path: Path) -> None:
    content = "home_phone,mobile\n4155550100,2125550100\n"
    with pytest.raises(SuppressionError, match=r"columns 1, 2 may each be the phone; choose one with --column phone="):
        Imported(tmp_path, content)
    assert Imported(tmp_path, content, columns={"phone": "2"}).has(phone="+12125550100")
    assert Imported(tmp_path, content, columns={"phone": "Home Phone"}).has(phone="+14155550100")
    with pytest.raises(SuppressionError, match="no column 'Fax'"):
        Imported(tmp_path, content, columns={"phone": "Fax"})
    with pytest.raises(SuppressionError, match="no column 3: the first row has 2"):
        Imported(tmp_path, content, columns={"phone": "3"})
    with pytest.raises(SuppressionError, match="--column fax=… is for nothing here; columns are phone"):
        Imported(tmp_path, content, columns={"fax": "1"})


def test_no_column_that_fits(tmp_path: Path) -> None:
    with pytest.raises(SuppressionError, match=r"list\.csv: no column looks like the phone; name it with --column"):
        Imported(tmp_path, "name,city\nAnn,Rome\n")


def test_gzip_and_what_is_left_of_it(tmp_path: Path) -> None:
    packed = gzip.compress("".join(f"415555{n:04}\n" for n in range(5000)).encode())
    assert Imported(tmp_path, packed).account.accepted == 5000
    with pytest.raises(SuppressionError, match="ends early"):
        Imported(tmp_path, packed[: len(packed) // 2])


# Accounts


def test_every_row_is_accepted_a_duplicate_or_bad(tmp_path: Path) -> None:
    content = "phone,note\n4155550100,\n(415) 555-0100,\n12,\n,\n2125550100\n\n2125550100,a\n+44 20 7946 0958,\n"
    account = Imported(tmp_path, content).account
    assert (account.rows, account.accepted, account.duplicates, account.bad) == (7, 2, 2, 3)
    assert account.faults == [
        (4, "phone: not a valid North American number"),
        (5, "phone is empty"),
        (9, "phone: not a valid North American number"),
    ]


def test_only_the_first_ten_faults_are_told_and_none_quotes_a_value(tmp_path: Path) -> None:
    account = Imported(tmp_path, "phone\n4155550100\n" + "secret-value\n" * 50).account
    assert account.bad == 50
    assert [line for line, _ in account.faults] == list(range(3, 13))
    assert "secret-value" not in str(account.faults)


def test_an_unclosed_quote_takes_no_row_with_it(tmp_path: Path) -> None:
    imported = Imported(
        tmp_path, 'phone,note\n4155550100,"unclosed\n' + "".join(f"212555{n:04},\n" for n in range(3000))
    )
    assert (imported.account.accepted, imported.account.bad) == (3000, 1)
    assert imported.account.faults[0][0] == 2
    assert imported.has(phone="+12125552999")


def test_a_row_of_several_lines_is_one_row(tmp_path: Path) -> None:
    account = Imported(tmp_path, 'phone,note\n4155550100,"one\ntwo"\n12,\n2125550100,\n').account
    assert (account.rows, account.accepted) == (3, 2)
    assert account.faults[0][0] == 4


def test_a_file_without_a_good_row_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    imported = Imported(tmp_path, "4155550100\n")
    with pytest.raises(SuppressionError, match=r"no good row among 2 \(line 2: phone: not a phone number"):
        Imported(tmp_path, "phone\nx\ny\n")
    with pytest.raises(SuppressionError, match="is empty"):
        Imported(tmp_path, "")
    with pytest.raises(SuppressionError, match="UTF-16"):
        Imported(tmp_path, "phone\n4155550100".encode("utf-16"))
    assert not imported.opened.refresh()
    assert [path.name for path in imported.compiled.parent.iterdir()] == ["list.bin"]


# What lists hold


def test_emails(tmp_path: Path) -> None:
    imported = Imported(tmp_path, "Email\n Ann@Example.COM \nbob@example\nJürgen@example.com\n", match="email")
    assert imported.account.faults == [(3, "email: not an email address")]
    assert imported.has(email="ann@example.com")
    assert imported.has(email="jürgen@example.com")


@pytest.mark.parametrize("content", ["phone,email\n4155550100,ann@example.com\n,bob@example.com\n",
                                     "4155550100\nann@example.com\nbob@example.com\n"])  # fmt: skip
def test_phones_and_emails_in_columns_of_their_own_or_in_one(tmp_path: Path, content: str) -> None:
    imported = Imported(tmp_path, content, match="phone_or_email")
    assert imported.account.bad == 0
    assert imported.has(phone="+14155550100", email="other@example.com")
    assert imported.has(phone="+12125550100", email="ann@example.com")
    assert imported.has(email="bob@example.com")
    assert not imported.has(phone="+12125550100", email="other@example.com")


def test_one_wrong_value_does_not_free_the_other(tmp_path: Path) -> None:
    imported = Imported(
        tmp_path, "phone,email\n4155550100,nobody\n4155550100,ann@example.com\n", match="phone_or_email"
    )
    account = imported.account
    assert (account.accepted, account.duplicates, account.bad, account.incomplete) == (2, 0, 0, 1)
    assert account.faults == [(2, "email: not an email address")]
    assert imported.has(phone="+14155550100")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
@pytest.mark.parametrize(
    ("form", "text"), [("national", "4155550100"), ("e164", "+14155550100"), ("international", "14155550100")]
)
def test_digests_of_phones(tmp_path: Path, algorithm: str, form: str, text: str) -> None:
    digest = hashlib.new(algorithm, text.encode()).hexdigest()
    content = f"{digest.upper()}\n{digest}\n4155550100\n"
    imported = Imported(tmp_path, content, hashed=algorithm, phone_form=form)
    account = imported.account
    assert (account.accepted, account.duplicates, account.bad) == (1, 1, 1)
    assert "digest of" in account.faults[0][1]
    assert imported.has(phone="+14155550100")
    assert not imported.has(phone="+14155550101")


def test_digests_of_both_in_one_column(tmp_path: Path) -> None:
    digests = [hashlib.md5(text).hexdigest() for text in (b"4155550100", b"ann@example.com")]
    imported = Imported(tmp_path, "md5\n" + "\n".join(digests), match="phone_or_email", hashed="md5")
    assert imported.account.accepted == 2
    assert imported.has(phone="+14155550100")
    assert imported.has(email="ann@example.com")


# Duplicate databases


def test_dates_in_the_forms_they_come_in(tmp_path: Path) -> None:
    content = (
        "phone,created_at\n4155550100,2026-11-01\n4155550100,11/02/2026 10:15\n4155550100,2026-11-02T23:30:00-08:00\n"
        "4155550100,2026-11-01T08:00:00Z\n4155550100,yesterday\n4155550100,\n"
    )
    imported = Imported(tmp_path, content, kind="duplicate_database")
    account = imported.account
    assert (account.accepted, account.duplicates, account.bad) == (3, 1, 2)
    assert account.faults == [(6, "date: not a date"), (7, "date: not a date")]
    assert imported.dates(phone="+14155550100") == [date(2026, 11, day) for day in (1, 2, 3)]
    german = "phone,when\n4155550100,24.12.2025\n"
    imported = Imported(
        tmp_path, german, kind="duplicate_database", columns={"date": "when", "phone": "1"}, date_format="%d.%m.%Y"
    )
    assert imported.dates(phone="+14155550100") == [date(2025, 12, 24)]


def test_dates_are_read_for_duplicate_databases_only(tmp_path: Path) -> None:
    imported = Imported(tmp_path, "phone,date\n4155550100,never\n")
    assert not read_header(imported.compiled).dated
    assert imported.has(phone="+14155550100")


def test_all_ticked_fields_have_to_agree_and_a_missing_optional_one_is_skipped(tmp_path: Path) -> None:
    content = (
        "first,last,phone,email,zip\n"
        "Ann,Lee,4155550100,ann@example.com,94105\nBob,Ray,,bob@example.com,94105-1234\nCid,Fox,2125550100,,10001\n"
    )
    imported = Imported(
        tmp_path, content, kind="duplicate_database", match="fields", fields=ALL, optional=("phone", "email")
    )
    ann = {"first_name": "ann", "last_name": "lee", "zip": "94105"}
    assert imported.has(**ann, phone="+14155550100", email="ann@example.com")
    assert imported.has(**ann, phone="+14155550100")
    assert imported.has(**ann, email="ann@example.com")
    assert not imported.has(**ann, phone="+14155550101", email="ann@example.com")
    assert not imported.has(**ann | {"zip": "94106"}, phone="+14155550100")
    assert not imported.has(first_name="ann", phone="+14155550100")  # lacks what is not optional
    bob = {"first_name": "bob", "last_name": "ray", "zip": "94105"}
    assert imported.has(**bob, phone="+13105550100", email="bob@example.com")
    assert not imported.has(**bob, phone="+13105550100", email="rob@example.com")


def test_names_match_in_any_case(tmp_path: Path) -> None:
    imported = Imported(
        tmp_path,
        "first,last,zip\n  MARÍA  José ,de la CRUZ,94105\n",
        match="fields",
        fields=("first_name", "last_name"),
    )
    assert imported.has(first_name="maría josé", last_name="de la cruz")

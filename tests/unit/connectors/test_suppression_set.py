"""A compiled list: what was put in is found, and the file can be replaced, damaged or made with another key."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.suppression import normal_form
from connectors.suppression.compiled_file import SuppressionSet
from connectors.suppression.errors import SuppressionError
from connectors.suppression.importing import Request, import_list
from connectors.suppression.normal_form import InvalidValueError
from connectors.suppression.opening import open_lists
from schemas.config.suppression import ListKind, MatchRule, SuppressionList
from streams.validation.rules import validate

SECRET = b"a secret of thirty-two bytes, ok"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PHONES = st.integers(0, 3000).map(lambda n: f"415{200 + n // 1000}{n % 1000:04}")
DAYS = st.integers(1, 28)


def compiled(path: Path, content: str, kind: ListKind = ListKind.SUPPRESSION) -> Path:
    file = path.with_suffix(".csv")
    file.write_text(content)
    import_list(file, path, Request("list", kind, MatchRule()), secret=SECRET, now=NOW)
    return path


@settings(max_examples=60, deadline=None)
@given(st.lists(PHONES, min_size=1, max_size=400), st.lists(PHONES, max_size=50))
def test_it_agrees_with_a_set(listed: list[str], others: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        opened = SuppressionSet.open(compiled(Path(folder) / "a.bin", "\n".join(listed)), SECRET)
        assert len(opened) == len(set(listed))
        for phone in {*listed, *others}:
            assert bool(opened.find({"phone": f"+1{phone}"})) is (phone in set(listed))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PHONES, DAYS), min_size=1, max_size=300))
def test_it_agrees_with_a_set_of_dated_rows(rows: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = "phone,date\n" + "\n".join(f"{phone},2026-11-{day:02}" for phone, day in rows)
        path = compiled(Path(folder) / "a.bin", content, ListKind.DUPLICATE_DATABASE)
        opened = SuppressionSet.open(path, SECRET)
        for phone in {phone for phone, _ in rows}:
            (days,) = opened.find({"phone": f"+1{phone}"}).values()
            expected = sorted({datetime(2026, 11, day, tzinfo=UTC).toordinal() for p, day in rows if p == phone})
            assert list(days) == expected


def test_a_hundred_thousand_rows(tmp_path: Path) -> None:
    phones = [f"{200 + n % 640}{200 + n // 640}{n % 10000:04}" for n in range(100_000)]
    opened = SuppressionSet.open(compiled(tmp_path / "a.bin", "\n".join(phones)), SECRET)
    assert all(opened.find({"phone": f"+1{phone}"}) for phone in phones)
    assert not any(opened.find({"phone": f"+1{int(phone) + 9_000_000_000}"}) for phone in phones[:20_000])
    assert (tmp_path / "a.bin").stat().st_size < 10 * len(phones)


def test_no_number_and_no_plain_digest_is_in_the_file(tmp_path: Path) -> None:
    content = compiled(tmp_path / "a.bin", "4155550100\n").read_bytes()
    assert b"4155550100" not in content
    other = tmp_path / "b.bin"
    import_list(
        tmp_path / "a.csv", other, Request("list", ListKind.SUPPRESSION, MatchRule()), secret=b"b" * 32, now=NOW
    )
    assert other.read_bytes()[-8:] != content[-8:]


def test_a_replaced_list_is_seen_and_a_removed_one_stays(tmp_path: Path) -> None:
    path = compiled(tmp_path / "a.bin", "4155550100\n")
    opened = SuppressionSet.open(path, SECRET)
    assert not opened.refresh()
    compiled(path, "2125550100\n")
    assert opened.find({"phone": "+14155550100"})
    assert opened.refresh()
    assert not opened.find({"phone": "+14155550100"})
    assert opened.find({"phone": "+12125550100"})
    path.unlink()
    assert not opened.refresh()
    assert opened.find({"phone": "+12125550100"})


def test_a_damaged_replacement_leaves_the_list_open(tmp_path: Path) -> None:
    path = compiled(tmp_path / "a.bin", "4155550100\n")
    opened = SuppressionSet.open(path, SECRET)
    draft = tmp_path / "draft"
    draft.write_bytes(path.read_bytes()[:-1])
    os.replace(draft, path)
    with pytest.raises(SuppressionError, match="damaged; run `leadline suppression import` again"):
        opened.refresh()
    assert opened.find({"phone": "+14155550100"})


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    path = compiled(tmp_path / "a.bin", "4155550100\n")
    with pytest.raises(SuppressionError, match="another pseudonym key"):
        SuppressionSet.open(path, b"b" * 32)
    with pytest.raises(SuppressionError, match="No such file"):
        SuppressionSet.open(tmp_path / "none.bin", SECRET)
    for content in (b"", b"LLSUPP\x001", b"phone\n4155550100\n", path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(SuppressionError, match="no compiled list, or damaged"):
            SuppressionSet.open(path, SECRET)


def test_the_configuration_and_the_import_have_to_agree(tmp_path: Path) -> None:
    compiled(tmp_path / "suppression.bin", "4155550100\n").rename(tmp_path / "list.bin")
    same = SuppressionList(name="list", path=tmp_path / "list.bin")
    ((entity, opened),) = open_lists([same], tmp_path, SECRET)
    assert (entity, len(opened)) == (same, 1)
    with pytest.raises(SuppressionError, match="list list: match is email in the configuration, but phone in"):
        open_lists([SuppressionList(name="list", path=tmp_path / "list.bin", match="email")], tmp_path, SECRET)
    dated = SuppressionList(name="list", path=tmp_path / "list.bin", kind="duplicate_database", days=30)
    with pytest.raises(SuppressionError, match="has no dates; import it again"):
        open_lists([dated], tmp_path, SECRET)
    assert same.file(tmp_path) == tmp_path / "list.bin"
    assert SuppressionList(name="dnc").file(tmp_path) == tmp_path / "suppression" / "dnc.bin"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"match": "fields"}, "needs them"),
        ({"fields": ("phone",)}, "fields go with match"),
        ({"match": "fields", "fields": ("phone",), "optional": ("phone",)}, "at least one field is not optional"),
        ({"match": "fields", "fields": ("phone",), "optional": ("zip",)}, "among the fields"),
        ({"match": "fields", "fields": ("phone", "zip"), "hashed": "md5"}, "hashed lists match by"),
        ({"days": 30}, "days go with kind"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_rules_that_make_no_sense(options: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SuppressionList.model_validate({"name": "list"} | options)


# A row and a lead are brought into one form.


def normal(field: str, text: str) -> str | None:
    try:
        return normal_form.NORMAL_FORM[field](text)  # type: ignore[index]
    except InvalidValueError:
        return None


def validated(field: str, text: str) -> str | None:
    raw = {"first_name": "Ann", "last_name": "Lee", "zip": "94105", "phone": "4155550100", field: text}
    lead = validate(raw, NOW).lead
    return None if lead is None else getattr(lead, field)


@settings(max_examples=400, deadline=None)
@given(st.from_regex(r" ?(\+?1[-. ]?)?(\([2-9]\d\d\) ?|\d{3}[-. ]?)\d{3}[-. ]?\d{4}( ?x\d+)? ?", fullmatch=True))
def test_a_phone_that_validation_takes_is_taken_alike(text: str) -> None:
    if (expected := validated("phone", text)) is not None:
        assert normal("phone", text) == expected


@settings(max_examples=200, deadline=None)
@given(st.emails())
def test_an_email_that_validation_takes_is_taken_alike(text: str) -> None:
    if (expected := validated("email", text)) is not None:
        assert normal("email", text) == expected

"""``leadline suppression``: import, list and check, as they are typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline import main as command

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`leadline suppression …` in this process, in an empty home: exit code, output and errors, each in one line."""
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def suppression(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["leadline", "suppression", *arguments])
        code: Any = 0
        try:
            command.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, " ".join(captured.out.split()), " ".join(captured.err.split())

    return suppression


def test_a_list_is_imported_listed_and_asked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dnc.csv").write_text("phone\n4155550100\n(415) 555-0100\nnobody\n2125550100\n")
    code, out, _ = run("import", "dnc.csv", "--name", "dnc", "--kind", "do_not_contact")
    assert code == 0
    assert "2 accepted + 1 duplicates + 1 bad = 4 rows" in out
    assert "line 4: phone: not a phone number" in out
    _, out, _ = run("list")
    assert "dnc │ do_not_contact │ phone │ 2 │" in out
    assert "dnc.csv" in out
    assert run("check", "--phone", "415.555.0100")[1] == "On dnc (do_not_contact) by phone."
    assert run("check", "--phone", "310 555 0100")[1] == "On none of the imported lists."


def test_json_for_scripts(run: Run, tmp_path: Path) -> None:
    assert json.loads(run("list", "--json")[1]) == []
    (tmp_path / "sold.csv").write_text("a@b.co,2026-11-01,Ann\nx,2026-11-02,Bob\na@b.co,2026-11-03,Cid\n")
    code, out, _ = run(
        "import", "sold.csv", "--name", "sold", "--kind", "duplicate_database", "--match", "email", "--json"
    )
    assert code == 0
    told = json.loads(out)
    assert Path(told.pop("path")) == tmp_path / "home" / "suppression" / "sold.bin"
    faults = [{"line": 2, "reason": "email: not an email address"}]
    counts = {"rows": 3, "accepted": 2, "duplicates": 0, "bad": 1, "incomplete": 0}
    assert told == {"name": "sold", "faults": faults} | counts
    (listed,) = json.loads(run("list", "--json")[1])
    assert (listed["name"], listed["accepted"], listed["dated"], listed["rule"]["match"]) == ("sold", 2, True, "email")
    (match,) = json.loads(run("check", "--email", "A@B.co", "--json")[1])["matches"]
    assert match == {
        "list": "sold", "kind": "duplicate_database", "fields": ["email"], "dates": ["2026-11-01", "2026-11-03"],
    }  # fmt: skip


def test_digests_columns_and_fields(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("900150983cd24fb0d6963f7d28e17f72,d0a4a8f34c3d0c5ec3a4bb3b8a2f3b6e\n")
    assert run("import", "a.csv", "--name", "a", "--hashed", "md5")[0] == 1
    assert run("import", "a.csv", "--name", "a", "--hashed", "md5", "--column", "2")[0] == 0
    (tmp_path / "b.csv").write_text("first,phone,zip\nAnn,4155550100,94105\nBob,,94105\n")
    fields = ("--match", "fields", "--field", "first_name", "--field", "phone", "--field", "zip", "--optional", "phone")
    assert run("import", "b.csv", "--name", "b", *fields)[0] == 0
    assert run("check", "--first-name", "BOB", "--zip", "94105", "--phone", "2125550100")[1].startswith("On b ")
    assert run("check", "--first-name", "Ann", "--zip", "94105", "--phone", "2125550100")[1].startswith("On none")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("import", "none.csv", "--name", "a"), "none.csv: No such file or directory"),
        (("import", "a.csv", "--name", "../a"), "Use a-z, 0-9, - and _"),
        (
            ("import", "a.csv", "--name", "a", "--match", "fields"),
            "match: fields needs them. `leadline suppression import",
        ),
        (("import", "a.csv", "--name", "a", "--column", "phone="), "Write --column phone=3"),
        (("check",), "Give --phone or --email"),
        (("check", "--phone", "12"), "--phone: not a"),
    ],
)
def test_what_cannot_be_done(run: Run, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    (tmp_path / "a.csv").write_text("4155550100\n")
    code, _, errors = run(*arguments)
    assert code == 1
    assert told in errors


def test_a_damaged_list_is_shown_as_such(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "suppression"
    folder.mkdir(parents=True)
    (folder / "bad.bin").write_bytes(b"phone")
    assert "damaged" in run("list")[1]
    code, _, errors = run("check", "--phone", "4155550100")
    assert code == 1
    assert "`leadline suppression import` again" in errors

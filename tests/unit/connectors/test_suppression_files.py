"""The lists of a worker: opened once, taken over when they are imported anew, refused when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from kit.builders import NOW

from connectors.suppression.importing import Request, import_list
from connectors.suppression.opening import LOOK_EVERY_SECONDS, ListFiles
from schemas.config.placeholders import UnusableReleaseError
from schemas.config.suppression import ListKind, MatchBy, MatchRule, SuppressionList

SECRET = b"a secret of thirty-two bytes, ok"
DNC = SuppressionList(name="dnc")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def imported(home: Path, content: str, rule: MatchRule | None = None) -> None:
    file = home / "list.csv"
    file.write_text(content)
    request = Request("dnc", ListKind.SUPPRESSION, rule or MatchRule())
    import_list(file, DNC.file(home), request, secret=SECRET, now=NOW)


def listed(files: ListFiles, phone: str) -> bool:
    ((entity, opened),) = files([DNC])
    assert entity is DNC
    return bool(opened.find({"phone": phone}))


def test_a_list_that_is_imported_anew_is_taken_over_within_seconds(tmp_path: Path) -> None:
    clock = Clock()
    imported(tmp_path, "phone\n4155550100\n")
    files = ListFiles(tmp_path, SECRET, clock)
    assert listed(files, "+14155550100")
    imported(tmp_path, "phone\n2125550100\n")
    clock.now += LOOK_EVERY_SECONDS / 2
    assert not listed(files, "+12125550100")
    clock.now += LOOK_EVERY_SECONDS / 2
    assert listed(files, "+12125550100")
    assert not listed(files, "+14155550100")


def test_a_list_stays_when_its_file_goes_or_is_of_no_use(tmp_path: Path) -> None:
    clock = Clock()
    imported(tmp_path, "phone\n4155550100\n")
    files = ListFiles(tmp_path, SECRET, clock)
    assert listed(files, "+14155550100")
    imported(tmp_path, "email\nann@example.com\n", MatchRule(match=MatchBy.EMAIL))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            clock.now += LOOK_EVERY_SECONDS
            assert listed(files, "+14155550100")
    (told,) = logs
    assert (told["log_level"], told["list"]) == ("error", "dnc")
    assert "make them agree" in told["error"]
    DNC.file(tmp_path).unlink()
    clock.now += LOOK_EVERY_SECONDS
    assert listed(files, "+14155550100")


def test_a_list_that_is_not_imported_is_refused_until_it_is(tmp_path: Path) -> None:
    files = ListFiles(tmp_path, SECRET)
    with pytest.raises(UnusableReleaseError, match=r"list dnc: .*`leadline suppression import` makes it"):
        files([DNC])
    imported(tmp_path, "phone\n4155550100\n")
    assert listed(files, "+14155550100")

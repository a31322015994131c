"""Tokens of the embedded warehouse: what is kept of one, and who a request that shows one comes from."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from warehouse.embedded.errors import ClickHouseError
from warehouse.embedded.tokens import LOCAL, Identity, Role, TokenFileError, Tokens, add, load, main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tokens"


def basic(token: str, user: str = "default") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


def test_a_token_opens_by_basic_key_or_bearer(file: Path) -> None:
    admin, grafana = Identity(Role.ADMIN, "sink"), Identity(Role.ANALYST, "grafana")
    first, second = add(file, admin), add(file, grafana)
    tokens = load(file)
    for headers in (basic(second), basic(second, "any:one"[:3]), {"x-clickhouse-key": second}):
        assert tokens.authenticate(headers) == grafana
    assert tokens.authenticate({"authorization": f"Bearer {first}"}) == admin


def test_the_file_holds_hashes_for_its_owner_only(file: Path) -> None:
    made = add(file, Identity(Role.ANALYST, "grafana"))
    assert made not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("headers", "code", "status"),
    [
        ({}, 194, 401),
        (basic(""), 194, 401),
        ({"authorization": "Basic %%%"}, 194, 401),
        ({"x-clickhouse-key": "guess"}, 516, 403),
        (basic("guess"), 516, 403),
        ({"authorization": "Bearer gu\u00e9ss"}, 516, 403),
    ],
)
def test_no_token_and_a_wrong_one_are_refused(file: Path, headers: dict[str, str], code: int, status: int) -> None:
    add(file, Identity(Role.ADMIN, "sink"))
    with pytest.raises(ClickHouseError) as raised:
        load(file).authenticate(headers)
    assert (raised.value.code, raised.value.http_status) == (code, status)
    assert "gu" not in str(raised.value)


def test_without_tokens_everybody_here_is_local() -> None:
    assert Tokens().authenticate({}) == LOCAL
    assert not Tokens()


@pytest.mark.parametrize("line", ["root x " + "0" * 64, "admin x short", "admin x", "admin X Y " + "0" * 64])
def test_a_line_that_is_no_token_is_named(file: Path, line: str) -> None:
    add(file, Identity(Role.ADMIN, "sink"))
    file.write_text(f"# tokens\n\n{file.read_text()}{line}\n")
    with pytest.raises(TokenFileError, match="line 4"):
        load(file)


def test_a_name_is_given_once(file: Path) -> None:
    add(file, Identity(Role.ADMIN, "sink"))
    with pytest.raises(TokenFileError, match="sink"):
        add(file, Identity(Role.ANALYST, "sink"))


def test_the_command_shows_the_token_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyst", "grafana", "--file", str(file)]) == 0
    shown = capsys.readouterr()
    token = shown.out.strip()
    assert load(file).authenticate({"x-clickhouse-key": token}) == Identity(Role.ANALYST, "grafana")
    assert token not in shown.err
    assert main(["analyst", "grafana", "--file", str(file)]) == 1

"""The local warehouse's own token: made once, let in beside those of people, and shown to nobody."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadline.stack.ports import PortLeases
from leadline.stack.services import plan
from leadline.stack.state import own_state, read_state, state_file, write_state
from leadline.stack.warehouse import Warehouse, without_password
from schemas.settings import Settings
from warehouse.embedded.tokens import Identity, Role, add, load


def secret(url: str) -> str:
    return urlsplit(url).password or ""


async def test_it_is_made_once_and_opens_the_door_beside_those_of_people(tmp_path: Path) -> None:
    tokens_file = tmp_path / "warehouse.tokens"
    person = add(tokens_file, Identity(Role.ANALYST, "grafana"))
    warehouse = Warehouse(tmp_path, 8123, tokens_file)
    for _ in range(2):
        await warehouse.install()
    assert warehouse.url == Warehouse(tmp_path, 8123, tokens_file).url
    tokens = load(tokens_file)
    assert len(tokens.tokens) == 2
    assert tokens.authenticate({"x-clickhouse-key": secret(warehouse.url)}).role is Role.ADMIN
    assert tokens.authenticate({"x-clickhouse-key": person}).name == "grafana"
    assert secret(warehouse.url) not in tokens_file.read_text()
    for file in (tokens_file, tmp_path / "secrets" / "warehouse.token"):
        assert file.stat().st_mode & 0o777 == 0o600


async def test_a_new_secret_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path, 8123, tmp_path / "warehouse.tokens")
    await warehouse.install()
    (tmp_path / "secrets" / "warehouse.token").unlink()
    await warehouse.install()
    (only,) = load(tmp_path / "warehouse.tokens").tokens
    assert only.identity == Identity(Role.ADMIN, "leadline")
    assert load(tmp_path / "warehouse.tokens").authenticate({"x-clickhouse-key": secret(warehouse.url)})


@pytest.mark.parametrize("chosen", [None, "mine.tokens"])
def test_the_server_reads_the_tokens_and_the_other_services_know_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    with PortLeases() as ports:
        found = plan(Settings(home=home, clickhouse_tokens=chosen), ports, only={"warehouse", "sink"})  # type: ignore[arg-type]
    expected = home / "warehouse.tokens" if chosen is None else tmp_path / chosen
    assert found.foundations[0].env["LEADLINE_CLICKHOUSE_TOKENS"] == str(expected)
    url = found.services[0].env["LEADLINE_CLICKHOUSE_URL"]
    assert secret(url) == (home / "secrets" / "warehouse.token").read_text()


def test_it_is_in_the_state_for_the_owner_only_and_not_in_what_is_shown(tmp_path: Path) -> None:
    url = "http://leadline:secret@127.0.0.1:8123"
    write_state(tmp_path, own_state(clickhouse_url=url))
    write_state(tmp_path, own_state(clickhouse_url=url))
    assert state_file(tmp_path).stat().st_mode & 0o777 == 0o600
    state = read_state(tmp_path)
    assert state is not None
    assert state.clickhouse_url == url
    assert without_password(url) == without_password("http://127.0.0.1:8123") == "http://127.0.0.1:8123"

"""Settings come from the environment, and secrets show nowhere."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.settings import Settings

KEY = "a very secret pseudonym key"
URL = "https://analyst:opensesame@clickhouse.example:8443"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("LEADLINE_CLICKHOUSE_URL", URL)
    settings = Settings()
    assert settings.pseudonym_key is not None
    assert settings.pseudonym_key.get_secret_value() == KEY
    assert settings.clickhouse_url == URL
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert KEY not in shown
        assert "opensesame" not in shown


def test_an_error_does_not_quote_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("LEADLINE_PARTITIONS", "0")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARTITIONS", "0"),
        ("PARTITIONS", "many"),
        ("KAFKA_PORT", "70000"),
        ("CLICKHOUSE_DATABASE", "leadline; DROP"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_mistake_names_its_setting(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LEADLINE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()

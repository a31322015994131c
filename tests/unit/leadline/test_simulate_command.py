"""``leadline simulate`` over files, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kit.builders import raw_fields

from connectors.sandbox.traffic import Mix, generate
from leadline.main import app

LOCAL = Path(__file__).parents[3] / "deploy" / "local" / "config.yaml"
MIX = Mix(sellable=150, duplicates=20, invalid=10, out_of_area=10, capped=10, declined=5, malformed=3)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEADLINE_KAFKA_BOOTSTRAP", "LEADLINE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path / "home"))


@pytest.fixture
def leads(tmp_path: Path) -> Path:
    file = tmp_path / "leads.jsonl"
    file.write_bytes(b"\n".join(record.replace(b"\n", b" ") for record in generate(5, MIX).records))
    return file


@pytest.fixture
def dearer(tmp_path: Path) -> Path:
    """The demonstration's configuration, whose last resort for roofs pays more."""
    file = tmp_path / "next.yaml"
    file.write_text(LOCAL.read_text().replace('price: "30.00"', 'price: "99.00"'))
    return file


def simulate(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    app(["simulate", *map(str, arguments)], result_action="return_value")
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(simulate(capsys, *arguments, "--json"))
    return found


def test_feature_row_73_batch_run_of_existing_records_before_deploy(
    leads: Path, dearer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (leads, "--config", dearer, "--against", LOCAL, "--from", "2026-03-02")
    found = document(capsys, *arguments)
    outcomes = found["outcomes"]
    assert sum(outcome["after"] for outcome in outcomes.values()) == found["leads"] > 200
    assert all(outcome["after"] == outcome["before"] for outcome in outcomes.values())
    assert found["conserved"]
    assert float(found["by"]["campaign"]["homeward-roofing"]["change"]["revenue"]) > 0
    assert found["by"]["vertical"]["solar"]["change"]["revenue"] == "0.0000"
    assert found["answers"]["after"]["recorded"] == 0
    assert found["answers"]["after"]["model"]["nothing"] > 0
    assert found["release"] != found["against"]
    assert found["limitations"]
    assert simulate(capsys, *arguments, "--json") == simulate(capsys, *arguments, "--json")


def test_the_report_is_readable(leads: Path, dearer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = simulate(capsys, leads, "--config", dearer, "--against", LOCAL, "--from", "2026-03-02")
    for word in ("By vertical", "By source", "By buyer", "By campaign", "homeward", "nothing is on record", "warm-up"):
        assert word in shown


def test_feature_row_72_single_record_dry_run_before_going_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lead, one = raw_fields(), tmp_path / "one.jsonl"
    one.write_text(json.dumps(lead))
    shown = simulate(capsys, one, "--config", LOCAL, "--from", "2026-03-02T15:00")
    assert "2026-03-02 15:00:00 UTC" in shown
    assert "sunpath-east" in shown
    assert "filter.state" in shown
    assert "sold to" in shown or "undelivered: delivery.all_declined" in shown
    one.write_text(json.dumps(lead | {"zip": "00000", "state": ""}))
    assert "rejected: zip.unknown" in simulate(capsys, one, "--config", LOCAL)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config", LOCAL), "Which leads"),
        (("nowhere.jsonl", "--config", LOCAL), "No such file"),
        (("{leads}", "--config", LOCAL, "--against", "recorded"), "not looked up"),
        (("{leads}", "--config", LOCAL, "--warm-up", "2"), "no hours before"),
        (("{leads}", "--config", LOCAL, "--from", "2026-03-02", "--to", "2026-03-01"), "period is empty"),
        (("{leads}", "--config", "abcd1234"), "No Kafka"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(
    arguments: tuple[object, ...], said: str, leads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from leadline.errors import CommandError

    with pytest.raises(CommandError) as raised:
        simulate(capsys, *(str(argument).format(leads=leads) for argument in arguments))
    assert said in raised.value.message
    assert raised.value.hint

"""The sandbox as a real process: what it answered survives kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

CONFIG = """
buyers:
  good: {acceptance: 1.0, price: 12.5, latency_ms: [0, 2]}
  none: {acceptance: 0.0, reject_reason: full}
  known: {acceptance: 0.0, duplicates: 1.0}
  forgetful: {acceptance: 1.0, honours_idempotency_key: false}
  down: {failures: [{mode: error_503, rate: 1, first_sights: 2}]}
  broken: {failures: [{mode: error_500, rate: 1}]}
  cuts: {failures: [{mode: cut, rate: 1}]}
  lies: {failures: [{mode: lying_500, rate: 1}]}
  slow: {hang_seconds: 0.5, failures: [{mode: timeout, rate: 1}]}
"""


@contextmanager
def sandbox(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    (folder / "sandbox.yaml").write_text(CONFIG)
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "connectors.sandbox", "--port", "0"]
    command += ["--config", str(folder / "sandbox.yaml"), "--journal", str(folder / "journal.jsonl")]
    process = subprocess.Popen(command, env={**os.environ, "LEADLINE_READY_FILE": str(ready)})
    try:
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert process.poll() is None, "the sandbox ended"
            assert time.monotonic() < deadline, "the sandbox is not ready"
            time.sleep(0.01)
        with httpx2.Client(base_url=json.loads(ready.read_text())["url"]) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()


def post(client: httpx2.Client, buyer: str, key: str, **lead: Any) -> httpx2.Response:
    return client.post(f"/buyers/{buyer}/leads", headers={"Idempotency-Key": key}, json={"lead_id": f"L-{key}", **lead})


def totals(client: httpx2.Client, buyer: str) -> dict[str, int]:
    return client.get("/received", params={"buyer": buyer}).json()["buyers"][buyer]


def test_answers_are_kept_across_kill_9(tmp_path: Path) -> None:
    with sandbox(tmp_path) as (process, client):
        first = post(client, "good", "k1", phone="+14045550100").json()
        assert first == {"status": "accepted", "reference": first["reference"], "reason": None, "price": 12.5}
        assert post(client, "none", "k1").json()["reason"] == "full"
        assert post(client, "known", "k1").json()["status"] == "duplicate"
        assert post(client, "down", "k1").status_code == 503
        process.kill()
        process.wait()
    # A record torn by the kill was never answered.
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"buyer":"good","idempotency_key":"to')
    with sandbox(tmp_path) as (_, client):
        assert post(client, "good", "k1").json() == first
        assert totals(client, "good") == {"requests": 2, "leads": 1, "accepted": 1, "rejected": 0, "duplicate": 0}
        assert post(client, "down", "k1").status_code == 503, "the second sight of two that fail"
        assert post(client, "down", "k1").json()["status"] == "accepted"
        assert totals(client, "down") == {"requests": 3, "leads": 1, "accepted": 1, "rejected": 0, "duplicate": 0}
        arrivals = client.get("/received").json()["arrivals"]
        assert [(a["buyer"], a["arrival"], a["status"]) for a in arrivals] == [
            ("good", 1, "accepted"),
            ("none", 1, "rejected"),
            ("known", 1, "duplicate"),
            ("down", 1, "failed"),
            ("good", 2, "accepted"),
            ("down", 2, "failed"),
            ("down", 3, "accepted"),
        ]
        assert arrivals[0]["lead_id"] == "L-k1"
    assert "4045550100" not in (tmp_path / "journal.jsonl").read_text()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with sandbox(tmp_path_factory.mktemp("sandbox")) as (_, client):
        yield client


def test_cut_records_and_says_nothing(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        post(client, "cuts", "c1")
    assert totals(client, "cuts")["leads"] == 1
    assert post(client, "cuts", "c1").json()["status"] == "accepted"
    assert totals(client, "cuts") == {"requests": 2, "leads": 1, "accepted": 1, "rejected": 0, "duplicate": 0}


def test_lying_500_records_an_acceptance(client: httpx2.Client) -> None:
    assert post(client, "lies", "l1").status_code == 500
    assert totals(client, "lies")["accepted"] == 1
    assert post(client, "lies", "l1").json()["status"] == "accepted"
    assert totals(client, "lies")["leads"] == 1


def test_error_500_records_nothing(client: httpx2.Client) -> None:
    assert post(client, "broken", "b1").status_code == 500
    assert totals(client, "broken") == {"requests": 1, "leads": 0, "accepted": 0, "rejected": 0, "duplicate": 0}


def test_timeout_records_and_answers_late(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        client.post("/buyers/slow/leads", headers={"Idempotency-Key": "s1"}, json={}, timeout=0.1)
    assert totals(client, "slow")["leads"] == 1
    assert post(client, "slow", "s1").json()["status"] == "accepted"


def test_a_buyer_that_ignores_keys_takes_every_arrival_as_a_lead(client: httpx2.Client) -> None:
    references = {post(client, "forgetful", "f1").json()["reference"] for _ in range(3)}
    assert len(references) == 3
    assert totals(client, "forgetful")["leads"] == 3


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\N{LATIN SMALL LETTER E WITH ACUTE}".encode()])
def test_a_bad_key_is_refused(client: httpx2.Client, key: str | bytes) -> None:
    assert client.post("/buyers/good/leads", headers={"Idempotency-Key": key}, json={}).status_code == 400  # type: ignore[dict-item]


def test_bad_requests_are_refused(client: httpx2.Client) -> None:
    key = {"Idempotency-Key": "bad"}
    assert client.post("/buyers/good/leads", json={}).status_code == 400
    assert client.post("/buyers/nobody/leads", headers=key, json={}).status_code == 404
    for body in (b"[]", b"{", b"", b"\xff", b"[" * 100_000):
        assert client.post("/buyers/good/leads", headers=key, content=body).status_code == 400
    assert client.get("/received", params={"buyer": "nobody"}).status_code == 404
    assert client.get("/healthz").json() == {"status": "ok"}
    assert "arrivals" not in client.get("/received?arrivals=none").json()


def test_sigterm_ends_it_cleanly_and_a_journal_has_one_owner(tmp_path: Path) -> None:
    with sandbox(tmp_path) as (process, client):
        post(client, "good", "k1")
        command = [sys.executable, "-m", "connectors.sandbox", "--port", "0"]
        command += ["--config", str(tmp_path / "sandbox.yaml"), "--journal", str(tmp_path / "journal.jsonl")]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (second.returncode, "another sandbox" in second.stderr) == (1, True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "sandbox.yaml").write_text(CONFIG)
    (tmp_path / "journal.jsonl").write_text("nonsense\n")
    command = [sys.executable, "-m", "connectors.sandbox", "--port", "0"]
    command += ["--config", str(tmp_path / "sandbox.yaml"), "--journal", str(tmp_path / "journal.jsonl")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "line 1 is no arrival" in ended.stderr

"""The keys of sources at the intake: who may post in whose name, and what a post without a key may say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest

from connectors.inbound.intake import LeadMessage, create_app
from schemas.config.source import Source, key_hash

ACME = Source(id="acme", keys=(key_hash("old"), key_hash("acme-key")))
BOLT = Source(id="bolt", keys=(key_hash("bolt-key"),))
OPEN = Source(id="open")


class Intake:
    """An intake whose sources may change, and what it has stored."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources
        self.stored: list[LeadMessage] = []
        self._app = create_app(self._publish, sources=lambda: self.sources)

    async def _publish(self, messages: Sequence[LeadMessage]) -> None:
        self.stored += messages

    async def post(self, body: object, **headers: str) -> httpx2.Response:
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self._app), base_url="http://intake"
        ) as client:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.post("/leads", json=body, headers=names)

    @property
    def leads(self) -> list[dict[str, Any]]:
        return [json.loads(message.value) for message in self.stored]


@pytest.mark.parametrize(
    "headers", [{"X_Api_Key": "acme-key"}, {"X_Api_Key": "old"}, {"Authorization": "bearer acme-key"}]
)
async def test_the_key_says_whose_lead_it_is(headers: dict[str, str]) -> None:
    intake = Intake(ACME, BOLT)
    body = [{"zip": "1"}, {"source": " "}, {"source": None}, {"source": "ACME "}]
    assert (await intake.post(body, **headers)).status_code == 202
    assert [lead["source"] for lead in intake.leads] == ["acme", "acme", "acme", "ACME "]


@pytest.mark.parametrize(
    ("sources", "named", "headers", "status"),
    [
        ((), "any", {}, 202),
        ((), "any", {"X_Api_Key": "whatever"}, 202),
        ((OPEN,), "open", {}, 202),
        ((ACME, BOLT), "acme", {}, 401),
        ((ACME, BOLT), "", {}, 401),
        ((ACME, BOLT), "acme", {"X_Api_Key": "wrong"}, 401),
        ((ACME, BOLT), "acme", {"X_Api_Key": ""}, 401),
        ((ACME, BOLT), "acme", {"X_Api_Key": "x" * 5000}, 401),
        ((ACME, BOLT), "acme", {"Authorization": "Basic YWNtZS1rZXk="}, 401),
        ((ACME, BOLT), "acme", {"Authorization": "Bearer "}, 401),
        ((ACME, BOLT), "acme", {"X_Api_Key": "acme-key", "Authorization": "Bearer bolt-key"}, 401),
        ((ACME, BOLT), "acme", {"X_Api_Key": "acme-key", "Authorization": "Bearer acme-key"}, 202),
        ((ACME, BOLT), "bolt", {"X_Api_Key": "acme-key"}, 403),
        ((ACME, BOLT), "nobody", {"X_Api_Key": "acme-key"}, 403),
        ((ACME, OPEN), "open", {}, 202),
        ((ACME, OPEN), "nobody", {}, 202),  # validation says that it is not known
        ((ACME, OPEN), "Acme", {}, 401),
        ((ACME, OPEN), "open", {"X_Api_Key": "wrong"}, 401),
        ((ACME, OPEN), "open", {"X_Api_Key": "acme-key"}, 403),
    ],
)
async def test_who_may_post_in_whose_name(
    sources: tuple[Source, ...], named: str, headers: dict[str, str], status: int
) -> None:
    intake = Intake(*sources)
    answer = await intake.post({"source": named}, **headers)
    assert (answer.status_code, len(intake.stored)) == (status, status == 202)
    assert (answer.headers.get("www-authenticate") == "Bearer") is (status == 401)
    assert "key" in answer.json()["detail"] if status != 202 else True


async def test_one_lead_of_another_source_refuses_the_whole_post() -> None:
    intake = Intake(ACME, BOLT)
    answer = await intake.post([{}, {"source": "bolt"}], X_Api_Key="acme-key")
    assert (answer.status_code, intake.stored) == (403, [])
    assert answer.json()["detail"] == "lead 2 of 2: This is the key of source acme, and the lead names another one."


@pytest.mark.parametrize("named", [["acme"], {"acme": 1}, 12, True])
async def test_a_source_that_is_no_text_is_none_of_the_keys(named: object) -> None:
    assert (await Intake(ACME, OPEN).post({"source": named}, X_Api_Key="acme-key")).status_code == 403


async def test_what_is_no_text_is_the_source_that_the_log_s_readers_see() -> None:
    assert (await Intake(Source(id="true", keys=(key_hash("k"),)), OPEN).post({"source": True})).status_code == 401


async def test_equal_idempotency_keys_of_two_sources_are_different_leads() -> None:
    intake = Intake(ACME, BOLT)
    for key in ("acme-key", "bolt-key", "acme-key"):
        await intake.post({}, X_Api_Key=key, Idempotency_Key="1")
    first, other, again = (message.lead_id for message in intake.stored)
    assert first == again != other


async def test_sources_are_those_of_the_configuration_in_force() -> None:
    intake = Intake(ACME)
    assert (await intake.post({}, X_Api_Key="bolt-key")).status_code == 401
    intake.sources = (ACME, BOLT)
    assert (await intake.post({}, X_Api_Key="bolt-key")).status_code == 202

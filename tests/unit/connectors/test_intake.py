"""The HTTP intake: nothing is acknowledged that is not stored, and no body crashes it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.inbound.intake import BrokerUnavailableError, LeadMessage, create_app

ID = "8c7e6d5f-0b1a-4c2d-9e3f-5a6b7c8d9e0f"
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Log:
    """Stands for the broker; fails as told, before storing anything."""

    def __init__(self) -> None:
        self.stored: list[LeadMessage] = []
        self.failure: Exception | None = None

    async def publish(self, messages: Sequence[LeadMessage]) -> None:
        if self.failure:
            raise self.failure
        self.stored += messages


@pytest.fixture
def broker() -> Log:
    return Log()


def client_of(broker: Log, **options: int) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=create_app(broker.publish, **options))
    return httpx2.AsyncClient(transport=transport, base_url="http://intake")


@pytest.fixture
async def client(broker: Log) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(broker) as client:
        yield client


async def test_an_object_is_stored_and_acknowledged(client: httpx2.AsyncClient, broker: Log) -> None:
    answer = await client.post("/leads", json={"first_name": "José", "zip": "02134"})
    assert answer.status_code == 202
    (message,) = broker.stored
    assert answer.json() == {"leads": [{"lead_id": message.lead_id}], "accepted": 1}
    assert UUID(message.lead_id).version == 4
    assert json.loads(message.value) == {"lead_id": message.lead_id, "first_name": "José", "zip": "02134"}


async def test_its_own_lead_id_comes_first_then_the_key(client: httpx2.AsyncClient, broker: Log) -> None:
    body = [{"lead_id": ID.upper()}, {"a": 1}, {"lead_id": None}]
    answers = [await client.post("/leads", json=body, headers={"Idempotency-Key": key}) for key in ("k", "k", "l")]
    first, again, other = ([lead["lead_id"] for lead in answer.json()["leads"]] for answer in answers)
    assert first == again
    assert first[0] == other[0] == ID
    assert len({*first, *other}) == 5
    assert [message.lead_id for message in broker.stored] == [*first, *again, *other]
    assert all(json.loads(message.value)["lead_id"] == message.lead_id for message in broker.stored)


async def test_a_form_post_is_a_lead(client: httpx2.AsyncClient, broker: Log) -> None:
    body = "first_name=Jos%C3%A9&last_name=O%27Neil+Jr&phone=&want=solar&want=roof"
    answer = await client.post(
        "/leads", content=body, headers=FORM | {"content-type": FORM["content-type"] + "; charset=UTF-8"}
    )
    assert answer.status_code == 202
    (message,) = broker.stored
    assert json.loads(message.value) == {
        "lead_id": message.lead_id,
        "first_name": "José",
        "last_name": "O'Neil Jr",
        "phone": "",
        "want": ["solar", "roof"],
    }


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"", JSON, "not JSON"),
        (b'{"phone":"secret"', JSON, "not JSON"),
        (b'"secret"', JSON, "not a JSON object"),
        (b"\xff\xfe", JSON, "not UTF-8"),
        (b"[]", JSON, "1 to 1,000"),
        (b"[" + b"{}," * 1000 + b"{}]", JSON, "1 to 1,000"),
        (b'[{},"secret"]', JSON, "lead 2 of 2: not a JSON object"),
        (b'{"lead_id":"secret"}', JSON, "lead_id is no UUID"),
        (f'[{{"lead_id":"{ID}"}},{{"lead_id":"{ID}"}}]'.encode(), JSON, "lead 2 of 2: lead_id stands on"),
        (b"[" * 500_000, JSON, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON, "nested too deeply"),
        (b'{"a":Infinity}', JSON, "not JSON"),
        (b'{"a":"\\udfff"}', JSON, "surrogate"),
        (b"", FORM, "no fields"),
        (b"name=%ff", FORM, "percent-encoded"),
        ("name=José".encode(), FORM, "percent-encoded"),
        (b"a=1&" * 1001, FORM, "more than 1,000 fields"),
        (b"lead_id=secret", FORM, "lead_id is no UUID"),
        (b"{}", JSON | {"idempotency-key": ""}, "Idempotency-Key"),
        (b"{}", JSON | {"idempotency-key": "k" * 256}, "Idempotency-Key"),
    ],
)
async def test_what_is_no_lead_is_refused_clearly(
    client: httpx2.AsyncClient, broker: Log, body: bytes, headers: dict[str, str], message: str
) -> None:
    answer = await client.post("/leads", content=body, headers=headers)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]
    assert "secret" not in answer.text
    assert broker.stored == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"content-type": "text/plain"}, {"content-type": "multipart/form-data"}, JSON | {"content-encoding": "gzip"}],
)
async def test_other_content_types_are_refused(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    assert (await client.post("/leads", content=b"{}", headers=headers)).status_code == 415


async def test_the_limit_counts_declared_and_chunked_bodies(broker: Log) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 10

    async with client_of(broker, max_body_bytes=100) as client:
        assert (await client.post("/leads", content=b"{}" + b" " * 99, headers=JSON)).status_code == 413
        assert (await client.post("/leads", content=b"{}" + b" " * 98, headers=JSON)).status_code == 202
        assert (await client.post("/leads", content=chunks(), headers=JSON)).status_code == 413
        assert (
            await client.post("/leads", content=b"{}", headers=JSON | {"content-length": "9" * 5000})
        ).status_code == 413
    assert sent < 20
    assert len(broker.stored) == 1


async def test_an_unavailable_broker_is_said_with_when_to_retry(client: httpx2.AsyncClient, broker: Log) -> None:
    broker.failure = BrokerUnavailableError(2.2)
    answer = await client.post("/leads", json={"phone": "secret"}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    broker.failure = None
    assert (await client.post("/leads", json={"phone": "x"}, headers={"Idempotency-Key": "k"})).status_code == 202


async def test_any_other_failure_is_no_acknowledgement_and_leaks_nothing(
    client: httpx2.AsyncClient, broker: Log, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.failure = ValueError("cannot send secret-555")
    with caplog.at_level(logging.DEBUG):
        answer = await client.post("/leads", json={"phone": "secret-555"})
    assert answer.status_code == 500
    written = capsys.readouterr()
    assert "secret" not in answer.text + caplog.text + written.out + written.err
    assert "ValueError" in written.out + caplog.text


async def test_health_and_description(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert "requestBody" in (await client.get("/openapi.json")).json()["paths"]["/leads"]["post"]
    assert (await client.get("/leads")).status_code == 405


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(
    st.binary(max_size=200) | documents.map(lambda document: json.dumps(document).encode()),
    st.sampled_from([JSON, FORM]),
)
async def test_every_body_gets_an_answer_and_202_means_stored(body: bytes, headers: dict[str, Any]) -> None:
    broker = Log()
    async with client_of(broker) as client:
        answer = await client.post("/leads", content=body, headers=headers)
    assert answer.status_code in (202, 400)
    assert len(broker.stored) == (answer.json()["accepted"] if answer.status_code == 202 else 0)

"""The sandbox buyers' HTTP endpoints: ``POST /buyers/{buyer}/leads``, ``GET /received``, ``GET /healthz``."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from connectors.sandbox.behaviour import Answer, Mode, SandboxConfig, Status, answer
from connectors.sandbox.journal import Arrival, Journal

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_LEAD_ID: Final = 128


class Ledger:
    """What every buyer received: the journal's content, held in memory."""

    def __init__(self, config: SandboxConfig, journal: Journal) -> None:
        """Read what earlier runs received.

        Raises:
            JournalError: the journal is damaged.
        """
        self._config = config
        self._journal = journal
        self._arrivals: list[Arrival] = []
        self._sights: Counter[tuple[str, str]] = Counter()
        self._known: dict[tuple[str, str], Answer] = {}
        self._totals: dict[str, Counter[str]] = {name: Counter() for name in config.buyers}
        for arrival in journal.load():
            self._remember(arrival)

    def receive(self, name: str, key: str, lead_id: str | None, at: datetime) -> tuple[Arrival, float]:
        """Decide about an arrival and write it down; returns it and how long the buyer takes, in milliseconds.

        Raises:
            OSError: it cannot be written down; nothing is recorded.
        """
        buyer = self._config.buyers[name]
        sights = self._sights[name, key] + 1
        decision = answer(name, buyer, key, sights)
        # The recorded answer wins over the decision: the configuration may have changed since.
        known = self._known.get((name, key)) if buyer.honours_idempotency_key else None
        told = (known or decision.answer) if decision.records else None
        arrival = Arrival(
            buyer=name,
            idempotency_key=key,
            lead_id=lead_id,
            arrival=sights,
            at=at.isoformat(timespec="microseconds"),
            answer=told,
            new=told is not None and known is None,
            failure=decision.failure,
        )
        self._journal.append(arrival)
        self._remember(arrival)
        return arrival, decision.latency_ms

    def totals(self, names: Iterable[str]) -> dict[str, dict[str, int]]:
        """Requests, and distinct recorded leads with their answers, of each buyer."""
        kinds = ("requests", "leads", *Status)
        return {name: {str(kind): self._totals[name][kind] for kind in kinds} for name in names}

    def arrivals(self, names: Iterable[str]) -> list[dict[str, object]]:
        """Every arrival at these buyers, in order."""
        wanted = set(names)
        return [arrival.to_json() for arrival in self._arrivals if arrival.buyer in wanted]

    @property
    def names(self) -> list[str]:
        """Every buyer that is configured or has received something."""
        return list(self._totals)

    def _remember(self, arrival: Arrival) -> None:
        place = arrival.buyer, arrival.idempotency_key
        self._arrivals.append(arrival)
        self._sights[place] += 1
        totals = self._totals.setdefault(arrival.buyer, Counter())
        totals["requests"] += 1
        if arrival.new and arrival.answer:
            totals["leads"] += 1
            totals[arrival.answer.status] += 1
            self._known[place] = arrival.answer


def create_app(config: SandboxConfig, journal: Journal) -> web.Application:
    """The sandbox as an aiohttp application.

    Raises:
        JournalError: the journal is damaged.
    """
    ledger = Ledger(config, journal)

    async def post_lead(request: web.Request) -> web.StreamResponse:
        name = request.match_info["buyer"]
        if name not in config.buyers:
            return _error(404, "no such buyer")
        key = request.headers.get("Idempotency-Key", "")
        if not _KEY.fullmatch(key):
            return _error(400, "header Idempotency-Key must have 1 to 255 visible ASCII characters")
        try:
            lead = json.loads(await request.read())
        except (ValueError, RecursionError):
            lead = None
        if not isinstance(lead, dict):
            return _error(400, "the body must be a JSON object")
        arrival, latency_ms = ledger.receive(name, key, _lead_id(lead), datetime.now(UTC))
        hang_seconds = config.buyers[name].hang_seconds if arrival.failure is Mode.TIMEOUT else 0.0
        await asyncio.sleep(latency_ms / 1000 + hang_seconds)
        return _response(request, arrival)

    async def received(request: web.Request) -> web.Response:
        name = request.query.get("buyer")
        if name is not None and name not in ledger.names:
            return _error(404, "no such buyer")
        names = ledger.names if name is None else [name]
        content: dict[str, object] = {"buyers": ledger.totals(names)}
        # Totals alone are cheap enough to poll while leads arrive.
        if request.query.get("arrivals") != "none":
            content["arrivals"] = ledger.arrivals(names)
        return web.json_response(content)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_post("/buyers/{buyer}/leads", post_lead)
    app.router.add_get("/received", received)
    app.router.add_get("/healthz", healthz)
    return app


def _response(request: web.Request, arrival: Arrival) -> web.StreamResponse:
    if arrival.failure is Mode.CUT:
        if request.transport is not None:
            request.transport.close()
        return web.Response()
    if arrival.answer is None or arrival.failure is Mode.LYING_500:
        return _error(503 if arrival.failure is Mode.ERROR_503 else 500, "something went wrong")
    told = arrival.answer
    return web.json_response(
        {"status": told.status, "reference": told.reference, "reason": told.reason, "price": told.price}
    )


def _lead_id(lead: dict[str, object]) -> str | None:
    lead_id = lead.get("lead_id")
    return lead_id if isinstance(lead_id, str) and len(lead_id) <= _MAX_LEAD_ID else None


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)

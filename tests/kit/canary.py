"""Marked personal data: who the canaries are, how their marks are spelled, what finds them, and buyers that echo them.

Each kind of data has a mark of its own, so that a find says what leaked; names and numbers tell whose it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from uuid import UUID, uuid5

import yaml

from schemas.identity import LEADS_NAMESPACE

ZIPS: Final = {
    "CA": "94105", "GA": "30303", "HI": "96813", "NY": "10001", "TX": "77002", "FL": "33101", "WY": "82001",
}  # fmt: skip
REFERENCE: Final = "linnetref"
"""What a buyer puts into its reference: no mark, since the reference is the buyer's own word."""

_MARKS: Final = {
    "first name": rb"wrenfirst[a-z]+",
    "last name": rb"finchlast[a-z]+",
    "email": rb"siskinmail\W{0,3}[a-z]+",
    "address": rb"serinstreet[a-z]+",
    "free text": rb"ortolannote[a-z]+",
    "ip": rb"198\.51\.100\.\d+",
    "phone": rb"40[45]\W{0,3}277\W{0,2}10\d\d",
}
_DIGEST: Final = re.compile(rb"[0-9a-f]{32,64}")


@dataclass(frozen=True)
class Canary:
    """A person. ``number`` is below 100; a ``name`` stands for what becomes of the lead."""

    name: str
    number: int
    state: str = "CA"

    @property
    def code(self) -> str:
        return chr(97 + self.number // 26) + chr(97 + self.number % 26)

    @property
    def lead_id(self) -> UUID:
        return uuid5(LEADS_NAMESPACE, f"canary {self.name}")

    @property
    def phone(self) -> str:
        """E.164."""
        return f"+140427710{self.number:02}"

    @property
    def email(self) -> str:
        """As people type it."""
        return f"Siskinmail.{self.code}@Mail.Example.com"

    @property
    def spellings(self) -> list[str]:
        """The same phone and email in every way that somebody on the path may write them. A plain hash is one: trying
        all phones undoes it."""
        area, exchange, line = self.phone[2:5], self.phone[5:8], self.phone[8:]
        phones = [self.phone, self.phone[1:], self.phone[2:]]
        emails = [self.email, self.email.lower()]
        hashes = [
            hashlib.new(name, text.encode()).hexdigest()
            for name in ("md5", "sha1", "sha256")
            for text in (*phones, *emails)
        ]
        dashed, dotted = f"{area}-{exchange}-{line}", f"{area}.{exchange}.{line}"
        return [*phones, dashed, dotted, f"{area} {exchange} {line}", f"({area}) {exchange}-{line}", *emails, *hashes]

    def fields(self, **changes: Any) -> dict[str, Any]:
        """The raw lead; a field that is None is left out."""
        whole = {
            "lead_id": str(self.lead_id),
            "vertical": "solar",
            "source": "quoteharbor",
            "first_name": f"Wrenfirst{self.code}",
            "last_name": f"McFinchlast{self.code}",
            "phone": f"({self.phone[2:5]}) {self.phone[5:8]}-{self.phone[8:]}",
            "email": self.email,
            "zip": ZIPS[self.state],
            "state": self.state,
            "address": f"7 Serinstreet{self.code} Road",
            "comments": f"Ortolannote{self.code}: call me at {self.phone}",
            "ip_address": f"198.51.100.{self.number}",
        } | changes
        return {name: value for name, value in whole.items() if value is not None}


class Finder:
    """Finds marks of canaries in bytes, whatever their case."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self._patterns = {kind: re.compile(pattern) for kind, pattern in _MARKS.items()}
        self._hashes = {s.encode() for canary in canaries for s in canary.spellings if _DIGEST.fullmatch(s.encode())}

    def marks(self, data: bytes) -> set[str]:
        """The marks in there, each as ``kind: mark``."""
        lowered = data.lower()
        found = {(kind, mark) for kind, pattern in self._patterns.items() for mark in pattern.findall(lowered)}
        found |= {("hash", digest) for digest in _DIGEST.findall(lowered) if digest in self._hashes}
        return {f"{kind}: {mark.decode()}" for kind, mark in found}

    def kinds(self, data: bytes) -> set[str]:
        """The kinds of what is in there."""
        return {mark.partition(":")[0] for mark in self.marks(data)}


# Buyers, each by what stands in the path of its URL: the states it buys in, and its place in the waterfall there.
_BUYERS: Final[Mapping[str, tuple[list[str], int]]] = {
    "accepts": (["CA", "GA"], 4),
    "refuses": (["GA"], 1),
    "redirects": (["GA"], 2),
    "fails": (["GA"], 3),
    "declines": (["HI"], 1),
    "knows": (["HI"], 2),
    "garbles": (["NY"], 1),
    "babbles": (["TX"], 1),
    "quotes": (["FL"], 1),
}


def configuration(buyers_url: str) -> str:
    """The YAML of a release in which leads can come to every end, by their state."""
    campaigns: list[dict[str, Any]] = [
        {
            "id": name, "buyer": name, "vertical": "solar", "states": states, "priority": priority, "price": "10.00",
            "delivery": {
                "url": f"{buyers_url}/{name}", "timeout_seconds": 3, "retry_seconds": 0, "idempotent": False,
            },
        }
        for name, (states, priority) in _BUYERS.items()
    ]  # fmt: skip
    # What these compare is personal: nothing that tells why they were not asked may show it.
    accepts = campaigns[0]
    campaigns += [
        accepts | {"id": "afar", "zips": ["94999"]},
        accepts | {"id": "picky", "filters": [{"name": "quiet", "unless": "comments.contains('Ortolannote')"}]},
    ]
    fields = [
        {"name": "comments", "type": "text", "required": True},
        {"name": "home", "type": "choice", "choices": {"own": [], "rent": []}},
        {"name": "born", "type": "date"},
        {"name": "bill", "type": "money", "maximum": 5000},
        {"name": "badge", "type": "text", "pattern": "[0-9]{3}"},
    ]
    solar = {
        "name": "solar",
        "fields": fields,
        "filters": [{"name": "terse", "reject_unless": "size(comments) < 200"}],
        "test_zips": ["99999"],
        "dedup": [{"fields": ["person"], "days": 30}, {"fields": ["email"], "days": 30}],
    }
    route = {
        "id": "main", "vertical": "solar", "groups": [{"name": "all"}],
        "unsold": {"hold": {"recheck_minutes": 1440, "maximum_age_hours": 24}},
    }  # fmt: skip
    buyers = [{"id": name, "name": name} for name in _BUYERS]
    return yaml.safe_dump({"verticals": [solar], "buyers": buyers, "campaigns": campaigns, "routes": [route]})


class _Buyers(BaseHTTPRequestHandler):
    """Says back whatever it was told, in every place that an answer has."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        lead = json.loads(body)
        echo = f"{lead['first_name']} {lead['last_name']} {lead['phone']} {lead['email']}"
        told = {"reason": echo, "message": body, "lead": lead}
        match self.path.strip("/"):
            case "accepts":
                self._say(200, {"status": "accepted", "reference": f"R-{lead['lead_id'][:8]}", **told}, echo)
            case "quotes":
                self._say(200, {"status": "accepted", "reference": f"{REFERENCE}-{lead['lead_id'][:8]}", **told}, echo)
            case "declines":
                self._say(200, {"status": "rejected", **told}, echo)
            case "knows":
                self._say(200, {"status": "duplicate", **told}, echo)
            case "refuses":
                self._say(400, told, echo)
            case "redirects":
                self._say(302, told, echo, Location=f"/found?phone={lead['phone']}&email={lead['email']}")
            case "fails":
                self._say(503, told, echo, **{"Retry-After": echo})
            case "babbles":
                self._say(200, echo, echo)
            case _:
                self.wfile.write(f"HTTP/1.1 {echo}\r\n{echo}\r\n\r\n{body}".encode())
                self.close_connection = True

    def _say(self, status: int, document: object, echo: str, **headers: str) -> None:
        body = json.dumps(document).encode()
        self.send_response(status, echo)
        for name, value in {**headers, "X-Echo": echo, "Set-Cookie": f"lead={echo}"}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f'application/json; name="{echo}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Nothing: these are not the logs that are searched."""


@contextmanager
def echoing_buyers() -> Iterator[str]:
    """Serve the buyers of :func:`configuration` on loopback; their URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Buyers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

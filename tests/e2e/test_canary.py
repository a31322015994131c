"""The canary: marked personal data goes through the whole stack, by every way a lead can take, and is then looked for
everywhere. It is in ``contacts``, in the topics that the catalogue names for it, and nowhere else.

Two things are the sender's and the buyer's own word and are kept as such: a ``source`` that looks like a name, and a
buyer's ``reference``. Marks in a source here are what no name looks like; the reference has a test of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from kit.canary import REFERENCE, Canary, Finder, configuration, echoing_buyers
from kit.events import event
from kit.full_stack import FullStack, full_stack, wait_until

from connectors.kafka import clients
from connectors.kafka.producer import AckedProducer
from leadline.stack.services import WORKERS
from schemas import topics
from schemas.codec import encode
from schemas.events import Feedback, Lead, Offer
from streams.topology import all_topics
from warehouse.client import connect
from warehouse.tables.body import REFUSED
from warehouse.tables.feedback import FREE_TEXT

pytestmark = pytest.mark.stack

Headers = tuple[tuple[str, bytes], ...]
ENDLESS = ("SystemNumbers", "SystemZeros", "SystemGenerateSeries", "SystemPrimes", "GenerateRandom")
PRINTED = ("SystemUnicode", "SystemSymbols", "SystemLicenses", "SystemDocumentation")
"""Large, and the same in every server of a version."""
NAMES = (
    "sold", "again", "badphone", "faulty", "nobody", "declined", "waterfall", "garbled", "babbled", "test", "consent",
    "source", "vertical", "nested", "named", "leadid", "key", "headers", "posted", "form", "quoted", "poison", "late",
    "said",
)  # fmt: skip
STATES = {
    "nobody": "WY", "declined": "HI", "waterfall": "GA", "garbled": "NY", "babbled": "TX", "quoted": "FL",
}  # fmt: skip
CANARIES = {name: Canary(name, number, STATES.get(name, "CA")) for number, name in enumerate(NAMES)}
ENDS = {
    "sold": "delivered", "again": "duplicate", "badphone": "rejected", "faulty": "rejected", "nobody": "unrouted",
    "declined": "undelivered", "waterfall": "delivered", "consent": "delivered", "source": "delivered",
    "late": "duplicate", "vertical": "rejected", "nested": "delivered", "named": "delivered", "key": "delivered",
    "headers": "delivered", "posted": "delivered", "form": "delivered", "quoted": "delivered",
}  # fmt: skip
KINDS = {"first name", "last name", "email", "address", "free text", "ip", "phone", "hash"}


@dataclass(frozen=True)
class Flight:
    """The stack after the canaries have come to rest in it, live and replayed."""

    stack: FullStack
    finder: Finder
    client: Client

    def tables(self, database: str = "%") -> list[tuple[str, str]]:
        """Every table and view of every database that can be read to its end."""
        found = self.client.query(
            "SELECT database, name, engine FROM system.tables WHERE database LIKE {d:String}",
            parameters={"d": database},
        )
        return [(d, name) for d, name, engine in found.result_rows if engine not in (*ENDLESS, *PRINTED)]

    def content(self, database: str, table: str) -> bytes:
        """All that a table or a view gives."""
        try:
            return bytes(self.client.raw_query(f"SELECT * FROM `{database}`.`{table}`", fmt="TSVRaw"))
        except Error:
            assert database == "system"  # some of its tables are there and are nobody's to read
            return b""

    def printed(self, *arguments: str) -> bytes:
        """What a command prints, on both its streams."""
        environment = {**os.environ, **self.stack.environment, "LEADLINE_HOME": str(self.stack.home), "COLUMNS": "200"}
        command = [sys.executable, "-m", "leadline", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout + done.stderr


def sent() -> Iterator[tuple[bytes | None, bytes, Headers]]:
    """Records for ``leads``, as upstream systems write them: keys, values and headers of their own."""
    c = CANARIES

    def raw(name: str, **changes: Any) -> bytes:
        return json.dumps(c[name].fields(**changes)).encode()

    yield None, raw("sold", notes=" / ".join(c["sold"].spellings)), ()
    # The same person, otherwise spelled, and the same mailbox with another phone.
    again = c["sold"].fields(lead_id=str(c["again"].lead_id), phone=c["sold"].spellings[4])
    yield None, json.dumps(again).encode(), ()
    yield None, raw("late", email=c["sold"].email.upper()), ()
    yield None, raw("badphone", phone=f"{c['badphone'].spellings[3]}9"), ()
    faults = {"born": "Ortolannotezz", "bill": "Wrenfirstzz", "badge": c["faulty"].phone, "home": "Serinstreetzz"}
    yield None, raw("faulty", email="Siskinmail.zz at home", zip="1980 198.51.100.7", state="Finchlastzz", **faults), ()
    for name in ("nobody", "declined", "waterfall", "garbled", "babbled", "quoted"):
        yield None, raw(name), ()
    yield None, raw("test", test="yes"), ()
    consent = {
        "consent_text": f"I, {c['consent'].email}, agree", "consent_at": datetime.now(UTC).isoformat(),
        "consent_url": f"https://quotes.example.com/serinstreet{c['consent'].code}?tel={c['consent'].phone}",
        "consent_sellers": f"McFinchlast{c['consent'].code} Inc|Other", "trustedform_cert_url": c["consent"].phone,
    }  # fmt: skip
    yield None, raw("consent", **consent), ()
    yield None, raw("source", source=c["source"].email, sub_id=c["source"].phone), ()
    yield None, raw("vertical", vertical=c["vertical"].spellings[3], source="Ms Wrenfirstzy McFinchlastzy"), ()
    yield None, raw("nested", contact={"phones": [c["nested"].phone], "note": "Ortolannotezx"}), ()
    yield None, raw("named", **{c["named"].email: "1", c["named"].phone: "2", "Wrenfirstzw": {"3": "4"}}), ()
    yield None, raw("leadid", lead_id=c["leadid"].spellings[3]), ()
    yield c["key"].phone.encode(), raw("key"), ()
    dashed = c["headers"].spellings[3].encode()
    ours = ("traceparent", "leadline-lead-id", "leadline-run", "leadline-received-at", "dlq-detail", "dlq-stage")
    headers = (*((name, dashed) for name in ours), (c["headers"].email, dashed))
    yield dashed, raw("headers"), headers
    # What nobody can read.
    for value in (raw("late")[:-20], b"[" + raw("late") + b"]", b"\xff" + raw("late"), b"\x00" + raw("late"), dashed):
        yield dashed, value, headers


def poison() -> Iterator[tuple[str, bytes, bytes]]:
    """Records for topics between stages, by topic, key and value: bytes that are no event, and an event that no stage
    can decide about."""
    c = CANARIES["poison"]
    garbage = json.dumps(c.fields()).encode()
    yield topics.VALIDATED.name, b"a" * 32, garbage
    yield topics.UNIQUE.name, b"b" * 32, garbage
    who = {"phone": c.phone, "email": c.email.lower(), "zip": "94105", "state": "CA"}
    lead = Lead(first_name=f"Wrenfirst{c.code}", last_name=f"Finchlast{c.code}", **who)
    beyond = event(Offer, c.lead_id, lead=lead, person="c" * 32, cursor=99, traceparent=None)
    yield topics.OFFERS.name, b"accepts", encode(beyond)


def feedback() -> Iterator[tuple[str, bytes, bytes]]:
    """What buyers say of a lead in words of their own, and in every field that is a name or a code."""
    c = CANARIES["said"]
    words = f"Wrenfirst{c.code} Finchlast{c.code} of Serinstreet{c.code}, {c.phone}, says it is {c.email}"
    told = event(Feedback, CANARIES["nobody"].lead_id, person="d" * 32, traceparent=None)
    for changes in (
        {"kind": "return", "reason": words, "campaign": c.phone, "buyer": c.email},
        {"kind": words, "reason": c.phone, "vertical": c.spellings[3], "source": c.email, "release": c.phone},
    ):
        yield topics.FEEDBACK.name, b"d" * 32, encode(told.model_copy(update={"event_id": uuid4(), **changes}))


def post_to_intake(url: str) -> None:
    """Posts that are taken, and posts that are refused in every way, each with marks all over."""
    posted, form, other = CANARIES["posted"], CANARIES["form"], CANARIES["late"]
    fields = form.fields()
    document, as_json = json.dumps(posted.fields()), {"Content-Type": "application/json"}
    as_form = {"Content-Type": "application/x-www-form-urlencoded"}
    posts = [
        (202, "/leads", document, as_json | {"Idempotency-Key": posted.email, "User-Agent": posted.phone}),
        (202, f"/leads?{urlencode(fields)}", urlencode(fields), as_form),
        (400, "/leads", document[:-9], as_json),
        (400, "/leads", json.dumps(other.fields(lead_id=other.phone)), as_json),
        (415, "/leads", document, {"Content-Type": f"text/{other.email}"}),
        (404, f"/{other.email}?phone={other.phone}", document, as_json),
    ]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    for expected, path, body, headers in posts:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == expected, path
    connection.close()


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flight]:
    home = tmp_path_factory.mktemp("canary")
    started = datetime.now(UTC)
    with echoing_buyers() as buyers:
        (home / "canary.yaml").write_text(configuration(buyers))
        (home / "tmp").mkdir()
        with full_stack(home, LEADLINE_CONFIG=str(home / "canary.yaml"), TMPDIR=str(home / "tmp")) as stack:
            producer = AckedProducer(stack.kafka)
            first, *others = sent()
            producer.produce(topics.LEADS.name, *first)
            producer.flush()
            # Which of two is the duplicate is a matter of moments, unless one has come to its end.
            sold = str(CANARIES["sold"].lead_id)
            wait_until(lambda: sold in stack.outcomes(), "the first canary has come to its end", 60)
            for record in others:
                producer.produce(topics.LEADS.name, *record)
            for topic, key, value in (*poison(), *feedback()):
                producer.produce(topic, key, value)
            producer.flush()
            assert stack.endpoints.intake_url is not None
            post_to_intake(stack.endpoints.intake_url)

            def ended() -> bool:
                outcomes = stack.outcomes()
                return all(str(CANARIES[name].lead_id) in outcomes for name in ENDS)

            wait_until(ended, "every canary has come to its end", 60)
            stack.wait_for_rest()
            stack.leadline("replay", "--topic", "leads", "--from", started.isoformat())
            stack.wait_for_rest()
            assert stack.endpoints.clickhouse_url is not None
            with connect(stack.endpoints.clickhouse_url) as client:
                yield Flight(stack, Finder(CANARIES.values()), client)


def test_every_canary_came_to_the_end_it_was_made_for(flight: Flight) -> None:
    outcomes = flight.stack.outcomes()
    assert {name: outcomes[str(CANARIES[name].lead_id)] for name in ENDS} == ENDS
    dead = flight.stack.query("SELECT stage, reason, count() FROM leadline.dead_letters WHERE run = 0 GROUP BY ALL")
    by_stage = {stage: sum(n for s, _, n in dead if s == stage) for stage, _, _ in dead}
    # What is between stages is read by two: the stage, and the sink, which cannot tell what two of them are, and whose
    # tables refuse an offer that is not on its slip.
    assert by_stage == {"validation": 5, "dedup": 1, "routing": 1, "delivery": 1, "sink": 3}
    refused = [(stage, reason) for stage, reason, _ in dead if reason == REFUSED]
    assert refused == [("sink", REFUSED)]
    assert ("delivery", "stage.failed", 1) in dead
    said = flight.stack.query("SELECT kind, reason FROM leadline.feedback WHERE kind != 'erasure' ORDER BY kind")
    assert said == [("", FREE_TEXT), ("return", FREE_TEXT)]


def test_marked_personal_data_is_in_contacts_and_in_no_other_table_or_view(flight: Flight) -> None:
    contacts = flight.content("leadline", "contacts")
    assert flight.finder.kinds(contacts) == KINDS
    # What is found is found in each spelling.
    for spelling in CANARIES["sold"].spellings:
        assert spelling.encode() in contacts
        assert flight.finder.marks(spelling.encode())
    tables = flight.tables()
    assert {("leadline", "lead_events"), ("leadline", "journey"), ("leadline_audit", "statements")} < set(tables)
    assert {("system", "processes"), ("system", "errors"), ("system", "parts")} < set(tables)
    holding = {}
    for database, table in tables:
        if marks := flight.finder.marks(flight.content(database, table)):
            holding[f"{database}.{table}"] = sorted(marks)
    assert set(holding) == {"leadline.contacts"}, holding


def test_no_log_and_no_other_file_of_the_stack_has_a_mark(flight: Flight) -> None:
    home = flight.stack.home
    (paths,) = flight.stack.query(
        "SELECT data_paths FROM system.tables WHERE database = 'leadline' AND name = 'contacts'"
    )
    log = home / "kafka" / "data"
    personal = [log, home / "maven", *((home / "warehouse" / path) for path in paths[0])]
    searched, holding = set(), {}
    for path in (file for file in home.rglob("*") if not any(file.is_relative_to(folder) for folder in personal)):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:  # merged away meanwhile
            continue
        searched.add(path)
        if marks := flight.finder.marks(content):
            holding[str(path.relative_to(home))] = sorted(marks)
    services = {service.log for service in flight.stack.state.services.values()}
    assert {*WORKERS, "sink", "intake"} <= set(flight.stack.state.services)
    assert services < searched
    assert {home / "logs" / "stack.log", home / "run" / "stack.json"} < searched
    assert not holding
    if log.exists():  # what is found is found in files
        assert any(flight.finder.marks(path.read_bytes()) for path in log.glob("leads-*/*.log"))


def test_no_metric_has_a_mark(flight: Flight) -> None:
    urls = flight.stack.state.metrics_urls
    assert set(urls) == {"validation", "dedup", "routing", "delivery", "sink"}
    for url in urls.values():
        with urllib.request.urlopen(url, timeout=10) as answer:
            page = answer.read()
        assert b"leadline_" in page
        assert not flight.finder.marks(page), url


def test_topics_hold_marks_only_where_the_catalogue_says_so(flight: Flight) -> None:
    personal = {spec.name for spec in all_topics() if spec.personal_data}
    written = {topics.LEADS.name}  # its keys and headers are its producers'
    keyed = written | {topics.DEAD_LETTERS.name}  # the original's key
    names = clients.admin(flight.stack.kafka).list_topics(timeout=30).topics
    assert {spec.name for spec in all_topics()} <= set(names)
    found: dict[str, set[str]] = {}
    holding = set()
    for name in names:
        for record in flight.stack.records(name):
            places = {"value": record.value or b"", "key": record.key or b""}
            places["headers"] = b"\n".join(
                part for key, value in record.headers for part in (key.encode(), value or b"")
            )
            allowed = {"value"} if name in personal else set()
            allowed |= {"key"} if name in keyed else set()
            allowed |= {"headers"} if name in written else set()
            for place, content in places.items():
                marks = flight.finder.marks(content)
                if marks and place in allowed:
                    holding.add((name, place))
                elif marks:
                    found.setdefault(f"{place} of {name}", set()).update(marks)
    assert not found
    assert {(topic, "value") for topic in ("leads", "leads.validated", "dead-letters", "offers")} < holding
    assert ("leads", "headers") in holding
    assert ("feedback", "value") in holding


def test_no_command_prints_a_mark(flight: Flight) -> None:
    sold, nobody = (str(CANARIES[name].lead_id) for name in ("sold", "nobody"))
    commands = [
        ("status", "--json"),
        ("journey", sold, "--json"),
        ("explain", sold, "--all"),
        ("explain", nobody, "--json"),
        ("watch", "--once", "--json"),
        ("query", "SELECT * FROM journey", "--json"),
    ]
    for command in commands:
        page = flight.printed(*command)
        assert page.strip(), command
        assert not flight.finder.marks(page), command


def test_a_buyer_s_reference_is_kept_as_the_buyer_wrote_it_and_only_there(flight: Flight) -> None:
    """Where a buyer that writes a person into its reference would be seen, so that it can be told to whoever asks."""
    holding = {
        f"{database}.{table}"
        for database, table in flight.tables("leadline%")
        if REFERENCE.encode() in flight.content(database, table)
    }
    assert holding == {"leadline.deliveries", "leadline.lead_events"}


def test_who_is_erased_is_in_no_table_any_more(flight: Flight) -> None:
    """The last one: it takes canaries out of ``contacts``."""
    sold = CANARIES["sold"]
    # By the email, which another lead has under another phone.
    page = flight.printed("erase", "--email", sold.email, "--yes", "--by", "tests", "--json")
    assert not flight.finder.marks(page)
    own = {mark for spelling in sold.spellings for mark in flight.finder.marks(spelling.encode())}
    holding = {
        f"{database}.{table}": found
        for database, table in [*flight.tables("leadline%"), ("system", "mutations"), ("system", "errors")]
        if (found := own & flight.finder.marks(flight.content(database, table)))
    }
    assert not holding
    logs = b"".join(path.read_bytes() for path in Path(flight.stack.home / "logs").glob("*"))
    assert not flight.finder.marks(logs)

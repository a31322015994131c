"""Right to erasure on the real engine and the real Kafka: a person goes, to the last byte, and does not come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka.admin import ConfigResource, ResourceType
from kit.contacts import SECRET, contact, held, insert
from kit.door import running
from kit.events import event
from kit.full_stack import wait_until

from connectors.kafka import clients, topic_admin
from connectors.kafka.log_reader import as_record, partitions_of, read_range
from connectors.kafka.producer import AckedProducer
from schemas.codec import decode, encode
from schemas.events import Feedback, FeedbackKind, LeadValidated
from schemas.identity import person
from schemas.record import KafkaRecord
from schemas.topics import CATALOGUE, DAY_MS, FEEDBACK
from streams.topology import all_topics
from warehouse.client import connect
from warehouse.embedded.analyst import TABLES
from warehouse.erasing import tombstones
from warehouse.erasing.certificate import Certificate
from warehouse.erasing.parts import Contacts, Proof, UnfinishedError
from warehouse.erasing.people import Identity, check_key
from warehouse.erasure import ask, erase
from warehouse.errors import WarehouseError
from warehouse.layout import Backend, Layout
from warehouse.migrate import migrate

PHONE, EMAIL = "+14155550123", "ada@analytical.example"
ADA = Identity.of_phone(SECRET, PHONE)
KEPT = [spec for spec in all_topics() if spec.personal_data]
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def others(client: Client, database: str) -> list[dict[str, Any]]:
    """A migrated warehouse with contacts of other people, over two months."""
    migrate(client, database)
    now = datetime.now(UTC)
    rows = [
        contact(f"+1415556{number:04d}", f"{number}@example.com", received_at=now - timedelta(days=number % 2 * 31))
        for number in range(100)
    ]
    insert(client, database, rows)
    return rows


def erased(client: Client, database: str, identity: Identity = ADA, **options: Any) -> Certificate:
    return erase(client, database, ask(client, database, identity), KEPT, **options)


def happened(client: Client, database: str, lead_id: UUID, **columns: str) -> None:
    """An event of a lead."""
    row = {"event_id": uuid4(), "lead_id": lead_id, "stage": "attempt", "received_at": datetime.now(UTC), **columns}
    client.insert(f"{database}.lead_events", [list(row.values())], column_names=list(row))


def states(client: Client, database: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT id, state FROM {database}.erasures FINAL"
    return [tuple(row) for row in client.query(sql).result_rows]


# Right to erasure


@pytest.mark.parametrize("found_by", ["lead", "phone", "email"])
def test_right_to_erasure_by_lead_phone_or_email(
    client: Client, database: str, others: list[dict[str, Any]], found_by: str
) -> None:
    month_ago = datetime.now(UTC) - timedelta(days=31)
    hers = [contact(PHONE, EMAIL), contact(PHONE, "another@example.com", received_at=month_ago)]
    insert(client, database, hers)
    leads = {row["lead_id"] for row in hers}
    happened(client, database, hers[0]["lead_id"], outcome="accepted", buyer="sunpath")
    happened(client, database, hers[1]["lead_id"], outcome="skipped", buyer="lumen")
    identity = {
        "lead": Identity.of_lead(hers[1]["lead_id"]),
        "phone": ADA,
        "email": Identity.of_email(SECRET, EMAIL),
    }[found_by]

    asked = ask(client, database, identity)
    assert (set(asked.holding.leads), asked.holding.rows) == (leads, 2)
    assert held(client, database) == leads | {row["lead_id"] for row in others}  # asking changes nothing
    done = erase(client, database, asked, KEPT, asked_by="grace")

    assert held(client, database) == {row["lead_id"] for row in others}
    assert (set(done.leads), done.rows_deleted, done.found_by, done.asked_by) == (leads, 2, found_by, "grace")
    assert done.parts_removed >= 2
    assert done.buyers == ["sunpath"]  # whoever was skipped has nothing of it
    assert states(client, database) == [(done.id, "finished")]
    # What happened stays: money is not personal data.
    assert client.query(f"SELECT uniqExact(lead_id) FROM {database}.lead_events").result_rows == [(2,)]


def test_the_certificate_has_nothing_of_the_person_and_says_what_remains(
    client: Client, database: str, others: list[dict[str, Any]]
) -> None:
    insert(client, database, [contact(PHONE, EMAIL)])
    done = erased(client, database)
    everything = done.model_dump_json() + str(client.query(f"SELECT * FROM {database}.erasures").result_rows)
    assert not any(value in everything for value in (PHONE, PHONE[2:], EMAIL, "Ada"))
    until = {one.where: one.until for one in done.remains}
    for spec in CATALOGUE:
        assert (f"the topic {spec.name}" in until) == spec.personal_data
    for spec in KEPT:
        assert until[f"the topic {spec.name}"] is not None
    assert until["backups"] is None
    (kept,) = client.query(f"SELECT topics_until, certificate FROM {database}.erasures FINAL").result_rows
    assert Certificate.model_validate_json(kept[1]) == done
    assert kept[0].replace(tzinfo=UTC) == done.topics_until == max(moment for moment in until.values() if moment)


def test_the_bytes_are_off_the_disk(tmp_path: Path) -> None:
    """Verified at part level is verified on the disk: no file of the engine has the marked person afterwards."""
    marks = [uuid4().hex.encode() for _ in range(2)]
    email = f"{marks[0].decode()}@example.com"
    with running(tmp_path / "db", tmp_path / "ready") as server:
        client = connect(f"http://127.0.0.1:{server.port}")
        migrate(client, "leadline")
        for number in range(3):
            rows = [contact(f"+1415557{number}{n:03d}", f"{uuid4().hex}@example.com") for n in range(500)]
            rows[250] = contact("", email, first_name=marks[1].decode(), run=number)
            insert(client, "leadline", rows)

        def files() -> list[Path]:
            return [path for path in (tmp_path / "db").rglob("*") if path.is_file() and has_mark(path)]

        def has_mark(path: Path) -> bool:
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # a merge is faster
                return False
            return any(mark in content for mark in marks)

        assert files()
        done = erased(client, "leadline", Identity.of_email(SECRET, email))
        assert (done.rows_deleted, files()) == (3, [])


# It does not come back


def test_no_batch_that_is_made_again_brings_a_person_back(
    client: Client, database: str, others: list[dict[str, Any]]
) -> None:
    known = contact(PHONE, EMAIL)
    insert(client, database, [known])
    erased(client, database)
    # The same lead again, in a replay, and one that had not yet been inserted, or had been rejected.
    behind = contact(PHONE, "never@seen.example", received_at=known["received_at"] - timedelta(seconds=1))
    insert(client, database, [known, known | {"run": 3}, behind, others[0]])
    assert held(client, database) == {row["lead_id"] for row in others}


def test_a_person_who_comes_again_is_a_new_matter(client: Client, database: str, others: list[dict[str, Any]]) -> None:
    insert(client, database, [contact(PHONE, EMAIL)])
    first = erased(client, database)
    again = contact(PHONE, EMAIL)
    insert(client, database, [again])
    assert again["lead_id"] in held(client, database)
    second = erased(client, database)
    assert (second.leads, second.rows_deleted) == ([again["lead_id"]], 1)
    assert second.id != first.id


def test_a_producer_whose_clock_is_ahead_hides_nobody(
    client: Client, database: str, others: list[dict[str, Any]]
) -> None:
    ahead = contact(PHONE, EMAIL, received_at=datetime.now(UTC) + timedelta(days=400))
    insert(client, database, [ahead])
    done = erased(client, database)
    assert (done.leads, done.rows_deleted) == ([ahead["lead_id"]], 1)
    again = contact(PHONE, EMAIL)
    insert(client, database, [ahead, again])
    assert held(client, database) == {row["lead_id"] for row in [*others, again]}


def test_an_insert_that_began_before_is_waited_for(
    client: Client, clickhouse_url: str, database: str, others: list[dict[str, Any]]
) -> None:
    insert(client, database, [contact(PHONE, EMAIL)])
    slow = (
        f"INSERT INTO {database}.contacts (lead_id, person, received_at, phone)"
        f" SELECT generateUUIDv4(), '{ADA.pseudonym}', now64(3) - 60, '{PHONE}' FROM numbers(10)"
        " WHERE sleepEachRow(0.2) = 0"
    )
    thread = threading.Thread(target=lambda: connect(clickhouse_url).command(slow))
    thread.start()
    inserts = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND position(query, {name:String}) > 0"
    name = {"name": f"{database}.contacts"}
    wait_until(lambda: client.query(inserts, parameters=name).result_rows[0][0], "the insert runs", 20)
    waited = []
    done = erased(client, database, told=lambda what, left: waited.append(what))
    thread.join()
    assert "inserts that began before" in waited
    assert len(done.leads) == 11  # all that the insert brought have a tombstone, too
    assert held(client, database) == {row["lead_id"] for row in others}


# Cut off, and gone on with


def test_one_that_is_cut_off_is_gone_on_with(client: Client, database: str, others: list[dict[str, Any]]) -> None:
    hers = contact(PHONE, EMAIL)
    insert(client, database, [hers])

    def interrupted(what: str, left: int) -> None:
        raise KeyboardInterrupt

    client.command(f"SYSTEM STOP MERGES {database}.contacts")  # so that there is something to wait for
    with pytest.raises(KeyboardInterrupt):
        erased(client, database, told=interrupted)
    client.command(f"SYSTEM START MERGES {database}.contacts")
    ((number, state),) = states(client, database)
    assert state == "started"
    insert(client, database, [hers])  # nothing comes back meanwhile
    # Also by what only the tombstones know now.
    for identity in (ADA, Identity.of_lead(hers["lead_id"])):
        begun = ask(client, database, identity).begun
        assert begun is not None
        assert begun.id == number
    done = erased(client, database)
    assert (done.id, done.leads, done.rows_deleted) == (number, [hers["lead_id"]], 1)
    assert states(client, database) == [(number, "finished")]
    after = ask(client, database, ADA)
    assert (after.anything, after.done) == (False, done)


def test_what_is_not_proven_in_time_is_not_certified(
    client: Client, database: str, others: list[dict[str, Any]]
) -> None:
    insert(client, database, [contact(PHONE, EMAIL)])
    client.command(f"SYSTEM STOP MERGES {database}.contacts")
    with pytest.raises(UnfinishedError, match="the time is over"):
        erased(client, database, wait_seconds=0.5)
    assert [state for _, state in states(client, database)] == ["started"]
    client.command(f"SYSTEM START MERGES {database}.contacts")
    assert erased(client, database).rows_deleted == 1


def test_a_detached_part_is_not_overlooked(client: Client, database: str, others: list[dict[str, Any]]) -> None:
    insert(client, database, [contact(PHONE, EMAIL)])
    client.command(f"ALTER TABLE {database}.contacts DETACH PARTITION {datetime.now(UTC):%Y%m}")
    insert(client, database, [contact(PHONE, EMAIL)])
    with pytest.raises(UnfinishedError, match="detached parts"):
        erased(client, database)
    client.command(f"ALTER TABLE {database}.contacts ATTACH PARTITION {datetime.now(UTC):%Y%m}")
    erased(client, database)
    assert ask(client, database, ADA).anything is False
    assert not [row for row in others if row["lead_id"] not in held(client, database)]


def test_another_key_is_noticed(client: Client, database: str, others: list[dict[str, Any]]) -> None:
    check_key(client, database, SECRET)
    with pytest.raises(WarehouseError, match="LEADLINE_PSEUDONYM_KEY"):
        check_key(client, database, b"another key of tests")


def test_analysts_see_neither_contacts_nor_who_is_erased() -> None:
    assert not TABLES & {"contacts", "erased", "erased_persons", "erasures"}


class Recorder:
    """A client of a cluster that does not exist: it keeps the statements, and answers as one with nothing to do."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def command(self, sql: str, **_: Any) -> None:
        self.statements.append(sql)

    def insert(self, *_: Any, **__: Any) -> None:
        """Rows go as they are."""

    def query(self, sql: str, **_: Any) -> SimpleNamespace:
        self.statements.append(sql)
        first = sum("SELECT count()" in sql for sql in self.statements) == 1
        return SimpleNamespace(result_rows=[[int(first)]] if "SELECT count()" in sql else [])


def test_every_replica_of_a_cluster_is_asked(client: Client) -> None:
    """There is no cluster here: the engine's parser reads what would be sent."""
    recorder = Recorder()
    cluster = Layout("leadline", "main", Backend.SERVER)
    tombstones.write(recorder, cluster, uuid4(), leads=[uuid4()], persons=["ab12"], at=datetime.now(UTC))  # type: ignore[arg-type]
    contacts = Contacts(
        recorder,  # type: ignore[arg-type]
        cluster,
        ["ab12"],
        datetime.now(UTC),
        deadline=time.monotonic() + 5,
        told=lambda *_: None,
    )
    contacts.wait_for_inserts()
    contacts.leads()
    assert contacts.delete() == Proof(checked=0, removed=0)
    assert sum("SYNC REPLICA ON CLUSTER" in sql for sql in recorder.statements) == 2
    assert not any("DROP PARTITION" in sql for sql in recorder.statements)
    for sql in recorder.statements:
        assert client.query("SELECT formatQuery({sql:String})", parameters={"sql": sql}).result_rows
        if sql.startswith("SELECT"):
            assert "clusterAllReplicas('main', " in sql


# The command


@pytest.fixture
def environment(kafka_bootstrap: str, clickhouse_url: str, database: str, tmp_path: Path) -> dict[str, str]:
    """Of the command, in a home of its own, with the topic that the stages are told on."""
    admin = clients.admin(kafka_bootstrap)
    topic_admin.apply(admin, topic_admin.diff(admin, [FEEDBACK], 4), 4, 1)
    return {
        **os.environ,
        "LEADLINE_HOME": str(tmp_path / "home"),
        "LEADLINE_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "LEADLINE_CLICKHOUSE_URL": clickhouse_url,
        "LEADLINE_CLICKHOUSE_DATABASE": database,
        "LEADLINE_PSEUDONYM_KEY": SECRET.decode(),
        "COLUMNS": "200",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """The command as a process."""

    def leadline(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "leadline", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=tmp_path,
            env={**environment, **more},
            timeout=120,
            check=False,
        )

    return leadline


def feedback(bootstrap: str) -> list[Feedback]:
    """All that was said on ``feedback``, each under its person's key."""
    consumer = clients.reader(bootstrap)
    partitions = partitions_of(consumer, Feedback.TOPIC.name)
    consumer.close()
    found = []
    for partition in partitions:
        for batch in read_range(bootstrap, Feedback.TOPIC.name, partition):
            for record in map(as_record, batch):
                event = decode(record.topic, record.value)
                assert isinstance(event, Feedback)
                assert record.key == event.person.encode()
                found.append(event)
    return found


def test_the_command_asks_erases_and_certifies(
    run: Run, client: Client, database: str, others: list[dict[str, Any]], kafka_bootstrap: str, tmp_path: Path
) -> None:
    hers = contact(PHONE, EMAIL)
    insert(client, database, [hers])
    dry = run("erase", "--phone", "(415) 555-0123", "--dry-run", "--json")
    assert json.loads(dry.stdout) | {"leads": [str(hers["lead_id"])], "rows": 1} == json.loads(dry.stdout)
    unasked = run("erase", "--phone", PHONE)
    assert (unasked.returncode, b"--yes" in unasked.stderr) == (1, True)
    other = run("erase", "--email", EMAIL, "--yes", LEADLINE_PSEUDONYM_KEY="another key of tests")
    assert (other.returncode, b"LEADLINE_PSEUDONYM_KEY" in other.stderr) == (1, True)
    assert hers["lead_id"] in held(client, database)

    done = run("erase", "--phone", "(415) 555-0123", "--yes", "--by", "grace", "--certificate", "ada.json")
    assert done.returncode == 0, done.stderr
    written = Certificate.model_validate_json((tmp_path / "ada.json").read_text())
    assert (written.asked_by, written.rows_deleted) == ("grace", 1)
    assert str(written.id).encode() in done.stdout
    assert b"Remains:" in done.stdout
    assert hers["lead_id"] not in held(client, database)

    # The stages were told, in the person's key, so that routing lets go of what it keeps.
    (told,) = (one for one in feedback(kafka_bootstrap) if one.lead_id == hers["lead_id"])
    assert (told.kind, told.person) == (FeedbackKind.ERASURE, hers["person"])

    again = run("erase", "--phone", PHONE, "--yes", "--json")
    assert (again.returncode, Certificate.model_validate_json(again.stdout)) == (0, written)


def test_ctrl_c_leaves_what_running_it_again_finishes(
    run: Run, environment: dict[str, str], client: Client, database: str, others: list[dict[str, Any]]
) -> None:
    insert(client, database, [contact(PHONE, EMAIL)])
    client.command(f"SYSTEM STOP MERGES {database}.contacts")
    arguments = [sys.executable, "-m", "leadline", "erase", "--phone", PHONE, "--yes", "--json"]
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        mutations = f"SELECT count() FROM system.mutations WHERE database = '{database}' AND NOT is_done"
        wait_until(lambda: client.query(mutations).result_rows[0][0], "the mutation", 60)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        client.command(f"SYSTEM START MERGES {database}.contacts")
    assert (process.returncode, out) == (5, b""), errors
    assert b"Run the same command again" in errors
    assert [state for _, state in states(client, database)] == ["started"]
    done = run("erase", "--phone", PHONE, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert states(client, database) == [(Certificate.model_validate_json(done.stdout).id, "finished")]
    assert held(client, database) == {row["lead_id"] for row in others}


def test_a_warehouse_without_the_tables_says_what_to_do(run: Run, client: Client, database: str) -> None:
    client.command(f"CREATE DATABASE {database}")
    done = run("erase", "--phone", PHONE)
    assert done.returncode == 1
    assert b"leadline warehouse migrate" in done.stderr
    assert b"Traceback" not in done.stderr


def test_who_is_not_known_is_an_answer(run: Run, others: list[dict[str, Any]]) -> None:
    for identity in (("--lead", str(uuid4())), ("--phone", PHONE), ("--email", EMAIL)):
        done = run("erase", *identity, "--yes")
        assert (done.returncode, done.stdout.startswith(b"Nobody: ")) == (4, True), done.stderr
    for wrong, said in ((("--phone", "12"), b"phone"), (("--email", "12"), b"email"), ((), b"--lead")):
        done = run("erase", *wrong, "--yes")
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_a_lead_that_was_rejected_is_erased_from_replays(
    run: Run, client: Client, database: str, others: list[dict[str, Any]]
) -> None:
    lead_id = uuid4()
    happened(client, database, lead_id, stage="validation", outcome="rejected")
    done = run("erase", "--lead", str(lead_id), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    certificate = Certificate.model_validate_json(done.stdout)
    assert (certificate.leads, certificate.rows_deleted, certificate.persons) == ([lead_id], 0, [])
    assert tombstones.read(client, database) == ({lead_id}, {})


# Topics and replays


@pytest.fixture
def topics(kafka_bootstrap: str) -> None:
    admin = clients.admin(kafka_bootstrap)
    topic_admin.apply(admin, topic_admin.diff(admin, all_topics(), 4), 4, 1)
    wait_until(lambda: not topic_admin.diff(admin, all_topics(), 4), "the topics", 20)


def test_pii_retention_control_is_on_the_broker(kafka_bootstrap: str, topics: None) -> None:
    asked = [ConfigResource(ResourceType.TOPIC, spec.name) for spec in KEPT]
    admin = clients.admin(kafka_bootstrap)
    answers = admin.describe_configs(asked)
    told = {resource.name: {key: entry.value for key, entry in f.result(30).items()} for resource, f in answers.items()}
    for spec in KEPT:
        config = told[spec.name]
        assert spec.gone_after_days is not None
        if spec.retention_days is not None:
            assert config["cleanup.policy"] == "delete"
            assert int(config["retention.ms"]) == spec.retention_days * DAY_MS
            # Segments are deleted whole: their length counts.
            assert int(config["retention.ms"]) + int(config["segment.ms"]) < spec.gone_after_days * DAY_MS
        else:
            assert config["cleanup.policy"] == "compact"
            assert int(config["max.compaction.lag.ms"]) <= DAY_MS


def test_pii_retention_control_of_contacts(client: Client, database: str, others: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    old, young = (contact(PHONE, EMAIL, received_at=now - timedelta(days=days)) for days in (181, 179))
    insert(client, database, [old, young])
    client.command(f"OPTIMIZE TABLE {database}.contacts FINAL")
    assert held(client, database) == {row["lead_id"] for row in [*others, young]}


@pytest.fixture
def stretch() -> tuple[str, ...]:
    """A window of the log for one test alone."""
    start = datetime.now(UTC)
    return ("--from", start.isoformat().replace("+00:00", ""))


def replayed(bootstrap: str, topic: str, run_number: int, leads: set[UUID]) -> set[UUID]:
    """Those of the leads that a replay wrote."""
    reader = clients.reader(bootstrap)
    places = partitions_of(reader, topic)
    reader.close()
    records = [as_record(m) for place in places for batch in read_range(bootstrap, topic, place) for m in batch]
    names = [dict(record.headers) for record in records]
    return leads & {
        UUID(h["leadline-lead-id"].decode()) for h in names if h.get("leadline-run") == str(run_number).encode()
    }


def test_right_to_erasure_holds_in_replays(
    run: Run,
    client: Client,
    database: str,
    others: list[dict[str, Any]],
    kafka_bootstrap: str,
    topics: None,
    stretch: tuple[str, ...],
) -> None:
    phone = f"+1415{int(time.time()) % 9_000_000 // 10_000 + 200:03d}{int(time.time()) % 10_000:04d}"
    ids = {name: uuid4() for name in ("validated", "rejected", "stranger", "later")}
    by_phone = {"Mobile": f"({phone[2:5]}) {phone[5:8]}-{phone[8:]}", "zip": "none"}
    producer = AckedProducer(kafka_bootstrap)

    def send(name: str, fields: dict[str, str]) -> None:
        value = json.dumps({"lead_id": str(ids[name]), **fields}).encode()
        producer.produce("leads", str(ids[name]).encode(), value)
        producer.flush()

    send("validated", {"phone": "gone from the field"})
    send("rejected", by_phone)
    send("stranger", {"phone": "+14155559876"})
    hers = contact(phone, EMAIL, lead_id=ids["validated"])
    insert(client, database, [hers])
    done = erased(client, database, Identity.of_phone(SECRET, phone))
    assert done.leads == [ids["validated"]]
    send("later", by_phone)

    document = json.loads(run("replay", *stretch, "--reason", "erased", "--json").stdout)
    assert document["erased"] == 2
    assert document["records"] == document["written"] + document["passed_over"] + document["erased"]
    assert replayed(kafka_bootstrap, "leads", document["run"], set(ids.values())) == {ids["stranger"], ids["later"]}
    sql = f"SELECT state, records, passed_over, erased FROM {database}.replays FINAL"
    assert client.query(sql).result_rows == [("finished", document["written"], document["passed_over"], 2)]
    said = run("replay", *stretch).stdout.decode()
    assert "2 records are of erased people" in " ".join(said.split())


def test_right_to_erasure_holds_in_replays_of_validated_leads(
    run: Run,
    client: Client,
    database: str,
    others: list[dict[str, Any]],
    kafka_bootstrap: str,
    topics: None,
    stretch: tuple[str, ...],
) -> None:
    insert(client, database, [hers := contact(PHONE, EMAIL)])
    erased(client, database)
    now = datetime.now(UTC)
    lead = event(LeadValidated).lead  # type: ignore[attr-defined]
    unseen = {"lead": lead.model_copy(update={"phone": PHONE}), "received_at": now - timedelta(hours=1)}
    events = {
        "known": event(LeadValidated, hers["lead_id"], person="x"),
        "unseen": event(LeadValidated, person=person(SECRET, phone=PHONE, email=None), **unseen),
        "stranger": event(LeadValidated, person="y", received_at=now),
    }
    producer = AckedProducer(kafka_bootstrap)
    for one in events.values():
        record = KafkaRecord("leads.validated", 0, 0, 0, b"x", encode(one))
        producer.produce(record.topic, record.key, record.value)
    producer.flush()
    document = json.loads(run("replay", "--topic", "leads.validated", *stretch, "--json").stdout)
    assert (document["erased"], document["written"] >= 1) == (2, True)

"""The command on a real Kafka and a real ClickHouse: send, topics, replay, journey."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from kit.events import event, record_of
from kit.full_stack import wait_until
from kit.written_tables import WrittenTables

from connectors.kafka import clients, topic_admin
from connectors.kafka.log_reader import as_record, partitions_of, read_range
from schemas.events import LeadDelivered, LeadValidated
from schemas.record import KafkaRecord
from streams.topology import all_topics
from warehouse.client import connect
from warehouse.migrate import migrate, migrations
from warehouse.views import views

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(kafka_bootstrap: str, clickhouse_url: str, database: str, tmp_path: Path) -> Run:
    """The command as a process, in an empty folder and home."""
    environment = {
        **os.environ,
        "LEADLINE_HOME": str(tmp_path / "home"),
        "LEADLINE_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "LEADLINE_CLICKHOUSE_URL": clickhouse_url,
        "LEADLINE_CLICKHOUSE_DATABASE": database,
        "COLUMNS": "200",
    }

    def leadline(*arguments: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "leadline", *arguments],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env={**environment, **more},
            timeout=60,
            check=False,
        )

    return leadline


@pytest.fixture(autouse=True, scope="module")
def topics(kafka_bootstrap: str) -> None:
    admin = clients.admin(kafka_bootstrap)
    topic_admin.apply(admin, topic_admin.diff(admin, all_topics(), 4), 4, 1)
    wait_until(lambda: not topic_admin.diff(admin, all_topics(), 4), "the topics", 20)


def sent(bootstrap: str, *lead_ids: str) -> dict[str, list[KafkaRecord]]:
    """The records of these keys on `leads`."""
    reader = clients.reader(bootstrap)
    partitions = partitions_of(reader, "leads")
    reader.close()
    found: dict[str, list[KafkaRecord]] = {lead_id: [] for lead_id in lead_ids}
    for partition in partitions:
        for batch in read_range(bootstrap, "leads", partition):
            for record in map(as_record, batch):
                if record.key is not None and (key := record.key.decode()) in found:
                    found[key].append(record)
    return found


def result(done: subprocess.CompletedProcess[bytes]) -> Any:
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_good_rows_are_stored_and_bad_ones_kept_with_their_reason(
    run: Run, kafka_bootstrap: str, tmp_path: Path
) -> None:
    first, second = str(uuid4()), str(uuid4())
    lines = [f'{{"lead_id": "{first}", "zip": "01234"}}', "not JSON", "[]", "", f'{{"lead_id": "{second}"}}']
    (tmp_path / "leads.jsonl").write_text("\n".join(lines))
    document = result(run("send", "leads.jsonl", "--json"))
    assert document == {"sent": 2, "dead": 2, "dead_letters": "leads.jsonl.dead-letters.jsonl"}
    letters = [json.loads(line) for line in (tmp_path / "leads.jsonl.dead-letters.jsonl").read_text().splitlines()]
    assert [(letter["line"], letter["raw"]) for letter in letters] == [(2, "not JSON"), (3, "[]")]
    assert all(letter["reason"] for letter in letters)
    stored = sent(kafka_bootstrap, first, second)
    assert [json.loads(r.value or b"") for r in stored[first]] == [{"lead_id": first, "zip": "01234"}]
    assert len(stored[second]) == 1


def test_a_file_sent_twice_is_the_same_leads(run: Run, kafka_bootstrap: str, tmp_path: Path) -> None:
    marker = uuid4().hex
    (tmp_path / f"{marker}.csv").write_text(f"First Name,Phone\nAda,{marker}\nBob,{marker}\n")
    for _ in range(2):
        done = run("send", f"{marker}.csv")
        assert (done.returncode, done.stdout) == (0, b"Sent 2 leads to the topic leads.\n")
    reader = clients.reader(kafka_bootstrap)
    every = [
        as_record(message)
        for partition in partitions_of(reader, "leads")
        for batch in read_range(kafka_bootstrap, "leads", partition)
        for message in batch
    ]
    reader.close()
    ours = [record for record in every if marker.encode() in (record.value or b"")]
    assert len(ours) == 4
    assert len({record.key for record in ours}) == 2
    assert {json.loads(record.value or b"")["first_name"] for record in ours} == {"Ada", "Bob"}


def test_standard_input(run: Run, kafka_bootstrap: str, tmp_path: Path) -> None:
    lead_id = str(uuid4())
    stdin = f'{{"lead_id": "{lead_id}"}}\nbad\n'.encode()
    document = result(run("send", "-", "--json", "--dead-letters", "dead.jsonl", stdin=stdin))
    assert document == {"sent": 1, "dead": 1, "dead_letters": "dead.jsonl"}
    assert len(sent(kafka_bootstrap, lead_id)[lead_id]) == 1
    assert (tmp_path / "dead.jsonl").exists()
    document = result(run("send", "-", "--form", "csv", "--json", stdin=b"a,b\n1,2\n1\n"))
    assert (document["sent"], document["dead"]) == (1, 1)
    document = result(run("send", "-", "--as-is", "--json", stdin=b"bad\nworse\n"))
    assert document == {"sent": 2, "dead": 0, "dead_letters": None}


def test_generated_leads_are_sent_as_they_are(run: Run) -> None:
    leads = run("generate", "-n", "50").stdout
    assert result(run("send", "--as-is", "-", "--json", stdin=leads))["sent"] == 50


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.csv", None, b"--help"),
        ("leads.xlsx", b"x", b"--form"),
        ("twice.csv", b"a,a\n1,2\n", b"two columns"),
        ("[/red].csv", None, b"[/red].csv"),
    ],
)
def test_a_file_that_is_none(run: Run, tmp_path: Path, name: str, content: bytes | None, words: bytes) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("send", name)
    assert (done.returncode, done.stdout) == (1, b"")
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


def test_topics(run: Run, kafka_bootstrap: str) -> None:
    assert b"every topic" in run("topics", "diff").stdout
    assert result(run("topics", "diff", "--json")) == []
    # Another number of partitions is a problem that is said and never mended.
    for name in ("diff", "apply"):
        done = run("topics", name, "--json", LEADLINE_PARTITIONS="5")
        assert done.returncode == 3
        problems = {change["topic"]: change["problem"] for change in json.loads(done.stdout)}
        assert "4 partitions" in problems["leads"]
        assert "capacity" not in problems
    # A setting that differs is.
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "feedback", incremental_configs=[entry])
    admin = clients.admin(kafka_bootstrap)
    admin.incremental_alter_configs([resource])[resource].result(10)
    wait_until(lambda: run("topics", "diff").returncode == 3, "the change", 10)
    (change,) = json.loads(run("topics", "diff", "--json").stdout)
    assert (change["topic"], change["problem"]) == ("feedback", None)
    assert change["change"].startswith("retention.ms: 1000 → ")
    assert run("topics", "apply").returncode == 0
    wait_until(lambda: run("topics", "diff").returncode == 0, "the change back", 10)


def test_replay_asks_before_it_acts(run: Run) -> None:
    lead_id = str(uuid4())
    start = datetime.now(UTC) - timedelta(seconds=5)
    run("send", "-", stdin=f'{{"lead_id": "{lead_id}"}}\n'.encode())
    window = ("--from", start.isoformat(timespec="seconds").replace("+00:00", ""))
    document = result(run("replay", *window, "--dry-run", "--json"))
    assert document["run"] is None
    assert document["records"] >= 1
    assert document["written"] == 0
    future = result(run("replay", "--from", "2126-01-01", "--to", "2126-01-02", "--dry-run", "--json"))
    assert future["records"] == 0
    for topic in ("offers", "leads.routed", "config", "nonsense"):
        done = run("replay", "--topic", topic, *window)
        assert done.returncode == 1
        assert b"leads, leads.validated, leads.unique" in done.stderr.replace(b"\n", b" ")
    done = run("replay", "--from", "2026-02-01", "--to", "2026-01-01")
    assert (done.returncode, b"empty" in done.stderr) == (1, True)


def test_a_journey(run: Run, clickhouse_url: str, database: str) -> None:
    client = connect(clickhouse_url)
    migrate(client, database)
    unknown = run("journey", str(UUID(int=1)))
    assert (unknown.returncode, unknown.stdout) == (1, b"")
    assert b"`leadline status`" in unknown.stderr
    lead_id = uuid4()
    WrittenTables(client, database).put(record_of(event(model, lead_id)) for model in (LeadDelivered, LeadValidated))
    events = result(run("journey", str(lead_id), "--json"))
    assert [(e["stage"], e["outcome"]) for e in events] == [("validation", "validated"), ("delivery", "delivered")]
    assert events[1]["attributes"]["reference"] == "R-1"
    shown = run("journey", str(lead_id))
    assert shown.returncode == 0
    assert b"$12.50" in shown.stdout


def test_a_query(run: Run, clickhouse_url: str, database: str) -> None:
    client = connect(clickhouse_url)
    migrate(client, database)
    lead_id = uuid4()
    WrittenTables(client, database).put([record_of(event(LeadDelivered, lead_id))])
    sql = "SELECT lead_id, outcome, price FROM lead_events FINAL WHERE lead_id = {lead:UUID}"
    shown = run("query", sql, "--param", f"lead={lead_id}")
    assert (shown.returncode, str(lead_id).encode() in shown.stdout, b"1 row" in shown.stdout) == (0, True, True)
    (line,) = run("query", "--json", "-p", f"lead={lead_id}", "-", stdin=sql.encode()).stdout.splitlines()
    assert json.loads(line) == {"lead_id": str(lead_id), "outcome": "delivered", "price": 12.5}
    csv = run("query", "--format", "CSVWithNames", "SELECT number AS n FROM numbers(3)").stdout
    assert csv == b'"n"\n0\n1\n2\n'
    many = run("query", "--json", "SELECT number FROM numbers(200000)").stdout
    assert len(many.splitlines()) == 200_000


@pytest.mark.parametrize(
    ("sql", "said", "hint"),
    [
        ("DROP TABLE lead_events", b"Code: 164.", b"only reads"),
        ("INSERT INTO replays (run) VALUES (1)", b"Code: 164.", b"only reads"),
        ("SELECT nothing FROM lead_events", b"Code: 47.", b"DESCRIBE lead_events"),
        ("SELECT 1 FROM nothing", b"Code: 60.", b"SHOW TABLES"),
        ("SELEC 1", b"Code: 62.", b""),
    ],
)
def test_a_query_that_cannot_be_answered(
    run: Run, clickhouse_url: str, database: str, sql: str, said: bytes, hint: bytes
) -> None:
    migrate(connect(clickhouse_url), database)
    for arguments in ((sql,), ("--json", sql)):
        done = run("query", *arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        assert said in done.stderr
        assert hint in done.stderr
        assert b"url" not in done.stderr
    assert connect(clickhouse_url).command(f"EXISTS {database}.lead_events") == 1


def test_the_warehouse_s_migrations(run: Run) -> None:
    names = [migration.name for migration in migrations()]
    before = result(run("warehouse", "status", "--json"))
    assert [(row["migration"], row["applied"]) for row in before] == [(name, False) for name in names]
    looked = result(run("warehouse", "migrate", "--dry-run", "--json"))
    assert [row["migration"] for row in looked] == names
    assert all(row["statements"][0].startswith(("CREATE", "ALTER TABLE")) for row in looked)
    assert not any(row["applied"] for row in result(run("warehouse", "status", "--json")))
    everything = [*names, *(view.entry for view in views())]
    assert result(run("warehouse", "migrate", "--json")) == {"applied": everything}
    assert result(run("warehouse", "migrate", "--json")) == {"applied": []}
    assert b"Nothing to do" in run("warehouse", "migrate").stdout
    assert all(row["applied"] for row in result(run("warehouse", "status", "--json")))
    alone = run("warehouse", "migrate", LEADLINE_CLICKHOUSE_CLUSTER="main")
    assert (alone.returncode, b"the embedded one is alone" in alone.stderr) == (1, True)


def test_watching_the_funnel(run: Run, clickhouse_url: str, database: str) -> None:
    client = connect(clickhouse_url)
    migrate(client, database)
    lead_id = uuid4()
    WrittenTables(client, database).put(record_of(event(model, lead_id)) for model in (LeadDelivered, LeadValidated))
    funnel = result(run("watch", "--once", "--json"))
    assert (funnel["validated"], funnel["delivered"], funnel["dead"]) == (1, 1, 0)
    assert b"delivered" in run("watch", "--once").stdout


def test_a_warehouse_that_is_away(run: Run) -> None:
    done = run("journey", str(uuid4()), LEADLINE_CLICKHOUSE_URL="http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no ClickHouse at 127.0.0.1:1" in done.stderr
    done = run("journey", str(uuid4()), LEADLINE_CLICKHOUSE_URL="ftp://x")
    assert (done.returncode, b"http://127.0.0.1:8123" in done.stderr) == (1, True)

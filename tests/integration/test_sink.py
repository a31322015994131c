"""The sink on a real Kafka and a real engine: killed, starved or fed garbage, it loses and repeats nothing."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import Consumer, TopicPartition
from kit.door import free_port
from kit.events import DETAILS, event, record_of
from kit.full_stack import wait_until
from kit.sink_world import World, embedded, running, sharing, unrouted, watched
from kit.written_tables import WrittenTables

from connectors.kafka import clients, topic_admin
from connectors.kafka.lag import lag_of
from connectors.kafka.log_reader import log_bounds
from schemas import headers
from schemas.codec import encode
from schemas.events import LeadDelivered, LeadUnique, LeadUnrouted, LeadValidated
from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.migrate import migrate, migrations
from warehouse.sink import Sink
from warehouse.sinking.gaps import DEAD_PLAN
from warehouse.sinking.plans import Part, Plan
from warehouse.sinking.tables import SUNK_TOPICS
from warehouse.tables.lead_events import LEAD_EVENTS
from warehouse.views import views


def test_every_event_is_soon_a_row(world: World) -> None:
    """By the command itself, in the group of production."""
    ready = world.log.with_suffix(".ready")
    with world.sink(sys.executable, "-m", "leadline", "sink") as process:
        wait_until(ready.exists, "the ready file", 30)
        sent = [event(model) for model in DETAILS]
        world.send(sent)
        world.wait()
        process.terminate()
        assert process.wait(15) == 0
    columns = "event_id, lead_id, stage, vertical, source, release, received_at, occurred_at, _topic"
    rows = {row[0]: row for row in world.query(f"SELECT {columns} FROM {{t}} FINAL")}
    assert rows.keys() == {one.event_id for one in sent}
    for one in sent:
        *told, received_at, occurred_at, topic = rows[one.event_id]
        assert told == [one.event_id, one.lead_id, one.STEP, one.vertical, one.source, one.release]
        assert (received_at.replace(tzinfo=UTC), occurred_at.replace(tzinfo=UTC)) == (one.received_at, one.occurred_at)
        assert topic == one.TOPIC.name


def test_what_ends_a_log_without_a_record_does_not_stay_as_lag(world: World) -> None:
    """Transaction markers take offsets; they may come when no batch is under way, and none may follow."""
    admin, topic = clients.admin(world.bootstrap), LeadUnrouted.TOPIC.name
    with world.sink():
        world.send(unrouted(5))
        world.wait()
        wait_until(lambda: lag_of(admin, world.group, (topic,)) == 0, "no lag after a batch", 20)
        producer = clients.producer(world.bootstrap, **{"transactional.id": world.group})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, b"never seen", partition=0)
        producer.flush()
        producer.abort_transaction()
        wait_until(lambda: lag_of(admin, world.group, (topic,)) == 0, "no lag after markers alone", 20)


def test_killed_anywhere_it_loses_nothing_and_counts_nothing_twice(world: World) -> None:
    chance = random.Random(7)
    kills = 0
    for _ in range(3):
        with world.sink() as process:
            before = world.stored()
            world.send(unrouted(2_000))
            # Somewhere between the first new row and the last, at a random place of a batch.
            enough = before + chance.randrange(1, 1_900)
            wait_until(lambda: world.stored() >= enough or process.poll() is not None, "some rows", 30)  # noqa: B023
            assert process.poll() is None, world.log.read_text()[-3000:]
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    with world.sink() as process:
        world.wait()
        process.terminate()
        assert process.wait(15) == 0
    assert kills == 3
    assert len(world.sent) == 6_000
    world.assert_exact()


def test_a_redelivered_record_is_one_row_and_a_replay_takes_its_place(world: World) -> None:
    lead_id = uuid4()
    first = event(LeadUnique, lead_id)
    sold = [event(LeadDelivered, lead_id, run=run, campaign=f"run-{run}") for run in (0, 2, 1)]
    with world.sink():
        world.send([first])
        world.wait()
        world.send([first, first, *sold])
        world.sent -= {one.event_id for one in sold if one.run != 2}  # replaced, perhaps before they could be seen
        world.wait()
        # The header of a replay counts like the event's own run.
        again = event(LeadValidated, lead_id)
        world.send([again])
        world.send([again], (headers.RUN, b"3"))
        wait_until(lambda: (3,) in world.query("SELECT run FROM {t} WHERE stage = 'validation'"), "the replay", 15)
    rows = world.query(f"SELECT stage, run, campaign FROM {{t}} FINAL WHERE lead_id = '{lead_id}' ORDER BY stage")
    assert rows == [("dedup", 0, ""), ("delivery", 2, "run-2"), ("validation", 3, "")]


def test_garbage_on_every_topic_never_stops_it(world: World) -> None:
    chance = random.Random(3)
    marker = uuid4()
    garbage = [None, b"", b"\x00", b"{}", b"[" * 2_000, b"\xff" * 50, *(chance.randbytes(60) for _ in range(20))]
    garbage += [b"\x00" + n.to_bytes(4, "big") + chance.randbytes(80) for n in range(1, 16)]
    pairs = [(headers.LEAD_ID, str(marker).encode()), (headers.RUN, b"-1"), (headers.DLQ_OFFSET, b"9" * 40)]
    raw = clients.producer(world.bootstrap)
    for topic in sorted(LEAD_EVENTS.topics):
        for value in garbage:
            raw.produce(topic, value, headers=pairs)
    # More months than ClickHouse takes in one insert by itself.
    for month in range(150):
        at = datetime(2005 + month // 12, 1 + month % 12, 1, tzinfo=UTC)
        raw.produce("leads", b"{}", headers=pairs[:1], timestamp=round(at.timestamp() * 1000), partition=0)
    raw.flush()
    with world.sink() as process:
        world.send(unrouted(10))
        world.wait()
        months = (
            "SELECT uniqExact(toYYYYMM(received_at)) FROM {t} WHERE stage = 'received' AND received_at < '2018-01-01'"
        )
        wait_until(lambda: world.query(months)[0][0] >= 150, "150 months", 20)
        assert process.poll() is None
    dead = world.query(f"SELECT DISTINCT _topic FROM {{t}} WHERE stage = 'dead' AND lead_id = '{marker}'")
    assert {topic for (topic,) in dead} <= LEAD_EVENTS.topics
    # The rows of one lead collapse by design; each topic's garbage is known by its place when it names no lead.
    assert dead
    world.assert_exact()


def test_two_share_and_one_takes_over(world: World) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(world.sink())
        second = stack.enter_context(world.sink())
        wait_until(lambda: sharing(world) == 2, "both are assigned partitions", 30)
        world.send(unrouted(3_000))
        first.terminate()
        world.send(unrouted(3_000))
        assert first.wait(20) == 0
        world.wait()
        third = stack.enter_context(world.sink())
        world.send(unrouted(1_000))
        second.kill()
        world.send(unrouted(1_000))
        world.wait()
        assert third.poll() is None
    world.assert_exact()


def _values(numbers: Iterable[int]) -> str:
    return ", ".join(f"({number})" for number in numbers)


def test_the_warehouse_may_be_away_for_a_while(
    catalogue: None, kafka_bootstrap: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    port = free_port()
    url, group = f"http://127.0.0.1:{port}", unique("sink")
    with ExitStack() as stack:
        with embedded(tmp_path, port) as warehouse:
            world = World(kafka_bootstrap, url, "leadline", group, tmp_path / "sink.log")
            migrate(world.client, "leadline")
            sink = stack.enter_context(world.sink())
            world.send(unrouted(500))
            world.wait()
            warehouse.send_signal(signal.SIGKILL)
        world.send(unrouted(1_500))
        wait_until(lambda: "trying again" in world.log.read_text(), "the sink noticed", 20)
        with embedded(tmp_path, port):
            world.client = connect(url)
            world.wait()
            assert sink.poll() is None, "the same sink went on"
            world.assert_exact()


def test_the_warehouse_may_be_away_when_it_is_to_say_where_to_begin(
    catalogue: None, kafka_bootstrap: str, unique: Callable[[str], str], tmp_path: Path
) -> None:
    topic, port = LeadUnrouted.TOPIC.name, free_port()
    asked, away = threading.Event(), threading.Event()

    class Beginning(Sink):
        def _begin(self) -> None:
            asked.set()
            assert away.wait(30)
            super()._begin()

    with ExitStack() as stack:
        with embedded(tmp_path, port) as warehouse:
            url = f"http://127.0.0.1:{port}"
            world = World(kafka_bootstrap, url, "leadline", unique("sink"), tmp_path / "sink.log")
            migrate(world.client, "leadline")
            low, high = log_bounds(world.bootstrap, topic, 3)
            world.send(unrouted(50))
            admin = clients.admin(world.bootstrap)
            wait_until(lambda: log_bounds(world.bootstrap, topic, 3)[1] > high, "a record to lose", 10)
            for future in admin.delete_records([TopicPartition(topic, 3, low + 1)]).values():
                future.result(20)
            commit = TopicPartition(topic, 3, low)
            consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.group})
            consumer.commit(offsets=[commit], asynchronous=False)
            consumer.close()
            sink = Beginning(world.config(accept_gaps=True), connect(url))
            thread = stack.enter_context(running(sink))
            assert asked.wait(30)
            warehouse.kill()
        away.set()
        asked.clear()
        assert asked.wait(30), "it tries again"
        with embedded(tmp_path, port):
            world.client = connect(url)
            wait_until(lambda: lag_of(admin, world.group, SUNK_TOPICS) == 0, "all is read", 60)
            assert thread.is_alive()
            assert world.query("SELECT first, last FROM leadline.sink_gaps") == [(low, low)]


def plan_by_hand(world: World, group: str, first: int, last: int, at_ms: int, of: int = 1, partition: int = 0) -> Plan:
    """The commit of a sink that died after it."""
    topic = LeadUnrouted.TOPIC.name
    topic_id = topic_admin.topic_ids(clients.admin(world.bootstrap), [topic])[topic]
    plan = Plan("by-hand", at_ms, (Part(topic, topic_id, partition, first, last),))
    metadata = plan.metadata(plan.parts[0]).replace('"of":1', f'"of":{of}')
    consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, partition, first, metadata)], asynchronous=False)
    consumer.close()
    return plan


@pytest.mark.parametrize("of", [1, 2], ids=["old", "not all there"])
@pytest.mark.parametrize("stored", [0, 7, 20])
def test_a_plan_that_is_old_or_not_all_there_is_compared_with_the_table(world: World, stored: int, of: int) -> None:
    view = watched(world)
    topic = LeadUnrouted.TOPIC.name
    begin = log_bounds(world.bootstrap, topic, 0)[1]
    events = unrouted(30)
    for one in events:
        world.producer.produce(topic, None, encode(one), (), partition=0)
        world.sent.add(one.event_id)
    world.producer.flush()
    at_ms = 1_000 if of == 1 else round(datetime.now(UTC).timestamp() * 1000)
    plan_by_hand(world, world.group, begin, begin + 19, at_ms, of)
    written = WrittenTables(world.client, world.database, [LEAD_EVENTS])
    written.put(record_of(one)._replace(partition=0, offset=begin + n) for n, one in enumerate(events[:stored]))
    with world.sink() as process:
        world.wait()
        admin = clients.admin(world.bootstrap)
        wait_until(lambda: lag_of(admin, world.group, (topic,)) == 0, "all is settled", 20)
        assert process.poll() is None
    assert "batch reconciled" in world.log.read_text()
    # An insert that reached the table may not have reached the view; of a part that is nobody's nothing is known.
    assert ("rebuild them" in world.log.read_text()) == (stored > 0 or of == 2)
    assert world.query(view) == [(30, 30)]
    world.assert_exact()


@pytest.mark.parametrize("records", [30, 0])
def test_a_log_that_was_cut_back_into_a_plan_is_read_as_it_is_now(world: World, records: int) -> None:
    """As where its leader was not in sync: other records are at the plan's offsets, and its end may never come."""
    view = watched(world)
    topic = LeadUnrouted.TOPIC.name
    begin = log_bounds(world.bootstrap, topic, 0)[1]
    at_ms = round(datetime.now(UTC).timestamp() * 1000)
    plan_by_hand(world, world.group, begin, begin + 49, at_ms)
    for one in unrouted(records):
        world.producer.produce(topic, None, encode(one), (), partition=0)
        world.sent.add(one.event_id)
    world.producer.flush()
    consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.group})
    with world.sink() as process:
        world.settle()
        committed = lambda: consumer.committed([TopicPartition(topic, 0)], timeout=20)[0]  # noqa: E731
        wait_until(lambda: not committed().metadata, "nobody awaits the plan", 30)
        assert process.poll() is None
    consumer.close()
    assert "cut back" in world.log.read_text()
    assert world.query(view) == [(records, records)]
    world.assert_exact()


def test_what_a_group_that_lost_its_commits_reads_again_is_not_there_twice(world: World) -> None:
    watched(world)
    with world.sink():
        world.send(unrouted(700))
        world.settle()
    world.group += "-anew"  # as when Kafka has forgotten the group
    with running(Sink(world.config(batch_rows=50_000), connect(world.url))):
        world.send(unrouted(300))
        world.settle()
    world.assert_once()


def test_a_plan_of_another_version_stops_it_with_a_way_out(world: World) -> None:
    consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.group})
    consumer.commit(offsets=[TopicPartition("leads.unrouted", 0, 0, '{"v":99}')], asynchronous=False)
    consumer.close()
    with world.sink() as process:
        assert process.wait(30) != 0
    assert "version 99" in world.log.read_text()


def test_a_row_that_the_table_refuses_is_a_dead_row_and_the_others_are_there(world: World) -> None:
    world.client.command(f"ALTER TABLE {world.database}.lead_events ADD CONSTRAINT c CHECK vertical != 'poison'")
    with world.sink() as process:
        good = unrouted(200)
        poison = unrouted(3, vertical="poison")
        world.send([*good[:90], *poison, *good[90:]])
        world.sent -= {one.event_id for one in poison}
        world.wait()
        refused = "SELECT count(), uniqExact(_offset, _partition) FROM {t} WHERE reason = 'value.refused'"
        wait_until(lambda: world.query(refused) == [(3, 3)], "three dead rows", 20)
        assert process.poll() is None
    world.assert_exact()


def test_records_that_are_gone_unread_stop_it_unless_it_may_go_on(world: World) -> None:
    topic = LeadUnrouted.TOPIC.name
    _, high = log_bounds(world.bootstrap, topic, 1)
    for one in unrouted(10):
        world.producer.produce(topic, None, encode(one), (), partition=1)
    world.producer.flush()
    consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": world.group})
    consumer.commit(offsets=[TopicPartition(topic, 1, high)], asynchronous=False)
    consumer.close()
    admin = clients.admin(world.bootstrap)
    for future in admin.delete_records([TopicPartition(topic, 1, high + 4)]).values():
        future.result(20)
    gap = ("leads.unrouted", 1, high, high + 3, "the committed offset is below the log's start")
    noted = f"SELECT topic, partition, first, last, why, accepted FROM {world.database}.sink_gaps"
    for _ in range(2):
        with world.sink() as process:
            assert process.wait(30) != 0
        assert world.query(noted) == [(*gap, False)], "once, however often it stops"
    assert f"offsets from {high} to {high + 3} are gone" in world.log.read_text()
    assert "LEADLINE_SINK_ACCEPT_GAPS" in world.log.read_text()
    for _ in range(2):
        sink = Sink(world.config(accept_gaps=True), connect(world.url))
        with running(sink):
            wait_until(lambda: lag_of(admin, world.group, (topic,)) == 0, "the gap is no lag", 30)
            world.send(unrouted(5))
            world.wait()
    assert world.query(f"{noted} FINAL") == [(*gap, True)]
    assert world.query(f"SELECT count() FROM {world.database}.sink_gaps") in ([(1,)], [(2,)])


def test_a_gap_behind_which_nothing_follows_is_noted_once_and_is_no_lag(world: World) -> None:
    """The log is empty: nothing that is read moves the commit past the gap."""
    topic = LeadUnrouted.TOPIC.name
    _, high = log_bounds(world.bootstrap, topic, 2)
    for one in unrouted(10):
        world.producer.produce(topic, None, encode(one), (), partition=2)
    world.producer.flush()
    plan_by_hand(world, world.group, high, high + 2, at_ms=1_000, partition=2)
    admin = clients.admin(world.bootstrap)
    for future in admin.delete_records([TopicPartition(topic, 2, high + 10)]).values():
        future.result(20)
    # The sink that died had three rows in, and its plan not settled.
    written = WrittenTables(world.client, world.database, [LEAD_EVENTS])
    written.put(record_of(event(LeadUnrouted))._replace(partition=2, offset=high + n) for n in range(3))
    sink = Sink(world.config(accept_gaps=True), connect(world.url))
    with running(sink):
        wait_until(lambda: lag_of(admin, world.group, (topic,)) == 0, "no lag", 30)
    rows = world.query(f"SELECT first, last, why, lost, accepted FROM {world.database}.sink_gaps ORDER BY first")
    assert rows == [
        (high, high + 2, DEAD_PLAN, False, True),
        (high + 3, high + 9, "the committed offset is below the log's start", True, True),
    ]
    assert sink.metrics.registry.get_sample_value("leadline_sink_gap_records_total") == 7
    with running(Sink(world.config(), connect(world.url))):
        world.send(unrouted(5))
        world.wait()


def test_a_sink_without_its_table_says_what_to_do(world: World) -> None:
    world.database = f"{world.database}_missing"
    with world.sink() as process:
        assert process.wait(30) != 0
    assert "leadline up" in world.log.read_text()


def test_migrations_are_applied_once_and_in_order(world: World) -> None:
    names = [migration.name for migration in migrations()] + [view.entry for view in views()]
    assert migrate(world.client, world.database) == []
    applied = world.client.query(f"SELECT name FROM {world.database}.schema_migrations FINAL ORDER BY name")
    assert [row[0] for row in applied.result_rows] == sorted(names)
    world.client.command(f"DROP DATABASE {world.database} SYNC")
    assert migrate(world.client, world.database) == names


def test_a_migration_that_was_changed_is_refused(world: World) -> None:
    world.client.command(
        f"INSERT INTO {world.database}.schema_migrations (name, checksum, applied_at)"
        " VALUES ('0001_lead_events', 'another', now64(3) + 10)"
    )
    with pytest.raises(WarehouseError, match="0001_lead_events"):
        migrate(world.client, world.database)


def test_an_insert_that_fails_while_it_is_written_is_no_success(world: World) -> None:
    """A constraint, the limit of partitions, a view: the rows are not there, so the client must hear of it."""
    client, database = world.client, world.database
    client.command(f"CREATE TABLE {database}.small (n UInt64, CONSTRAINT c CHECK n < 10) ENGINE = MergeTree ORDER BY n")
    client.command(f"CREATE TABLE {database}.parts (n UInt64) ENGINE = MergeTree PARTITION BY n ORDER BY n")
    client.command(f"CREATE TABLE {database}.seen (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.command(
        f"CREATE MATERIALIZED VIEW {database}.strict ENGINE = MergeTree ORDER BY m"
        f" AS SELECT throwIf(n = 7) AS m FROM {database}.seen"
    )
    for table, numbers in (("small", [1, 50]), ("parts", range(101)), ("seen", [7])):
        with pytest.raises(DatabaseError):
            client.insert(f"{database}.{table}", [[n] for n in numbers], column_names=["n"])
        with pytest.raises(DatabaseError):
            client.command(f"INSERT INTO {database}.{table} SETTINGS max_threads = 1 VALUES", data=_values(numbers))
    assert client.query(f"SELECT count() FROM {database}.small").result_rows == [(0,)]


def test_an_insert_may_hold_any_bytes(world: World) -> None:
    texts = [
        "",
        "\n",
        "\n\n",
        ";\n\n",
        "a\n\nb;",
        "'",
        "\\",
        "\0",
        "FORMAT TSV\n\n",
        "--",
        "{x:String}",
        "\n\n\n" * 1000,
    ]
    world.client.command(f"CREATE TABLE {world.database}.texts (n UInt64, t String) ENGINE = MergeTree ORDER BY n")
    rows = [[n, text] for n, text in enumerate(texts)]
    world.client.insert(f"{world.database}.texts", rows, column_names=["n", "t"])
    stored = world.client.query(f"SELECT n, t FROM {world.database}.texts ORDER BY n").result_rows
    assert [list(row) for row in stored] == rows

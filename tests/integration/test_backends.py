"""What every provider of Kafka and ClickHouse has to hold: each test runs on the one that was chosen."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType
from kit.backends import kafka_settings

from connectors.kafka import clients, topic_admin
from streams.topology import all_topics
from warehouse import migrate, replays
from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.views import views

pytestmark = pytest.mark.stack

PARTITIONS = 3


def until(condition, seconds=30):
    """Kafka answers that a topic was changed a moment before every broker shows it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def read(bootstrap, topic, count, **config):
    """The next `count` values of a topic for a group, which is named like the topic."""
    group = {"group.id": topic, "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    consumer = Consumer({"bootstrap.servers": bootstrap, "enable.auto.commit": False, **group, **config})
    consumer.subscribe([topic])
    values, deadline = [], time.monotonic() + 60
    try:
        while len(values) < count:
            assert time.monotonic() < deadline, f"{len(values)} of {count} records came"
            if (message := consumer.poll(0.2)) is not None and message.error() is None:
                values.append(message.value())
        if config.get("enable.auto.commit"):
            consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return values


@pytest.fixture
def admin(kafka_bootstrap):
    return clients.admin(kafka_bootstrap)


@pytest.fixture
def catalogue(admin, unique):
    """Every topic of the pipeline, under names of this test's own."""
    prefix = unique("catalogue")
    specs = [replace(spec, name=f"{prefix}.{spec.name}") for spec in all_topics()]
    yield specs
    existing = admin.list_topics(timeout=30).topics.keys()
    if made := [spec.name for spec in specs if spec.name in existing]:
        for future in admin.delete_topics(made).values():
            future.result(30)


@pytest.fixture
def client(clickhouse_url):
    with connect(clickhouse_url) as client:
        yield client


def test_records_come_back_in_the_order_of_their_key(kafka_bootstrap, new_topic):
    topic = new_topic(partitions=PARTITIONS)
    producer = clients.producer(kafka_bootstrap)
    for number in range(30):
        producer.produce(topic, key=str(number % 5).encode(), value=str(number).encode())
    assert producer.flush(30) == 0
    numbers = [int(value) for value in read(kafka_bootstrap, topic, 30)]
    assert sorted(numbers) == list(range(30))
    for key in range(5):
        of_key = [number for number in numbers if number % 5 == key]
        assert of_key == sorted(of_key)


def test_a_group_goes_on_where_it_stopped(kafka_bootstrap, new_topic):
    topic = new_topic()
    producer = clients.producer(kafka_bootstrap)
    producer.produce(topic, value=b"1")
    assert producer.flush(30) == 0
    assert read(kafka_bootstrap, topic, 1, **{"enable.auto.commit": True}) == [b"1"]
    producer.produce(topic, value=b"2")
    assert producer.flush(30) == 0
    assert read(kafka_bootstrap, topic, 1) == [b"2"]


def test_only_committed_transactions_are_read(kafka_bootstrap, new_topic, unique):
    topic = new_topic()
    producer = clients.producer(kafka_bootstrap, **{"transactional.id": unique("transactions")})
    producer.init_transactions(60)
    for value, end in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value=value)
        assert producer.flush(30) == 0
        end(30)
    assert read(kafka_bootstrap, topic, 1) == [b"committed"]
    uncommitted = {"isolation.level": "read_uncommitted", "group.id": f"{topic}-all"}
    assert read(kafka_bootstrap, topic, 2, **uncommitted) == [b"aborted", b"committed"]


def test_a_new_owner_of_a_transactional_id_fences_the_last(kafka_bootstrap, new_topic, unique):
    topic, name = new_topic(), unique("transactions")
    former, latter = (clients.producer(kafka_bootstrap, **{"transactional.id": name}) for _ in range(2))
    former.init_transactions(60)
    former.begin_transaction()
    former.produce(topic, value=b"of the former")
    latter.init_transactions(60)
    with pytest.raises(KafkaException):
        former.commit_transaction(30)
    latter.begin_transaction()
    latter.produce(topic, value=b"of the latter")
    latter.commit_transaction(30)
    assert read(kafka_bootstrap, topic, 1) == [b"of the latter"]


def test_kafka_is_configured_as_the_local_stack_is(admin):
    (node,) = admin.list_topics(timeout=30).brokers
    (answer,) = admin.describe_configs([ConfigResource(ResourceType.BROKER, str(node))]).values()
    told = {key: entry.value for key, entry in answer.result(30).items()}
    assert {key: told[key] for key in kafka_settings()} == kafka_settings()


def test_topics_are_only_made_on_purpose(kafka_bootstrap, admin, unique):
    name, failures = unique("nobody-made"), []
    producer = clients.producer(kafka_bootstrap, **{"topic.metadata.propagation.max.ms": 500})
    producer.produce(name, value=b"1", on_delivery=lambda error, _message: failures.append(error.code()))
    assert producer.flush(30) == 0
    assert failures == [KafkaError.UNKNOWN_TOPIC_OR_PART]
    assert name not in admin.list_topics(timeout=30).topics


def test_the_whole_catalogue_is_applied_once(admin, catalogue):
    changes = topic_admin.diff(admin, catalogue, PARTITIONS)
    assert {change.spec.name for change in changes if change.create} == {spec.name for spec in catalogue}
    assert topic_admin.apply(admin, changes, PARTITIONS, 1) == changes

    until(lambda: topic_admin.diff(admin, catalogue, PARTITIONS) == [])
    assert topic_admin.apply(admin, topic_admin.diff(admin, catalogue, PARTITIONS), PARTITIONS, 1) == []
    topics = admin.list_topics(timeout=30).topics
    assert {len(topics[spec.name].partitions) for spec in catalogue if spec.single} == {1}
    assert {len(topics[spec.name].partitions) for spec in catalogue if not spec.single} == {PARTITIONS}


def test_changed_retention_is_put_right(admin, catalogue):
    spec = catalogue[0]
    topic_admin.apply(admin, topic_admin.diff(admin, [spec], PARTITIONS), PARTITIONS, 1)
    until(lambda: topic_admin.diff(admin, [spec], PARTITIONS) == [])
    longer = replace(spec, retention_days=365)
    (change,) = topic_admin.diff(admin, [longer], PARTITIONS)
    assert change.config == {"retention.ms": (spec.config["retention.ms"], longer.config["retention.ms"])}
    assert topic_admin.apply(admin, [change], PARTITIONS, 1) == [change]
    until(lambda: topic_admin.diff(admin, [longer], PARTITIONS) == [])


def test_another_number_of_partitions_is_reported_and_never_changed(admin, catalogue):
    spec = catalogue[0]
    topic_admin.apply(admin, topic_admin.diff(admin, [spec], PARTITIONS), PARTITIONS, 1)
    until(lambda: topic_admin.diff(admin, [spec], PARTITIONS) == [])
    for wanted in (PARTITIONS - 1, PARTITIONS + 1):
        (change,) = topic_admin.diff(admin, [spec], wanted)
        assert f"has {PARTITIONS} partitions" in change.problem
        assert topic_admin.apply(admin, [change], wanted, 1) == []
    assert len(admin.list_topics(timeout=30).topics[spec.name].partitions) == PARTITIONS


def test_migrations_are_applied_once(client, database):
    names = [migration.name for migration in migrate.migrations()] + [view.entry for view in views()]
    assert names
    assert migrate.migrate(client, database) == names
    assert migrate.migrate(client, database) == []


def test_a_changed_migration_is_refused(client, database, monkeypatch):
    migrate.migrate(client, database)
    first, *others = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: [replace(first, checksum="another"), *others])
    with pytest.raises(WarehouseError, match=first.name):
        migrate.migrate(client, database)


def test_a_dangerous_migration_is_applied_only_where_that_is_allowed(client, database, monkeypatch):
    migrate.migrate(client, database)
    text = "-- @stmt danger=destructive\nDROP TABLE IF EXISTS {database}.replays{on_cluster}\n"
    ours = [*migrate.migrations(), migrate.parse("9999_no_replays", text)]
    monkeypatch.setattr(migrate, "migrations", lambda: ours)
    for at_most in (migrate.Danger.NONE, migrate.Danger.BLOCKING):
        with pytest.raises(WarehouseError, match=r"9999_no_replays is destructive: .*--allow destructive"):
            migrate.migrate(client, database, at_most=at_most)
    assert client.command(f"EXISTS {database}.replays") == 1
    assert migrate.migrate(client, database, at_most=migrate.Danger.DESTRUCTIVE) == ["9999_no_replays"]
    assert client.command(f"EXISTS {database}.replays") == 0
    monkeypatch.undo()
    with pytest.raises(WarehouseError, match="9999_no_replays, which this version does not know"):
        migrate.pending(client, database)


def test_rows_of_the_real_tables_come_back(client, database):
    migrate.migrate(client, database)
    window = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    runs = [replays.start(client, database, "leads", window, reason) for reason in ("first", "naïve “second”")]
    assert runs == [1, 2]
    rows = client.query(f"SELECT run, from_time, reason FROM {database}.replays FINAL ORDER BY run").result_rows
    assert [(run, when.replace(tzinfo=UTC), reason) for run, when, reason in rows] == [
        (1, window[0], "first"),
        (2, window[0], "naïve “second”"),
    ]


def test_rows_are_inserted_and_aggregated(client, database):
    client.command(f"CREATE DATABASE {database}")
    client.command(
        f"CREATE TABLE {database}.sales (buyer String, price Decimal(12, 4)) ENGINE = MergeTree ORDER BY buyer"
    )
    client.insert(f"{database}.sales", [["a", 1.5], ["b", 2], ["a", 3]], column_names=["buyer", "price"])
    rows = client.query(
        f"SELECT buyer, sum(price) FROM {database}.sales WHERE price < {{most:Float64}} GROUP BY buyer ORDER BY buyer",
        parameters={"most": 10.0},
    ).result_rows
    assert [(buyer, float(total)) for buyer, total in rows] == [("a", 4.5), ("b", 2.0)]


def test_an_address_without_clickhouse_is_told(kafka_bootstrap):
    with pytest.raises(WarehouseError, match="no ClickHouse at"):
        connect(f"http://{kafka_bootstrap}")

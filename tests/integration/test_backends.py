"""What every provider of Kafka has to hold: each test runs on the one that was chosen. ClickHouse's part is in
``test_clickhouse_contract.py`` and ``test_warehouse_contract.py``.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType
from kit.backends import kafka_settings

from connectors.kafka import clients, topic_admin
from streams.topology import all_topics
from warehouse.client import connect
from warehouse.errors import WarehouseError

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


def test_an_address_without_clickhouse_is_told(kafka_bootstrap):
    with pytest.raises(WarehouseError, match="no ClickHouse at"):
        connect(f"http://{kafka_bootstrap}")

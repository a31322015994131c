"""The in-memory log tells stages what Kafka's would: transactions, gaps, fences and positions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streams.memory.log import FencedError, MemoryLog

TOPIC = "topic"


def log() -> MemoryLog:
    return MemoryLog(partitions=1, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def seen(log: MemoryLog, offset: int = 0, limit: int = 100) -> list[tuple[int, bytes | None]]:
    return [(record.offset, record.value) for record in log.read(TOPIC, 0, offset, limit)]


def test_offsets_are_those_that_kafka_gives() -> None:
    """As ``test_a_stretch_ends_before_the_markers_of_a_transaction`` finds them on a real one."""
    memory = log()
    epoch = memory.fence("writer")
    for keep in (True, False, True):
        for _ in range(3):
            memory.write("writer", epoch, TOPIC, None, b"kept" if keep else b"aborted")
        memory.commit("writer", epoch) if keep else memory.abort("writer", epoch)
    assert seen(memory) == [(n, b"kept") for n in (0, 1, 2, 8, 9, 10)]
    assert seen(memory, 2, 2) == [(2, b"kept"), (8, b"kept")]


def test_nothing_behind_an_open_transaction_is_seen() -> None:
    memory = log()
    told: list[tuple[str, int]] = []
    memory.visible = lambda topic, partition: told.append((topic, partition))
    memory.append(TOPIC, None, b"before")
    epoch = memory.fence("writer")
    memory.write("writer", epoch, TOPIC, None, b"open")
    memory.append(TOPIC, None, b"behind")
    assert seen(memory) == [(0, b"before")]
    told.clear()
    memory.commit("writer", epoch)
    assert told == [(TOPIC, 0)]
    assert seen(memory) == [(0, b"before"), (1, b"open"), (2, b"behind")]


def test_a_successor_aborts_what_was_left_open_and_ends_the_right_to_write() -> None:
    memory = log()
    first = memory.fence("writer")
    memory.write("writer", first, TOPIC, None, b"left open")
    second = memory.fence("writer")
    for late in (
        lambda: memory.write("writer", first, TOPIC, None, b"late"),
        lambda: memory.commit("writer", first),
        lambda: memory.abort("writer", first),
    ):
        with pytest.raises(FencedError):
            late()
    memory.write("writer", second, TOPIC, None, b"successor's")
    memory.commit("writer", second)
    assert seen(memory) == [(2, b"successor's")]


def test_transactional_ids_do_not_wait_for_each_other_but_readers_do() -> None:
    memory = log()
    epochs = {name: memory.fence(name) for name in ("a", "b")}
    for name, epoch in epochs.items():
        memory.write(name, epoch, TOPIC, None, name.encode())
    memory.commit("b", epochs["b"])
    assert seen(memory) == []
    memory.commit("a", epochs["a"])
    assert seen(memory) == [(0, b"a"), (1, b"b")]


def test_only_the_owner_of_a_partition_commits_its_position() -> None:
    memory = log()
    assert memory.position("group", TOPIC, 0) == 0
    first = memory.join("group", 0)
    memory.advance("group", TOPIC, 0, 5, first)
    second = memory.join("group", 0)
    with pytest.raises(FencedError):
        memory.advance("group", TOPIC, 0, 9, first)
    assert memory.position("group", TOPIC, 0) == 5
    memory.advance("group", TOPIC, 0, 7, second)
    assert (memory.position("group", TOPIC, 0), memory.position("other", TOPIC, 0)) == (7, 0)

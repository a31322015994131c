"""How long a partition stands still after kill -9 of its owner, with the local stack's session time-out.

Two workers share the partitions of an exactly-once stage at some 400 records/s. One is killed and nothing starts it
again, so the other takes over. The time is the longest gap in the output of a partition that the killed one had.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import count
from typing import Final

from aiokafka.partitioner import murmur2

from bench.engine_process import engine_process
from bench.errors import BenchmarkError
from bench.registry import Samples, benchmark
from bench.session import Session
from connectors.kafka import clients
from leadline.stack.services import LOCAL_SESSION_SECONDS
from schemas.topics import changelog

PAUSE_SECONDS: Final = 0.01
FLOW_SECONDS: Final = 4.0
LIMIT_SECONDS: Final = 60.0


@benchmark("failover", unit="s", summary="a partition flows again after kill -9 of its owner", at_most=5.0)
def failover(session: Session) -> Samples:
    """Seconds."""
    found = []
    for number in range(1, session.rounds + 1):
        found.append(_round(session, number))
        session.report(number, "leadline", found[-1], "s")
    return {"leadline": found}


def _round(session: Session, number: int) -> float:
    broker, run = session.broker, f"failover-{number}"
    source, output = f"{run}-source", f"{run}-output"
    broker.create(source, output, changelog(run).name)
    with ExitStack() as survivors:
        with ExitStack() as killed:
            for worker, stack in (("killed", killed), ("survivor", survivors)):
                flags = "--table", "--exactly-once", f"--session-timeout={LOCAL_SESSION_SECONDS}"
                stack.enter_context(engine_process(session, run, *flags, name=worker)).check()
            watch = _Watch(session, source, output)
            watch.until_all_flow()
        # The block's end has killed one.
        seconds = watch.standstill()
    broker.delete([source, output, changelog(run).name])
    return seconds


def _a_key_for_each(partitions: int) -> list[bytes]:
    """Keys, of which each partition has one; a record's copy goes to the partition it came from."""
    found: dict[int, bytes] = {}
    for number in count():
        key = b"key-%d" % number
        found.setdefault(int(murmur2(key) & 0x7FFFFFFF) % partitions, key)
        if len(found) == partitions:
            break
    return list(found.values())


class _Watch:
    """Writes to every partition and sees when each one's output grows."""

    def __init__(self, session: Session, source: str, output: str) -> None:
        self._broker = session.broker
        self._source = source
        self._producer = clients.producer(session.broker.bootstrap, **{"linger.ms": 0, "log_level": 0})
        self._places = session.broker.places([output])
        self._ends = {place.partition: 0 for place in self._places}
        self._grew = {place.partition: 0.0 for place in self._places}
        self._keys = _a_key_for_each(len(self._places))

    def until_all_flow(self) -> None:
        """Until every partition has flowed for a while."""
        since: float | None = None
        started = time.monotonic()
        while since is None or time.monotonic() - since < FLOW_SECONDS:
            self._turn()
            now = time.monotonic()
            if now - started > LIMIT_SECONDS:
                raise BenchmarkError("the partitions do not flow")
            flowing = all(now - grew < 1.0 for grew in self._grew.values())
            since = (since or now) if flowing else None

    def standstill(self) -> float:
        """The longest time until a partition's output grew again."""
        killed, waiting, longest = time.monotonic(), set(self._ends), 0.0
        while waiting:
            self._turn()
            for partition in list(waiting):
                if self._grew[partition] > killed + 1.0 or time.monotonic() - killed > LIMIT_SECONDS:
                    waiting.discard(partition)
            longest = max([longest, *(time.monotonic() - max(self._grew[p], killed) for p in waiting)])
        if longest >= LIMIT_SECONDS - 1:
            raise BenchmarkError("nobody took over")
        return longest

    def _turn(self) -> None:
        for key in self._keys:
            self._producer.produce(self._source, b"x" * 600, key)
        self._producer.poll(0)
        for partition, end in self._broker.ends(self._places).items():
            if end > self._ends[partition]:
                self._ends[partition], self._grew[partition] = end, time.monotonic()
        time.sleep(PAUSE_SECONDS)

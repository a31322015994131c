"""Watching the outputs as they come: when each partition's flow stood still."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Final

from confluent_kafka import KafkaException, TopicPartition

from connectors.kafka import clients
from kit.counting_worker import Counted

GAP_SECONDS: Final = 0.5
"""A shorter pause is none."""


class Watch:
    """Reads committed outputs in a thread, from their beginning. Partitions are those of the input."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        now = time.monotonic()
        self.records = 0
        self._last = dict.fromkeys(range(partitions), now)
        self._gaps: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        self._consumer = clients.reader(bootstrap, **{"log_level": 0})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)
        self._thread.start()

    def standing_still(self) -> dict[int, float]:
        """For how many seconds nothing has come of each partition."""
        now = time.monotonic()
        return {partition: now - last for partition, last in list(self._last.items())}

    def gap_at(self, partition: int, moment: float) -> float:
        """Seconds from a moment to the end of the pause that it falls into; 0 when there was flow."""
        moment += GAP_SECONDS  # what was under way at that moment still comes
        return max(
            (end - moment + GAP_SECONDS for start, end in self._gaps[partition] if start <= moment < end), default=0.0
        )

    def longest_gap(self) -> float:
        """The longest pause of all."""
        return max((end - start for gaps in self._gaps.values() for start, end in gaps), default=0.0)

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                messages = self._consumer.consume(1000, 0.2)
            except KafkaException:  # the broker is away
                continue
            now = time.monotonic()
            for message in messages:
                if message.error() is not None:
                    continue
                self.records += 1
                partition = Counted.load(message.value() or b"").place[0]
                last, self._last[partition] = self._last[partition], now
                if now - last > GAP_SECONDS:
                    self._gaps[partition].append((last, now))

"""The producer: numbers by key, 1, 2, 3 …, at a steady rate, in a thread of its own."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

from connectors.kafka.producer import AckedProducer

_TICK_SECONDS = 0.02
_DELIVERY_SECONDS = 300.0


class Traffic:
    """Sends until :meth:`finish`. ``sent`` counts by key, and is complete after that."""

    def __init__(self, bootstrap: str, topic: str, seed: int, keys: int, records_per_second: int) -> None:
        self.sent: Counter[str] = Counter()
        self._producer = AckedProducer(bootstrap, delivery_timeout_seconds=_DELIVERY_SECONDS, log_level=0)
        self._topic = topic
        self._random = random.Random(f"{seed}/traffic")
        self._keys = [f"key-{number:04d}" for number in range(keys)]
        self._rate = records_per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, name="traffic", daemon=True)
        self._thread.start()

    @property
    def records(self) -> int:
        """How many were sent."""
        return self.sent.total()

    def finish(self) -> None:
        """Send no more; returns once every record is acknowledged.

        Raises:
            DeliveryFailedError: one is not, and then nothing can be concluded.
        """
        self.stop()
        self._producer.flush()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        started, count = time.monotonic(), 0
        while not self._stop.wait(_TICK_SECONDS):
            due = int((time.monotonic() - started) * self._rate)
            for _ in range(due - count):
                key = self._random.choice(self._keys)
                self._producer.produce(self._topic, key.encode(), str(self.sent[key] + 1).encode())
                self.sent[key] += 1
            count = due

"""Writes records at a steady rate and reads what comes of them: how long each was under way, in one process.

A record holds when it was written (``time.monotonic_ns``, 8 bytes). The reader takes committed records only.
"""

from __future__ import annotations

import argparse
import json
import struct
import threading
import time
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from connectors.kafka import clients

KEYS: Final = 500
PATIENCE_SECONDS: Final = 30.0


def main() -> None:
    """Print percentiles of the records after the warm-up, in milliseconds, as JSON."""
    parser = argparse.ArgumentParser()
    for option in ("bootstrap", "source", "output"):
        parser.add_argument(f"--{option}", required=True)
    for option in ("partitions", "rate", "seconds", "warm-up", "size"):
        parser.add_argument(f"--{option}", type=int, required=True)
    options = parser.parse_args()
    total, warm = options.rate * (options.seconds + options.warm_up), options.rate * options.warm_up
    reader = clients.reader(options.bootstrap, **{"fetch.wait.max.ms": 100, "enable.partition.eof": False})
    reader.assign([TopicPartition(options.output, number, 0) for number in range(options.partitions)])
    writer = threading.Thread(target=_write, args=(options, total), daemon=True)
    writer.start()
    taken = sorted(_read(reader, total)[warm:])
    print(json.dumps({f"p{share}": taken[min(len(taken) * share // 100, len(taken) - 1)] for share in (50, 95, 99)}))


def _write(options: argparse.Namespace, total: int) -> None:
    producer = clients.producer(options.bootstrap, **{"linger.ms": 0})
    filling, started = b"x" * (options.size - 8), time.monotonic()
    for number in range(total):
        wait = started + number / options.rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        producer.produce(
            options.source, struct.pack("<q", time.monotonic_ns()) + filling, b"key-%d" % (number * 7919 % KEYS)
        )
        producer.poll(0)
    producer.flush()


def _read(reader: Consumer, total: int) -> list[float]:
    """Milliseconds of every record, in the order in which they came."""
    taken: list[float] = []
    last = time.monotonic()
    while len(taken) < total:
        messages = reader.consume(1000, timeout=0.002)
        now = time.monotonic_ns()
        for message in messages:
            (written,) = struct.unpack_from("<q", message.value() or b"")
            taken.append((now - written) / 1e6)
        if messages:
            last = time.monotonic()
        elif time.monotonic() - last > PATIENCE_SECONDS:
            raise SystemExit(f"only {len(taken)} of {total} records came")
    return taken


if __name__ == "__main__":
    main()

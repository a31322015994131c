"""A worker for tests of the engine: its stage does what each record says, and copies it otherwise.

Values: ``fail`` makes the stage raise, ``unreadable`` does not decode, ``large`` makes an output that no topic takes;
with ``--effects`` every record has an effect, and ``stuck`` one that does not end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.metrics_server import serve
from kit.full_stack import wait_until
from leadline import logs
from leadline.stack import lifeline
from schemas.codec import UndecodableError
from schemas.config.release import Configuration
from schemas.identity import lead_id_at
from schemas.raw_lead import RawArrival
from schemas.reasons import Reason
from schemas.record import Record
from schemas.settings import Settings
from schemas.topics import EVENT_BYTES, Key, TopicSpec
from streams.engine.worker import Engine, WorkerConfig
from streams.stage import Context, EffectStage, Guarantee, Output, Plan, Stage
from streams.tables import Tables, TableSpec

SEEN = TableSpec("seen", int)


class Obeying(Stage[RawArrival]):
    """Copies records, and counts them by key."""

    tables = (SEEN,)

    def __init__(self, name: str, source: str, output: str, guarantee: Guarantee) -> None:
        self.name = name
        self.reads = (TopicSpec(source, Key.ANY, "what to do"),)
        self.writes = (TopicSpec(output, Key.ANY, "what was done"),)
        self.guarantee = guarantee

    def decode(self, record: Record) -> RawArrival:
        """The value and the key as text."""
        text, key = (record.value or b"").decode(), (record.key or b"").decode()
        if text.startswith("unreadable"):
            raise UndecodableError(Reason.VALUE_NOT_JSON)
        moment = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        lead_id = lead_id_at(record.topic, record.partition, record.offset)
        return RawArrival({"text": text, "key": key}, lead_id, True, 0, moment, None)

    def process(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> list[Output]:
        """Obey."""
        return [self.output(arrival, tables) for arrival in arrivals]

    def output(self, arrival: RawArrival, tables: Tables) -> Output:
        """What comes of one record."""
        text, key = arrival.fields["text"], arrival.fields["key"]
        if text.startswith("fail"):
            raise LookupError(text)
        seen = tables[SEEN].get(key) or 0
        tables[SEEN][key] = seen + 1
        value = b"x" * (EVENT_BYTES + 1) if text.startswith("large") else text.encode()
        return Output(self.writes[0].name, key.encode(), value)


class ObeyingWithEffects(EffectStage[RawArrival, RawArrival, str], Obeying):  # type: ignore[misc]
    """The same once an effect is performed; what is not known to be performed says so."""

    def plan(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> Plan[RawArrival]:
        """An effect for each."""
        return Plan(effects=[(arrival, arrival) for arrival in arrivals])

    def settle(self, results: Sequence[tuple[RawArrival, str]], tables: Tables, context: Context) -> Plan[RawArrival]:
        """Say what came of it."""
        topic = self.writes[0].name
        return Plan([Output(topic, arrival.fields["key"].encode(), result.encode()) for arrival, result in results])

    def unknown(self, effect: RawArrival) -> str:
        """Said so."""
        return f"unknown {effect.fields['text']}"

    def limit_seconds(self, effect: RawArrival) -> float:
        """Short."""
        return 1.0


async def perform(arrival: RawArrival) -> str:
    """Nothing much, or without end."""
    if arrival.fields["text"].startswith("stuck"):
        await asyncio.Event().wait()
    return f"done {arrival.fields['text']}"


@dataclass
class RunningWorker:
    """A worker of its own process."""

    process: subprocess.Popen[bytes]
    data: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it logged under a name."""
        lines = (self.data / "log").read_text().splitlines() if (self.data / "log").exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line.get("event") == name]

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def wait_ready(self) -> None:
        """Until records flow, or it is a spare."""
        pid = str(self.process.pid)
        ready = self.data / "ready"
        wait_until(lambda: ready.exists() and ready.read_text() == pid, "the worker is ready", 60)


@contextmanager
def worker(data: Path, bootstrap: str, source: str, output: str, group: str, *flags: str) -> Iterator[RunningWorker]:
    """Run one; it is killed at the end if it still runs."""
    data.mkdir(parents=True, exist_ok=True)
    options = {"bootstrap": bootstrap, "source": source, "output": output, "group": group, "data": data}
    command = [sys.executable, "-m", "kit.engine_worker", *(f"--{k}={v}" for k, v in options.items()), *flags]
    with (data / "log").open("ab") as log:
        process = subprocess.Popen(
            lifeline.wrap(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,
        )
    running = RunningWorker(process, data)
    try:
        yield running
    finally:
        running.kill()


def main() -> None:
    """Obey until told to stop."""
    parser = argparse.ArgumentParser()
    for option in ("bootstrap", "source", "output", "group"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--session-seconds", type=float, default=6.0)
    parser.add_argument("--exactly-once", action="store_true")
    parser.add_argument("--effects", action="store_true")
    options = parser.parse_args()
    logs.configure(Settings(), process="obeying")
    guarantee = Guarantee.EXACTLY_ONCE if options.exactly_once else Guarantee.DETERMINISTIC
    kind = ObeyingWithEffects if options.effects else Obeying
    configuration = Configuration(verticals=(), buyers=(), campaigns=())
    engine = Engine(
        kind(options.group, options.source, options.output, guarantee),
        WorkerConfig(options.bootstrap, options.group, options.data, options.partitions, options.session_seconds),
        context=lambda: Context(datetime.now(UTC), configuration, b"", "test"),
        make_performer=(lambda: perform) if options.effects else None,
        on_ready=lambda: (options.data / "ready").write_text(str(os.getpid())),
    )
    port = serve(engine.metrics.registry, "127.0.0.1", 0)
    (options.data / "metrics").write_text(f"http://127.0.0.1:{port}/metrics")
    engine.run()


if __name__ == "__main__":
    main()

"""A run of benchmarks: its settings, its folder, its Kafka, and what it tells the person who waits."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.broker import Broker
from leadline.stack.background import running_stack

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PARTITIONS: Final = 4
BROKER: Final = {"KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC"}
"""As a broker that runs for long: with both of Java's compilers, where the local stack's has only the quick one."""


@dataclass
class Session:
    """Settings of a run. ``records`` shrinks or stretches what the fast contenders do; None leaves it to each
    benchmark."""

    home: Path
    console: Console
    rounds: int
    records: int | None
    _resources: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def broker(self) -> Broker:
        """A Kafka of the session's own, started when first asked for."""
        share_jars(self.home)
        self.console.print("starting Kafka", style="dim")
        endpoints = self._resources.enter_context(running_stack(self.home, {"kafka"}, environment=BROKER))
        assert endpoints.kafka_bootstrap is not None
        return Broker(endpoints.kafka_bootstrap, PARTITIONS)

    def scaled(self, records: int, default: int) -> int:
        """How many records a slow contender does, whose default is ``records`` where ours is ``default``."""
        return records if self.records is None else max(1, records * self.records // default)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Progress]:
        """A bar for one run; the caller updates its only task. Nothing is shown where nobody watches."""
        watched = self.console.is_terminal
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        # Four times a second: drawing more often would take the processor from who is measured.
        with Progress(
            *columns, console=self.console, transient=True, refresh_per_second=4, disable=not watched
        ) as progress:
            progress.add_task(label, total=total)
            yield progress

    def report(self, round_number: int, contender: str, value: float, unit: str) -> None:
        """One finished run."""
        self.console.print(
            f"  round {round_number}/{self.rounds}  {contender:<12} {value:>10,.{0 if value >= 100 else 2}f} {unit}",
            highlight=False,
        )

    def close(self) -> None:
        """Stop what was started."""
        vars(self).pop("broker", None)  # its client would complain about a broker that has gone
        self._resources.close()


@contextmanager
def opened(console: Console, rounds: int, records: int | None) -> Iterator[Session]:
    """A session in a temporary folder; everything it starts ends with it."""
    home = Path(tempfile.mkdtemp(prefix="leadline-bench-"))
    session = Session(home, console, rounds, records)
    try:
        yield session
    finally:
        session.close()
        shutil.rmtree(home, ignore_errors=True)


def share_jars(home: Path) -> None:
    """Let a home use the checkout's jars, so that they are downloaded once."""
    jars, link = REPOSITORY / ".leadline" / "maven", home / "maven"
    jars.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(jars, target_is_directory=True)

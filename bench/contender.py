"""Contenders: each runs as a process of its own, and all are measured the same way, from outside.

What counts is what the output topics hold: the rate is that of the records which arrive there after the first 5 %, so
neither start-up nor the forming of a group is in it, and what a contender says of itself never is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.progress import Progress

from bench.errors import BenchmarkError
from leadline.stack import lifeline
from leadline.stack.service_log import open_log, tail

WARM_UP_SHARE: Final = 0.05
POLL_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 120.0
"""How long a contender may go without any progress."""


class Process:
    """A running contender and its log."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def check(self) -> None:
        """See that it still runs.

        Raises:
            BenchmarkError: it has ended; the message has the end of its log.
        """
        if (code := self._process.poll()) is not None:
            raise self.failed(f"ended with exit code {code}")

    def failed(self, what: str) -> BenchmarkError:
        """An error about it, with the end of its log."""
        return BenchmarkError("\n".join([f"{self.name} {what}; the end of its log:", *tail(self._log)]))


@contextmanager
def running(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A contender that ends with the block, and with this process whatever happens to it. From the main thread."""
    with open_log(log) as output:
        process = subprocess.Popen(
            lifeline.wrap(command),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Process(name, process, log)
    finally:
        # What it had to do is done, and its group, topics and folder are never used again: no long goodbye.
        process.send_signal(signal.SIGKILL)
        process.wait()


def throughput(
    count: Callable[[], int],
    total: int,
    processes: Sequence[Process],
    progress: Progress,
    *,
    since: float | None = None,
) -> float:
    """Records a second until ``count()`` is ``total``: from ``since`` (monotonic), else after the first 5 %.

    Raises:
        BenchmarkError: a contender has ended, stands still, or has written more than it should.
    """
    begun = None if since is None else (since, 0)
    (task,) = progress.task_ids
    last, moved = 0, time.monotonic()
    while True:
        done, now = count(), time.monotonic()
        if done != last:
            last, moved = done, now
            progress.update(task, completed=done)
        if begun is None and total * WARM_UP_SHARE <= done:
            begun = now, done
        if done >= total:
            break
        for process in processes:
            process.check()
        if now - moved > PATIENCE_SECONDS:
            raise processes[0].failed(f"stands still at {done:,} of {total:,} records")
        time.sleep(POLL_SECONDS)
    assert begun is not None
    started, first = begun
    if now <= started:
        raise BenchmarkError(f"{total:,} records are too few to measure {processes[0].name}; raise --records")
    return (done - first) / (now - started)

"""A sink that kills itself at some of its steps: ``python -m kit.failing_sink bootstrap url database group share``."""

from __future__ import annotations

import os
import random
import signal
import sys

from warehouse.client import connect
from warehouse.sink import Sink, SinkConfig


def main() -> None:
    """Run until a signal, or until chance kills it after a plan or after an insert, ``share`` of the steps."""
    bootstrap, url, database, group, share = sys.argv[1:]
    chance = random.Random()

    def step(name: str) -> None:
        if chance.random() < float(share):
            print(f"killed itself: {name}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    config = SinkConfig(
        bootstrap=bootstrap,
        database=database,
        group=group,
        batch_rows=500,
        batch_seconds=0.05,
        session_timeout_seconds=2.0,
        safe_seconds=20.0,
    )
    sink = Sink(config, connect(url), on_ready=lambda: print("ready", flush=True), on_step=step)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sink.stop())
    sink.run()


if __name__ == "__main__":
    main()

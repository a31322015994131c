"""A worker of the counting stage whose tables are in RocksDB."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from kit.counting_worker import Counting
from leadline import logs
from schemas.config.release import Configuration
from schemas.settings import Settings
from streams.engine.worker import Engine, WorkerConfig
from streams.stage import Context


def main() -> None:
    """Count until told to stop."""
    parser = argparse.ArgumentParser()
    for option in ("bootstrap", "source", "output", "group"):
        parser.add_argument(f"--{option}", required=True)
    for option in ("data", "state"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    options = parser.parse_args()
    logs.configure(Settings(), process=str(os.getpid()))
    configuration = Configuration(verticals=(), buyers=(), campaigns=())
    Engine(
        Counting(options.group, options.source, options.output),
        WorkerConfig(options.bootstrap, options.group, options.data, options.partitions, state=options.state),
        context=lambda: Context(datetime.now(UTC), configuration, b"", "test"),
    ).run()


if __name__ == "__main__":
    main()

"""The peer: Faust as its documentation sets it up, an agent that sends every record on. Nothing is tuned."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import faust


def build(options: argparse.Namespace) -> faust.App:
    """The application."""
    app = faust.App(
        options.group,
        broker=f"kafka://{options.bootstrap}",
        datadir=options.data,
        topic_partitions=options.partitions,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    raw: Any = {"key_serializer": "raw", "value_serializer": "raw", "key_type": bytes, "value_type": bytes}
    source = app.topic(options.source, **raw)
    output = app.topic(options.output, **raw)
    if options.table:
        counts = app.Table("counts", default=int, key_type=bytes, value_type=int, partitions=options.partitions)

        @app.agent(source)
        async def count(stream: Any) -> None:
            async for key, value in stream.items():
                counts[key] += 1
                await output.send(key=key, value=value)
    else:

        @app.agent(source)
        async def copy(stream: Any) -> None:
            async for key, value in stream.items():
                await output.send(key=key, value=value)

    return app


def main() -> None:
    """Copy a topic until killed."""
    parser = argparse.ArgumentParser()
    for option in ("bootstrap", "source", "output", "group"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    app = build(options)
    # -l warn would put the root logger at DEBUG and slow it down.
    sys.argv = [sys.argv[0], "worker", "-l", "info", "--without-web"]
    app.main()


if __name__ == "__main__":
    main()

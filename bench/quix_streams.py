# /// script
# requires-python = ">=3.11"
# dependencies = ["quixstreams==3.28.1"]
# ///
"""The peer: Quix Streams as its documentation sets it up, at least once or exactly once.

It needs an older librdkafka binding than ours, hence an environment of its own, locked beside this file:
``uv run --script bench/quix_streams.py --help``. ``uv lock --script bench/quix_streams.py`` resolves it again.
"""

from __future__ import annotations

import argparse
from typing import Any

from quixstreams import Application, State  # type: ignore[import-not-found]


def count(value: bytes, state: State) -> bytes:
    """The record unchanged, and one more for its key in the state."""
    state.set("count", state.get("count", 0) + 1)
    return value


def main() -> None:
    """Copy a topic until killed."""
    parser = argparse.ArgumentParser()
    for option in ("bootstrap", "source", "output", "group", "data"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--exactly-once", action="store_true")
    options = parser.parse_args()
    app = Application(
        broker_address=options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        state_dir=options.data,
        processing_guarantee="exactly-once" if options.exactly_once else "at-least-once",
    )
    source = app.topic(options.source, key_deserializer="bytes", value_deserializer="bytes")
    output = app.topic(options.output, key_serializer="bytes", value_serializer="bytes")
    frame: Any = app.dataframe(source)
    if options.table:
        frame = frame.apply(count, stateful=True)
    frame.to_topic(output)
    app.run()


if __name__ == "__main__":
    main()

"""The pipeline's stages on the in-memory log, with buyers who accept at once; prints leads a second."""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime

from connectors.config_file import load_configuration
from connectors.outbound.contract import Answer
from connectors.sandbox.traffic import DEFAULT_MIX, generate
from leadline.stack.files import local_file
from schemas.codec import warm_up
from schemas.events import Outcome
from schemas.topics import LEADS
from streams.delivery.stage import Post
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.stage import Context
from streams.topology import PIPELINE


def accept(post: Post) -> Answer:
    """What a buyer who takes everything answers."""
    return Answer(Outcome.ACCEPTED, reference=str(post.key), http_status=200)


def main() -> None:
    """Run all leads through all stages once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--leads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    records = generate(options.seed, DEFAULT_MIX.scaled(options.leads)).records
    configuration = load_configuration(local_file("config.yaml"), os.environ)
    log = MemoryLog()
    runner = MemoryRunner(
        PIPELINE,
        log,
        context=lambda: Context(datetime.now(UTC), configuration, b"benchmark-secret", "bench"),
        perform=accept,
    )
    warm_up()
    started = time.perf_counter()
    for record in records:
        log.append(LEADS.name, None, record)
    runner.run()
    print(len(records) / (time.perf_counter() - started))


if __name__ == "__main__":
    main()

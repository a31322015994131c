"""Our engine as a process: a worker that copies one topic to another."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from bench.contender import Process, running
from bench.session import REPOSITORY, Session


def engine_process(session: Session, run: str, *flags: str, name: str = "leadline") -> AbstractContextManager[Process]:
    """A worker of the group ``run``, from the topic ``<run>-source`` to ``<run>-output``; it ends with the block. Each
    worker of a group has a name of its own."""
    options = {
        "bootstrap": session.broker.bootstrap,
        "source": f"{run}-source",
        "output": f"{run}-output",
        "group": run,
        "data": session.home / "data" / f"{run}-{name}",
        "partitions": session.broker.partitions,
    }
    arguments = [f"--{option}={value}" for option, value in options.items()]
    command = [sys.executable, "-m", "bench.leadline_engine", *arguments, *flags]
    return running(name, command, session.home / "logs" / f"{run}-{name}.log", {"PYTHONPATH": str(REPOSITORY)})

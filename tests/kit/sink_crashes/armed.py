"""A fault that waits for a sink to come to its point: a file that the first one there takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from kit.sink_crashes.faults import SIGNALS, STEPS, Fault

_TAKEN: Final = "taken-"


def arm(folder: Path, fault: Fault) -> None:
    """Let the next sink that comes to the fault's point do it to itself."""
    written = folder / "arming"
    written.write_text(f"{STEPS[fault.point]}\n{SIGNALS[fault.kind].value}")
    written.rename(folder / "armed")


def come_to(folder: Path, step: str) -> None:
    """This process is at a step: where a fault is armed for it, no other takes it and it happens here."""
    try:
        armed, number = (folder / "armed").read_text().split("\n")
        if armed != step:
            return
        (folder / "armed").rename(folder / f"{_TAKEN}{os.getpid()}")
    except FileNotFoundError:  # none is, or another was quicker
        return
    print(f"signal {number} to itself: {step}", flush=True)
    os.kill(os.getpid(), int(number))


def has_taken(folder: Path, process: int) -> bool:
    """Has the armed fault happened to a process, and nobody asked for it yet?"""
    return (folder / f"{_TAKEN}{process}").exists()


def taken_by(folder: Path) -> int | None:
    """The process that the armed fault has happened to, once."""
    for path in folder.glob(f"{_TAKEN}*"):
        path.unlink()
        return int(path.name.removeprefix(_TAKEN))
    return None

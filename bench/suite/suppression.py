"""Suppression lists of a million rows: how long one takes to come in, what memory that takes, and what a look-up costs.

The list is of MD5 digests of phones, as suppression services send them. Loading is the whole way, from the CSV file to
an opened list that has answered; memory is the most that the process which does so has grown by. A worker does less: it
maps the compiled file, which its neighbours share.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from bench.errors import BenchmarkError
from bench.registry import Samples, benchmark
from bench.session import Session
from connectors.suppression.compiled_file import SuppressionSet
from connectors.suppression.importing import Request, import_list
from schemas.config.suppression import Hashed, ListField, ListKind, MatchRule

ROWS: Final = 1_000_000
LOOK_UPS: Final = 200_000
SECRET: Final = b"the pseudonym key of a benchmark"
MD5: Final = Request("bench", ListKind.SUPPRESSION, MatchRule(hashed=Hashed.MD5))
PLAIN: Final = Request("bench", ListKind.DO_NOT_CONTACT, MatchRule())


@benchmark("suppression-load", unit="s", summary="a CSV file of a million MD5 digests to an open list", at_most=5.0)
def load(session: Session) -> Samples:
    """Seconds."""
    return _rounds(session, "s", lambda folder: _apart(_load, folder)[0])


@benchmark("suppression-memory", unit="MB", summary="the most memory that takes", at_most=150.0)
def memory(session: Session) -> Samples:
    """Megabytes."""
    return _rounds(session, "MB", lambda folder: _apart(_load, folder)[1])


@benchmark("suppression-lookup", unit="µs", summary="asking a list of a million phones for a lead", at_most=2.0)
def look_up(session: Session) -> Samples:
    """Microseconds, half of them for leads that are on the list."""
    return _rounds(session, "µs", lambda folder: _apart(_look_up, folder)[0])


def _rounds(session: Session, unit: str, measure: Callable[[Path], float]) -> Samples:
    folder, found = session.home / "suppression", []
    folder.mkdir(parents=True, exist_ok=True)
    phones = _phones(session.records or ROWS)
    (folder / "plain.csv").write_text("phone\n" + "\n".join(phones))
    digests = (hashlib.md5(phone.encode(), usedforsecurity=False).hexdigest() for phone in phones)
    (folder / "md5.csv").write_text("md5\n" + "\n".join(digests))
    for number in range(1, session.rounds + 1):
        found.append(measure(folder))
        session.report(number, "leadline", found[-1], unit)
    return {"leadline": found}


def _phones(count: int) -> list[str]:
    """Distinct, with even subscriber numbers: odd ones are on no list."""
    chosen = random.Random(1).sample(range(640 * 640 * 5000), count)
    return [f"{200 + n // 3_200_000}{200 + n // 5000 % 640}{n % 5000 * 2:04}" for n in chosen]


def _apart(work: Callable[[Path], tuple[float, float]], folder: Path) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, folder).result()


def _load(folder: Path) -> tuple[float, float]:
    """Seconds, and the megabytes of the peak above what the interpreter with its modules had."""
    before, started = _resident("VmRSS"), time.perf_counter()
    opened = _imported(folder, "md5.csv", MD5)
    if opened.find({"phone": "+12125550101"}):
        raise BenchmarkError("a phone is on a list that has only even ones")
    return time.perf_counter() - started, _resident("VmHWM") - before


def _look_up(folder: Path) -> tuple[float, float]:
    """Microseconds a look-up, and the share that was found."""
    opened = _imported(folder, "plain.csv", PLAIN)
    listed = (folder / "plain.csv").read_text().split()[1 : LOOK_UPS // 2 + 1]
    leads: list[dict[ListField, str]] = []
    for phone in listed:
        leads += {"phone": f"+1{phone}"}, {"phone": f"+1{int(phone) + 1}"}
    started = time.perf_counter()
    found = sum(1 for lead in leads if opened.find(lead))
    seconds = time.perf_counter() - started
    if found != len(listed):
        raise BenchmarkError(f"{found:,} leads were found where {len(listed):,} are listed")
    return seconds / len(leads) * 1e6, found / len(leads)


def _imported(folder: Path, name: str, request: Request) -> SuppressionSet:
    compiled = folder / f"{name}.bin"
    account = import_list(folder / name, compiled, request, secret=SECRET, now=datetime.now(UTC))
    if account.accepted != account.rows:
        raise BenchmarkError(f"{account.bad:,} bad rows and {account.duplicates:,} duplicates in a list without any")
    return SuppressionSet.open(compiled, SECRET)


def _resident(figure: str) -> float:
    # Not by getrusage: its peak is the parent's where that was higher.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{figure}:"))

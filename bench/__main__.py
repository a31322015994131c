"""``python -m bench``: measure, print the table, keep the results in ``.leadline/bench.json``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Final

import cyclopts
from confluent_kafka import KafkaException
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from bench import results
from bench.errors import BenchmarkError
from bench.registry import Benchmark, benchmarks
from bench.results import Result
from bench.session import REPOSITORY, opened
from leadline.stack.errors import StackError

RESULTS: Final = REPOSITORY / ".leadline" / "bench.json"
KEPT_SETTINGS: Final = {"LEADLINE_JAVA"}

app = cyclopts.App(name="python -m bench", help=__doc__)


@app.default
def main(
    *names: str,
    rounds: Annotated[int, Parameter(validator=Number(gte=1))] = 5,
    records: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
) -> int:
    """Run benchmarks side by side with their peers; exit code 1 when a required ratio is missed.

    Parameters
    ----------
    names:
        Which ones; all by default.
    rounds:
        How often every contender runs, in turns; figures are medians.
    records:
        How many records ours does; slow contenders do their share. Each benchmark has its own default.
    list_:
        List the benchmarks instead.
    """
    console = Console()
    known = benchmarks()
    if list_:
        for benchmark in known.values():
            note = "" if benchmark.usual else "  (only when named)"
            console.print(f"{benchmark.name:<22} {benchmark.summary}{note}", highlight=False, soft_wrap=True)
        return 0
    if unknown := [name for name in names if name not in known]:
        raise BenchmarkError(f"no benchmark is named {', '.join(unknown)}; `python -m bench --list` lists them")
    chosen = [known[name] for name in dict.fromkeys(names)] or [found for found in known.values() if found.usual]
    found: list[Result] = []
    faults: list[str] = []
    with opened(console, rounds, records) as session:
        for benchmark in chosen:
            console.print(f"[bold]{benchmark.name}[/bold]: {benchmark.summary}", highlight=False, soft_wrap=True)
            measured = results.compare(benchmark.name, benchmark.unit, benchmark.run(session))
            results.keep(RESULTS, measured)
            found += measured
            faults += results.shortfalls(measured, benchmark.at_least, benchmark.at_most)
    console.print(_table(found, chosen))
    console.print(f"medians of rounds: {rounds}, kept in {os.path.relpath(RESULTS)}", style="dim", highlight=False)
    for fault in faults:
        console.print(fault, style="red", highlight=False)
    return 1 if faults else 0


def _table(found: list[Result], chosen: list[Benchmark]) -> Table:
    """Ours beside its peers: medians, the ratio's median and its range over the rounds."""
    table = Table("benchmark", "ours", "peer", "peer's", "ratio", "range", show_lines=True)
    for column in (1, 3, 4, 5):
        table.columns[column].justify = "right"
    for shown in table.columns:
        shown.no_wrap = True
    for benchmark in chosen:
        own = [result for result in found if result.name == benchmark.name]
        beside = [_beside(result) for result in own if result.peer is not None] or [("", "", "", "")]
        cells = ("\n".join(column) for column in zip(*beside, strict=True))
        table.add_row(f"{benchmark.name}\n[dim]{benchmark.unit}[/dim]", figure(own[0].value), *cells)
    return table


def figure(value: float) -> str:
    """A figure with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _beside(result: Result) -> tuple[str, str, str, str]:
    ratios = [ours / peer for ours, peer in result.runs]
    return (
        str(result.peer),
        f"{result.peer_value:,.0f}",
        f"{result.ratio:.1f} ×",
        f"{min(ratios):.1f}–{max(ratios):.1f}",
    )


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)  # unwinds, and so ends every process


if __name__ == "__main__":
    for setting in [name for name in os.environ if name.startswith("LEADLINE_") and name not in KEPT_SETTINGS]:
        del os.environ[setting]  # a configured cluster is no place for a benchmark
    for terminating in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(terminating, _stop)
    try:
        code = app()
    except (BenchmarkError, StackError, KafkaException) as error:
        Console(stderr=True).print(str(error), style="red", highlight=False, markup=False)
        code = 2
    sys.exit(code)

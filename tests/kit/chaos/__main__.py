"""``python -m kit.chaos``: the long run, both stages one after the other. Ends with 1 when anything is wrong."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from kit.chaos.plan import Plan, Report
from kit.chaos.run import run
from kit.counting_worker import Kind
from kit.full_stack import share_jars
from leadline.stack.background import running_stack


def main() -> int:
    """Run as the options say."""
    parser = argparse.ArgumentParser(prog="python -m kit.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=220, help="in all, half of them for each stage (220)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the faults (a random one)")
    parser.add_argument("--stage", type=Kind, choices=list(Kind), help="only this one")
    parser.add_argument("--rate", type=int, default=1000, help="records a second (1000)")
    parser.add_argument("--home", type=Path, help="an empty folder for Kafka and the logs (a temporary one)")
    options = parser.parse_args()
    kinds = [options.stage] if options.stage else list(Kind)
    home = options.home or Path(tempfile.mkdtemp(prefix="leadline-chaos-"))
    share_jars(home)
    console = Console()
    console.print(f"seed {options.seed}; logs in {home}", highlight=False)
    reports: list[Report] = []
    with running_stack(home, {"kafka"}) as endpoints:
        assert endpoints.kafka_bootstrap is not None
        for kind in kinds:
            plan = Plan(kind, options.seed, options.faults // len(kinds), records_per_second=options.rate)
            reports.append(_watched(plan, endpoints.kafka_bootstrap, home, console))
            console.print("\n".join(reports[-1].lines()), highlight=False, markup=False, soft_wrap=True)
    if any(report.problems for report in reports):
        console.print(f"again: make chaos SEED={options.seed}", highlight=False)
        return 1
    if options.home is None:
        shutil.rmtree(home)
    return 0


def _watched(plan: Plan, bootstrap: str, home: Path, console: Console) -> Report:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(plan.kind, total=plan.faults)

        def tell(line: str) -> None:
            if console.is_terminal:
                progress.update(task, advance=1, description=f"{plan.kind}  {line.partition('  ')[2]}")
            else:
                console.print(f"{plan.kind} {line}", highlight=False, markup=False, soft_wrap=True)

        return asyncio.run(run(plan, bootstrap, home, home / "chaos" / plan.kind, tell))


if __name__ == "__main__":
    sys.exit(main())

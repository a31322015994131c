"""What the command shows while things start, and where everything is."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from leadline.stack.state import StackState
from leadline.stack.supervisor import Event, State

WORDS = {
    State.STARTING: "starting",
    State.READY: "[green]ready[/green]",
    State.DIED: "[red]died[/red]",
    State.RESTARTING: "[yellow]restarting[/yellow]",
    State.STOPPED: "[dim]stopped[/dim]",
    State.FAILED: "[red]failed[/red]",
}


class StackDisplay:
    """Progress while the stack starts, a line per event after that; lines only where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.fields[service]:<14}"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._live = console.is_terminal
        self._downloaded_percent = -1

    def __enter__(self) -> Self:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """End the live part; events are lines from now on."""
        if self._live:
            self._progress.stop()
            self._live = False

    def event(self, event: Event) -> None:
        """Show a service's change."""
        if self._live:
            task = self._task(event.service)
            self._progress.update(task, description=WORDS[event.state], visible=event.state is not State.READY)
        if not self._live or event.state is State.READY:
            seconds = f" in {event.seconds:.1f} s" if event.seconds is not None and event.state is State.READY else ""
            code = f" (exit code {event.exit_code})" if event.state in (State.DIED, State.FAILED) else ""
            self._console.print(f"{event.service:<14} {WORDS[event.state]}{seconds}{code}", highlight=False)

    def progress(self, done: int, total: int, label: str) -> None:
        """Show Kafka's download, in bytes."""
        if self._live:
            self._progress.update(self._task("kafka"), description="downloading", completed=done, total=total)
            return
        percent = 100 * done // max(total, 1) // 25 * 25
        if percent > self._downloaded_percent:
            self._downloaded_percent = percent
            self._console.print(f"{'kafka':<14} downloading {percent} %", highlight=False)

    def _task(self, service: str) -> TaskID:
        if service not in self._tasks:
            self._tasks[service] = self._progress.add_task("", total=None, service=service)
        return self._tasks[service]


def print_endpoints(console: Console, home: Path, state: StackState) -> None:
    """Where everything is, and what to type next."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("Kafka", state.kafka_bootstrap or "")
    table.add_row("ClickHouse", f"{state.clickhouse_url}  (HTTP interface)")
    table.add_row("Intake", f"{state.intake_url}/leads  (POST a JSON object)")
    table.add_row("Sandbox buyer", f"{state.sandbox_url}/received")
    table.add_row("Data and logs", str(home))
    console.print(table)
    console.print("Next: `leadline send FILE`, `leadline status`, `leadline journey LEAD_ID`.", style="dim")

"""What the command shows while things start, and where everything is."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from leadline.stack.state import StackState
from leadline.stack.supervisor import Event, State
from leadline.stack.warehouse import without_password

WORDS = {
    State.STARTING: "starting",
    State.READY: "[green]ready[/green]",
    State.DIED: "[red]died[/red]",
    State.RESTARTING: "[yellow]restarting[/yellow]",
    State.STOPPED: "[dim]stopped[/dim]",
    State.FAILED: "[red]failed[/red]",
}


class _Megabytes(ProgressColumn):
    """How much of a download is there; nothing for what is not one."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        return Text(f"{task.completed / 1e6:.0f} of {task.total / 1e6:.0f} MB", style="progress.download")


class StackDisplay:
    """Progress while the stack starts, a line per event after that; lines only where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.fields[service]:<14}"),
            TextColumn("{task.description}"),
            _Megabytes(),
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
            # A download is over once its service starts.
            self._progress.reset(task, total=None, description=WORDS[event.state])
            self._progress.update(task, visible=event.state is not State.READY)
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
    places = (
        ("Kafka", state.kafka_bootstrap, ""),
        ("ClickHouse", state.clickhouse_url and without_password(state.clickhouse_url), "  (HTTP interface)"),
        ("Intake", state.intake_url, "/leads  (POST a JSON object)"),
        ("Sandbox buyer", state.sandbox_url, "/received"),
    )
    for name, place, what in places:
        if place is not None:
            table.add_row(name, place + what)
    for number, (name, url) in enumerate(state.metrics_urls.items()):
        table.add_row("" if number else "Metrics", f"{url}  ({name})")
    table.add_row("Data and logs", str(home))
    console.print(table)
    console.print("Next: `leadline send FILE`, `leadline status`, `leadline journey LEAD_ID`.", style="dim")

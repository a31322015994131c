"""The funnel as bars."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

ENDS: Final = ("rejected", "duplicate", "unrouted", "delivered", "undelivered", "dead")
_STEPS: Final = ("raw", "validated", "unique", "routed", *ENDS)
_STYLES: Final = {
    "delivered": "green", "undelivered": "red", "dead": "red", "rejected": "yellow", "duplicate": "yellow",
}  # fmt: skip


def bars(funnel: Any, total: int) -> Group:
    """A line for each step and each end; ``total`` leads fill a bar."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name in _STEPS:
        count, style = getattr(funnel, name), _STYLES.get(name, "cyan")
        bar = ProgressBar(total=max(total, 1), completed=count, width=40, complete_style=style, finished_style=style)
        table.add_row(name, Text(f"{count:,}", justify="right"), bar)
    return Group(Text("Funnel, distinct leads"), table)

"""``leadline watch``: the funnel as it fills, in the terminal."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from leadline import environment
from leadline.funnel_display import bars

RATE_SECONDS: Final = 10.0
"""Over which leads a second are taken."""


def watch(
    *,
    every: Annotated[float, Parameter(name=["--every", "-n"])] = 1.0,
    once: bool = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Watch leads come to their ends, until Ctrl-C: how many there are at each step, and how fast they come.

    Parameters
    ----------
    every:
        Seconds between two looks.
    once:
        Look once.
    as_json:
        Print a JSON object for each look, a line each.
    """
    from warehouse import queries
    from warehouse.client import connect

    settings = environment.settings()
    client, database = connect(environment.clickhouse_of(settings)), settings.clickhouse_database
    if as_json or once:
        while True:
            funnel = queries.funnel(client, database)
            if as_json:
                print(json.dumps(asdict(funnel)), flush=True)
            else:
                Console().print(bars(funnel, funnel.raw))
            if once:
                return
            time.sleep(every)
    console, seen = Console(), Seen()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        try:
            while True:
                funnel = queries.funnel(client, database)
                live.update(Group(bars(funnel, funnel.raw), seen.line(time.monotonic(), funnel)), refresh=True)
                time.sleep(every)
        except KeyboardInterrupt:
            pass
    console.print(bars(funnel, funnel.raw))


class Seen:
    """The last looks, for how fast leads come and end."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int, int]] = deque()

    def line(self, now: float, funnel: Any) -> Text:
        """Leads a second over the last :data:`RATE_SECONDS`, and those under way."""
        self._looks.append((now, funnel.raw, funnel.ended))
        while now - self._looks[0][0] > RATE_SECONDS:
            self._looks.popleft()
        then, raw, ended = self._looks[0]
        seconds = max(now - then, 1e-9)
        came, went = (funnel.raw - raw) / seconds, (funnel.ended - ended) / seconds
        under_way = f"{funnel.raw - funnel.ended:,} under way"
        if now == then:
            return Text(under_way, style="dim")
        return Text(f"{came:,.1f} leads/s in, {went:,.1f} to their end, {under_way}; Ctrl-C ends", style="dim")

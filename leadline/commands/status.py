"""``leadline status``: what runs here, and how far behind it is."""

from __future__ import annotations

import json
from typing import Annotated

from confluent_kafka import KafkaException
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from connectors.kafka.lag import lag_of
from leadline import environment
from leadline.display import print_endpoints
from leadline.stack.state import read_state
from schemas.topics import SINK_GROUP, group_of
from streams.topology import PIPELINE


def status(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Show the services of this home folder and each stage's lag. Exit code 0 even when nothing runs.

    Parameters
    ----------
    as_json:
        Print JSON for scripts.
    """
    settings = environment.settings()
    state = read_state(settings.home)
    lags: dict[str, int | None] = {}
    problem = None
    if settings.kafka_bootstrap is not None:
        try:
            admin = environment.admin_of(settings)
            for stage in PIPELINE:
                lags[stage.name] = lag_of(admin, group_of(stage.name), tuple(t.name for t in stage.reads))
            from warehouse.sinking.tables import SUNK_TOPICS

            lags["sink"] = lag_of(admin, SINK_GROUP, SUNK_TOPICS)
        except KafkaException as error:
            problem = f"Kafka at {settings.kafka_bootstrap} does not answer: {error.args[0]}"
    if as_json:
        document = {
            "home": str(settings.home),
            "stack": None if state is None else state.model_dump(mode="json"),
            "lag_records": lags,
            "problem": problem,
        }
        print(json.dumps(document, indent=2))
        return
    console = Console()
    if state is None:
        console.print(f"No stack is running in {settings.home}. Start one with `leadline up`.")
    else:
        table = Table(
            "service", "state", "pid", "restarts", "lag (records)", "log file", box=None, padding=(0, 2, 0, 0)
        )
        for name, service in state.services.items():
            lag = lags.get(name)
            table.add_row(
                name,
                service.state.value,
                str(service.pid or ""),
                str(service.restarts),
                "" if lag is None else str(lag),
                service.log.name,
            )
        console.print(table)
        print_endpoints(console, settings.home, state)
    if problem:
        console.print(problem, style="red")

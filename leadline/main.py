"""The ``leadline`` command: every subcommand, and what happens when one fails."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Final

import cyclopts
from confluent_kafka import KafkaException
from pydantic import ValidationError
from rich.console import Console

from connectors.config_file import ConfigurationError
from connectors.inbound.lead_file import LeadFileError
from connectors.kafka.producer import DeliveryFailedError
from connectors.secret_file import SecretError
from leadline.commands import (
    config,
    demo,
    erase,
    explain,
    journey,
    processes,
    query,
    releases,
    replay,
    send,
    simulate,
    source,
    status,
    suppression,
    topics,
    up,
    warehouse,
    watch,
)
from leadline.errors import CommandError
from leadline.stack.errors import StackError
from warehouse.errors import WarehouseError

EXIT_ERROR: Final = 1
EXIT_CONFIG: Final = 78

app = cyclopts.App(
    name="leadline",
    version=metadata.version("leadline"),
    help="""Route leads: Kafka in, buyers out, every decision explained in ClickHouse.

    Start with `leadline up`, then `leadline send FILE`, then `leadline journey LEAD_ID`; `leadline demo` does all of it
    with a thousand generated leads. Settings are environment variables, LEADLINE_KAFKA_BOOTSTRAP and
    LEADLINE_CLICKHOUSE_URL above all: with one of them set, that part of the local stack is not started.
    """,
)
topics_app = cyclopts.App(name="topics", help="The topics of the catalogue, as they are on the cluster.")
config_app = cyclopts.App(
    name="config",
    help="""The configuration: verticals, buyers and campaigns in YAML, checked, compared and put in force.

    Start with `leadline config example > config.yaml`, then `leadline config check config.yaml`, then `leadline config
    apply config.yaml`: every worker goes by it from its next slice on.
    """,
)

app.command(up.up)
app.command(up.down)
app.command(status.status)
app.command(demo.demo)
app.command(send.send)
app.command(send.generate)
app.command(journey.journey)
app.command(explain.explain)
app.command(query.query)
app.command(watch.watch)
app.command(replay.replay)
app.command(erase.erase)
app.command(simulate.simulate)
app.command(suppression.suppression_app)
app.command(source.source_app)
app.command(warehouse.warehouse_app)
app.command(topics_app)
topics_app.command(topics.diff)
topics_app.command(topics.apply)
app.command(config_app)
config_app.command(config.check)
config_app.command(config.show)
config_app.command(config.diff)
config_app.command(releases.apply)
config_app.command(releases.history)
config_app.command(config.schema)
config_app.command(config.example)
app.command(processes.worker)
app.command(processes.sink)
app.command(processes.intake)


def main() -> None:
    """Run the command; exit code 0 when done, 1 on an error, 78 when the settings or the configuration are at fault."""
    errors = Console(stderr=True)
    try:
        app()
    except (CommandError, StackError) as error:
        errors.print(error.message, style="red", highlight=False, markup=False)
        if error.hint:
            errors.print(error.hint, highlight=False, markup=False)
        sys.exit(EXIT_ERROR)
    except (ConfigurationError, SecretError) as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)  # a place is one word
        sys.exit(EXIT_CONFIG)
    except ValidationError as error:
        faults = [f"LEADLINE_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()]
        errors.print("\n".join(faults), style="red", highlight=False, markup=False)
        sys.exit(EXIT_CONFIG)
    except (WarehouseError, LeadFileError) as error:
        errors.print(str(error), style="red", highlight=False, markup=False)
        sys.exit(EXIT_ERROR)
    except (KafkaException, DeliveryFailedError) as error:
        errors.print(f"Kafka: {error.args[0]}", style="red", highlight=False, markup=False)
        errors.print("Is it running? `leadline status` shows the local one.", highlight=False)
        sys.exit(EXIT_ERROR)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)

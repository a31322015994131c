"""``leadline explain``: why a lead was offered to whom, made again from the log."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException
from cyclopts import Parameter
from rich.console import Console

from connectors.kafka.log_reader import as_record, read_range
from leadline import environment, explanation_display, releases
from leadline.errors import CommandError
from schemas.codec import decode
from schemas.config.placeholders import UnusableReleaseError, WrittenRelease
from schemas.config.release import Configuration
from schemas.events import LeadRouted, LeadUnique, LeadUnrouted
from schemas.identity import Step
from schemas.settings import Settings
from streams.routing import explanation
from streams.routing.explanation import Explanation

JOURNEY: Final = "`leadline journey {}` shows what became of it."
STAND_INS: Final = ("http://unset.invalid", "unset")
"""For variables that are not set here: where a lead is posted to decides nothing."""

Row = Mapping[str, Any]


def explain(
    lead_id: UUID,
    /,
    *,
    run: int | None = None,
    decision: int | None = None,
    campaign: str | None = None,
    all_campaigns: Annotated[bool, Parameter(name="--all", negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Show why a lead was offered to whom: each campaign's place, or what it failed by and what it would have taken.

    The decision is made again from the lead, the release and the facts that the log has, and compared with what was
    decided.

    Parameters
    ----------
    lead_id:
        The lead's id, as the intake and `leadline send` give it.
    run:
        The run of the pipeline: 0 for live traffic, else the replay's number. The latest by default.
    decision:
        Which decision of the run, where a lead on hold or returned was decided about again. The latest by default.
    campaign:
        Only this campaign.
    all_campaigns:
        Every campaign, where a reason has many.
    as_json:
        Print JSON for scripts.
    """
    from warehouse import queries
    from warehouse.client import connect

    settings = environment.settings()
    bootstrap = environment.kafka_of(settings)
    client = connect(environment.clickhouse_of(settings))
    rows = queries.decisions(client, settings.clickhouse_database, lead_id)
    decided = _decided(lead_id, rows, run, decision)
    event = _read(bootstrap, decided, lead_id, (LeadRouted, LeadUnrouted))
    assert isinstance(event, LeadRouted | LeadUnrouted)  # noqa: S101  # as asked for
    configuration = _filled(releases.named(releases.history_of(bootstrap), event.release), settings)
    found = _explained(bootstrap, event, rows, configuration)
    if campaign is not None:
        _require(found, campaign)
    events = queries.journey(client, settings.clickhouse_database, lead_id)
    became = explanation_display.what_became(events, event.run, event.attempt)
    if as_json:
        print(json.dumps(explanation_display.document(found, event, became, campaign), default=str))
        return
    console = Console()
    for part in explanation_display.page(found, event, became, campaign, everything=all_campaigns):
        console.print(part, highlight=False)


def _decided(lead_id: UUID, rows: list[dict[str, Any]], run: int | None, decision: int | None) -> Row:
    made = [row for row in rows if row["stage"] == Step.ROUTING]
    if not rows:
        raise CommandError(
            f"The warehouse knows no lead {lead_id} that came to routing.",
            f"{JOURNEY.format(lead_id)} A lead is there about a second after it was sent.",
        )
    if not made:
        raise CommandError(f"Nothing is decided about lead {lead_id} yet.", "`leadline status` shows what waits.")
    for row in made:
        if run in (None, row["run"]) and decision in (None, row["attempt"]):
            return row
    known = ", ".join(f"--run {row['run']} --decision {row['attempt']}" for row in made)
    raise CommandError(
        f"The warehouse has no such decision about lead {lead_id}.",
        f"It has {known}; a replay takes the place of others.",
    )


def _read(
    bootstrap: str, row: Row, lead_id: UUID, kinds: tuple[type[LeadUnique] | type[LeadRouted] | type[LeadUnrouted], ...]
) -> LeadUnique | LeadRouted | LeadUnrouted:
    """The event of a row of the warehouse, from its place in the log."""
    topic, partition, offset = str(row["topic"]), int(row["partition"]), int(row["offset"])
    place = f"{topic}[{partition}] at {offset}"
    try:
        records = [
            as_record(message)
            for batch in read_range(bootstrap, topic, partition, offset, offset + 1)
            for message in batch
        ]
    except KafkaException as error:
        if error.args[0].code() != KafkaError.OFFSET_OUT_OF_RANGE:
            raise
        raise CommandError(
            f"The log no longer has {place}: its retention has deleted it.",
            JOURNEY.format(lead_id),
        ) from None
    found = decode(topic, records[0].value) if records else None
    if not isinstance(found, kinds) or found.lead_id != lead_id:
        raise CommandError(
            f"The log has something else than lead {lead_id} in {place}.",
            "Was the warehouse filled from another Kafka? See LEADLINE_KAFKA_BOOTSTRAP and LEADLINE_CLICKHOUSE_URL.",
        )
    return found


def _explained(
    bootstrap: str, event: LeadRouted | LeadUnrouted, rows: list[dict[str, Any]], configuration: Configuration
) -> Explanation:
    """The decision explained by the lead of its run; a replay may tell what an earlier run's lead was decided by."""
    first: Explanation | None = None
    for lead in _leads(bootstrap, event, rows):
        found = explanation.explain(event, lead, configuration)
        if found.agrees:
            return found
        first = first or found
    if first is None:
        raise CommandError(
            f"The warehouse has no row of how lead {event.lead_id} passed dedup.",
            f"`leadline status` shows whether the sink is behind. {JOURNEY.format(event.lead_id)}",
        )
    return first


def _leads(bootstrap: str, event: LeadRouted | LeadUnrouted, rows: list[dict[str, Any]]) -> Iterator[LeadUnique]:
    passed = [row for row in rows if row["stage"] == Step.DEDUP]
    for row in sorted(passed, key=lambda row: abs(row["run"] - event.run)):
        found = _read(bootstrap, row, event.lead_id, (LeadUnique,))
        assert isinstance(found, LeadUnique)  # noqa: S101  # as asked for
        yield found


def _filled(written: WrittenRelease, settings: Settings) -> Configuration:
    known = releases.variables_of(settings)
    failure: UnusableReleaseError | None = None
    for stand_in in STAND_INS:
        try:
            return written.filled(dict.fromkeys(written.variables, stand_in) | known)
        except UnusableReleaseError as error:
            failure = error
    raise CommandError(
        f"The decision's release cannot be used here: {failure}.", "`leadline config history` lists all."
    )


def _require(found: Explanation, campaign: str) -> None:
    names = [verdict.campaign.id for verdict in found.verdicts]
    if campaign not in names:
        near = difflib.get_close_matches(campaign, names)
        raise CommandError(
            f"The decision was not about campaign {campaign}.",
            f"Did you mean {' or '.join(near)}?" if near else "Leave --campaign out to see those it was about.",
        )

"""``leadline erase``: a person's data out of the warehouse, with a certificate of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm

from connectors.kafka.producer import AckedProducer, DeliveryFailedError
from leadline import environment
from leadline.errors import CommandError
from schemas.codec import encode
from schemas.events import Feedback
from schemas.settings import Settings
from streams.topology import all_topics
from streams.validation.contacts import parse_email, parse_phone
from streams.validation.folding import folded

if TYPE_CHECKING:
    from warehouse.erasing.certificate import Certificate
    from warehouse.erasing.people import Identity
    from warehouse.erasure import Asked

EXIT_NOBODY: Final = 4
EXIT_UNFINISHED: Final = 5
TOLD_WITHIN_SECONDS: Final = 20.0
SHOWN: Final = "%Y-%m-%d %H:%M"


def erase(
    *,
    lead: UUID | None = None,
    phone: str | None = None,
    email: str | None = None,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    by: str | None = None,
    certificate: Path | None = None,
    wait_seconds: float = 600.0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Erase a person: delete every contact, prove by the table's files that it is gone, and write a certificate.

    Give one of --lead, --phone and --email. Whichever it is, all leads that came until now under the same pseudonym go,
    and no replay brings them back. Events without personal data stay, so that revenue stays what it was. To stop calls
    in the future use a suppression list: `leadline suppression`.

    Exit code 0 when that is done and verified, also when it was before; 4 when nobody is known by that; 5 when not all
    is proven yet: run the same again, which goes on where it was.

    Parameters
    ----------
    lead:
        The id of one of the person's leads; also of one that was rejected.
    phone:
        The person's phone, as anybody writes it.
    email:
        The person's email.
    yes:
        Do not ask.
    dry_run:
        Show what would go and change nothing.
    by:
        Who does it, for the certificate; the system's user by default.
    certificate:
        Write the certificate to a file, as JSON.
    wait_seconds:
        How long to wait for the proof.
    as_json:
        Print the certificate, or with --dry-run what would go, as JSON.
    """
    from clickhouse_connect.driver.exceptions import Error

    settings = environment.settings()
    identity = _identity(settings, lead, phone, email)
    console = Console(stderr=as_json)
    try:
        done = _erase(
            settings, identity, console, yes=yes, dry_run=dry_run, by=by, wait_seconds=wait_seconds, as_json=as_json
        )
    except Error as error:
        raise CommandError(
            f"ClickHouse: {str(error).strip()[:500]}",
            "`leadline warehouse migrate` makes what is missing; what was begun goes on when the same is run again.",
        ) from error
    if done is not None:
        _hand_over(done, certificate, console, as_json=as_json)


def _erase(
    settings: Settings,
    identity: Identity,
    console: Console,
    *,
    yes: bool,
    dry_run: bool,
    by: str | None,
    wait_seconds: float,
    as_json: bool,
) -> Certificate | None:
    """The certificate, of now or before; None for a dry run. Exits where there is none."""
    from warehouse.client import connect
    from warehouse.erasing.parts import UnfinishedError
    from warehouse.erasing.people import check_key
    from warehouse.erasing.signals import signals
    from warehouse.erasure import ask, erase

    client, database = connect(environment.clickhouse_of(settings)), settings.clickhouse_database
    if identity.pseudonym is not None:
        check_key(client, database, environment.secret_of(settings))
    asked = ask(client, database, identity)
    if not asked.anything:
        if asked.done is None:
            console.print(f"Nobody: the warehouse has no contact by that {identity.found_by}.", highlight=False)
            console.print(
                "A lead is there about a second after it was sent; one that was rejected is found by --lead only.",
                style="dim",
            )
            sys.exit(EXIT_NOBODY)
        console.print(f"Erased on {asked.done.finished_at:{SHOWN}} UTC; nothing came since.", highlight=False)
        return asked.done
    _announce(console, asked)
    if dry_run:
        if as_json:
            print(json.dumps(_found(asked), default=str))
        return None
    if not yes and not _agreed(console):
        raise CommandError("Nothing was erased.", "--yes says so without being asked; --dry-run shows what would go.")
    _tell(environment.kafka_of(settings), signals(client, database, asked.holding.persons, datetime.now(UTC)))
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("deleting", total=None)
            return erase(
                client,
                database,
                asked,
                [spec for spec in all_topics() if spec.personal_data],
                cluster=settings.clickhouse_cluster,
                asked_by=by,
                wait_seconds=wait_seconds,
                told=lambda what, left: progress.update(task, description=f"waiting for {left} {what}"),
            )
    except (UnfinishedError, KeyboardInterrupt) as error:
        why = str(error) or "it was interrupted"
        console.print(f"Not finished: {why}.", style="red", highlight=False, markup=False)
        console.print("Nothing comes back meanwhile. Run the same command again: it goes on where it was.")
        sys.exit(EXIT_UNFINISHED)


def _tell(bootstrap: str, events: Sequence[Feedback]) -> None:
    """Have the stages let go of leads that they keep; told twice is as told once."""
    if not events:
        return
    producer = AckedProducer(bootstrap, delivery_timeout_seconds=TOLD_WITHIN_SECONDS)
    try:
        for event in events:
            producer.produce(event.TOPIC.name, event.person.encode(), encode(event))
        producer.flush()
    except DeliveryFailedError as error:
        raise CommandError(
            f"Kafka does not take what the stages are to be told, so nothing was erased: {error}.",
            "`leadline status` says whether it runs, `leadline topics apply` makes a topic that is missing.",
        ) from error


def _identity(settings: Settings, lead: UUID | None, phone: str | None, email: str | None) -> Identity:
    from warehouse.erasing.people import Identity

    if sum(given is not None for given in (lead, phone, email)) != 1:
        raise CommandError("One person at a time.", "Give one of --lead ID, --phone NUMBER and --email ADDRESS.")
    if lead is not None:
        return Identity.of_lead(lead)
    secret = environment.secret_of(settings)
    if phone is not None:
        if (number := parse_phone(folded(phone))) is None:
            raise CommandError("That is no North American phone number.", "Such as --phone '(415) 555-0123'.")
        return Identity.of_phone(secret, number)
    if (address := parse_email(folded(email or ""))) is None:
        raise CommandError("That is no email address.", "Such as --email ada@example.com.")
    return Identity.of_email(secret, address)


def _found(asked: Asked) -> dict[str, object]:
    holding = asked.holding
    return {
        "found_by": asked.identity.found_by.value,
        "persons": list(holding.persons) if holding.rows else [],
        "leads": [str(lead) for lead in holding.leads],
        "rows": holding.rows,
        "first": holding.first,
        "last": holding.last,
        "goes_on_with": None if asked.begun is None else str(asked.begun.id),
    }


def _announce(console: Console, asked: Asked) -> None:
    holding = asked.holding
    if asked.begun is not None:
        console.print(f"Going on with the erasure of {asked.begun.asked_at:{SHOWN}} UTC.", highlight=False)
        if not holding.rows:
            return
    leads = f"{len(holding.leads):,} lead{'' if len(holding.leads) == 1 else 's'}"
    if holding.first is None or holding.last is None:
        console.print(f"{leads}, without a contact in the warehouse.", highlight=False)
        return
    when = f"{holding.first:{SHOWN}} to {holding.last:{SHOWN}} UTC"
    console.print(f"{leads} in {holding.rows:,} rows, received {when}.", highlight=False)


def _agreed(console: Console) -> bool:
    return sys.stdin.isatty() and Confirm.ask("Erase this person for good?", console=console, default=False)


def _hand_over(certificate: Certificate, file: Path | None, console: Console, *, as_json: bool) -> None:
    text = certificate.model_dump_json(indent=2)
    if file is not None:
        file.write_text(f"{text}\n")
    if as_json:
        print(text)
        return
    lines = [
        f"Certificate {certificate.id}",
        f"Asked for {certificate.asked_at:{SHOWN}} UTC by {certificate.asked_by}, found by {certificate.found_by};"
        f" verified {certificate.finished_at:{SHOWN}} UTC",
        f"Deleted: {certificate.rows_deleted:,} rows of contacts, of {len(certificate.leads):,} leads",
        f"Verified: {certificate.parts_checked} parts read, {certificate.parts_removed} old parts off the disk;"
        f" {certificate.verified}",
    ]
    if certificate.buyers:
        lines.append(f"Buyers who were sent a lead, and are to be told: {', '.join(certificate.buyers)}")
    lines.append("Remains:")
    for one in certificate.remains:
        until = "as its operator says" if one.until is None else f"until {one.until:%Y-%m-%d}"
        lines.append(f"  {until:<20}  {one.where}: {one.what}")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    if file is not None:
        console.print(f"Written to {file}.", highlight=False, markup=False, soft_wrap=True)

"""``leadline config apply|history``: putting a release in force, and what was when."""

from __future__ import annotations

import getpass
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.kafka import release_log
from connectors.kafka.release_log import ReleaseChangedError
from connectors.kafka.transaction import FencedError, TransactionError
from leadline import changes_display, environment, releases
from leadline.commands.config import print_findings
from leadline.errors import CommandError
from schemas.config.changes import changes
from schemas.config.history import Applied, ReleaseHistory
from schemas.config.lint import lint
from schemas.config.placeholders import WrittenRelease
from schemas.config.trap import Severity
from schemas.settings import Settings

AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def apply(
    path: Path | None = None,
    /,
    *,
    release: str | None = None,
    message: Annotated[str, Parameter(name=["--message", "-m"])] = "",
    author: str | None = None,
    expect: str | None = None,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a configuration in force: check it, show what it changes, ask, and let every worker take it over.

    All of it or nothing is in force, and workers go by it from their next slice on, without a restart. For example
    `leadline config apply config.yaml -m "Texas for Sunpath"`, and to roll back `leadline config apply --release HASH`
    with an older one of `leadline config history`.

    Parameters
    ----------
    path:
        A YAML file or a folder; LEADLINE_CONFIG by default.
    release:
        In place of a file: a release that was in force, by its hash or the first digits of it.
    message:
        Why, for the history.
    author:
        Who, for the history; the user's name by default.
    expect:
        Refuse unless this release is in force: the one that was looked at.
    yes:
        Do not ask.
    dry_run:
        Check and show, and change nothing.
    as_json:
        Print JSON for scripts; needs --yes or --dry-run.
    """
    settings = environment.settings()
    bootstrap = environment.kafka_of(settings)
    if release is not None and path is not None:
        raise CommandError("Either a file or a release can be applied.", "Leave one of them out.")
    if as_json and not (yes or dry_run):
        raise CommandError("--json does not ask.", "Add --yes to apply, or --dry-run to look.")
    console = Console(soft_wrap=True, stderr=as_json)
    written = None if release is not None else _checked(settings, path, console)
    history = releases.history_of(bootstrap)
    if written is None:
        written = releases.named(history, release or "")
    if expect is not None and not (history.current or "").startswith(expect):
        raise _changed(f"{history.current or 'No release'} is in force, not {expect}.")
    before = None if history.current is None else history.written(history.current)
    found = changes(before, written)
    same, applied = history.current == written.release, None
    if not same:
        changes_display.print_changes(console, history.current, written.release, found)
        if not dry_run and (yes or _confirmed(console)):
            applied = _apply(bootstrap, written, author, message, history)
    if as_json:
        document: dict[str, Any] = {
            "before": history.current,
            "release": written.release,
            "applied": applied is not None,
        }
        print(json.dumps(document | {"changes": [changes_display.as_json(change) for change in found]}, indent=2))
    elif same:
        console.print(f"Release {written.release} is in force already.", highlight=False)
    elif applied is not None:
        console.print(
            f"Release {written.release} is in force (number {applied.number}).", style="green", highlight=False
        )
        if applied.previous is not None:
            console.print(f"`leadline config apply --release {applied.previous}` rolls it back.", highlight=False)
    else:
        console.print("Nothing was applied.", highlight=False)
        if not dry_run:
            sys.exit(1)


def history(*, as_json: AsJson = False) -> None:
    """List what was put in force: when, by whom and why, the latest first.

    `leadline config show --release HASH` shows one of them, `leadline config diff HASH HASH` compares two.

    Parameters
    ----------
    as_json:
        Print JSON for scripts.
    """
    found = releases.history_of(environment.kafka_of(environment.settings()))
    latest = list(reversed(found.applied))
    if as_json:
        print(json.dumps([_entry(applied, applied is latest[0]) for applied in latest], indent=2, ensure_ascii=False))
        return
    console = Console(soft_wrap=True)
    if not latest:
        console.print(f"No release was ever in force. {releases.APPLY}", highlight=False)
        return
    table = Table("", "release", "applied", "author", "message", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[:4]:
        column.no_wrap = True
    for applied in latest:
        number = Text(f"{applied.number}", "green" if applied is latest[0] else "")
        at = applied.at.strftime("%Y-%m-%d %H:%M:%S UTC")
        table.add_row(number, applied.release, at, Text(applied.author), Text(applied.message))
    console.print(table, highlight=False)
    console.print(f"In force is {latest[0].release}.", style="dim", highlight=False)


def _checked(settings: Settings, path: Path | None, console: Console) -> WrittenRelease:
    path = path or releases.path_of(settings)
    loaded = releases.load_file(settings, path)
    findings = [finding for finding in lint(loaded.configuration) if finding.severity is Severity.WARNING]
    print_findings(console, path, loaded, findings)
    return loaded.written


def _confirmed(console: Console) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("Nothing was applied: nobody is there to ask.", "Add --yes, or --dry-run to only look.")
    return console.input("Put it in force? [y/N] ").strip().lower() in ("y", "yes")


def _apply(
    bootstrap: str, written: WrittenRelease, author: str | None, message: str, history: ReleaseHistory
) -> Applied | None:
    try:
        return release_log.apply(
            bootstrap,
            written,
            at=datetime.now(UTC),
            author=author or getpass.getuser(),
            message=message,
            expected=history.current,
        )
    except ReleaseChangedError as error:
        raise _changed(f"{error}.") from None
    except FencedError:
        raise CommandError("Somebody else applies at this moment; nothing was applied.", "Run it again.") from None
    except TransactionError as error:
        raise CommandError(f"Kafka: {error}", "`leadline config history` shows whether it is in force.") from None


def _changed(what: str) -> CommandError:
    return CommandError(what, "`leadline config diff` shows the difference to what is in force now.")


def _entry(applied: Applied, in_force: bool) -> dict[str, Any]:
    return {
        "number": applied.number,
        "release": applied.release,
        "at": applied.at.isoformat(),
        "author": applied.author,
        "message": applied.message,
        "previous": applied.previous,
        "in_force": in_force,
    }

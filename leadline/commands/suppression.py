"""``leadline suppression``: suppression and do-not-contact lists and duplicate databases, from CSV files."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from connectors.suppression import normal_form
from connectors.suppression.compiled_file import Header, SuppressionSet, read_header
from connectors.suppression.errors import SuppressionError
from connectors.suppression.importing import Account, Request, import_list
from leadline import environment
from leadline.errors import CommandError
from schemas.config.entity import Name
from schemas.config.suppression import LIST_FIELDS, Hashed, ListField, ListKind, MatchRule, SuppressionList

Json = Annotated[bool, Parameter(name="--json", negative="")]
Kind = Literal["suppression", "do_not_contact", "duplicate_database"]
Match = Literal["phone", "email", "phone_or_email", "fields"]

suppression_app = cyclopts.App(
    name="suppression", help="Suppression and do-not-contact lists and duplicate databases, imported from CSV files."
)


@suppression_app.command(name="import")
def import_file(
    file: Path,
    /,
    *,
    name: str,
    kind: Kind = "suppression",
    match: Match = "phone",
    hashed: Literal["none", "md5", "sha1", "sha256"] = "none",
    phone_form: Literal["national", "e164", "international"] = "national",
    field: Annotated[tuple[ListField, ...], Parameter(negative="")] = (),
    optional: Annotated[tuple[ListField, ...], Parameter(negative="")] = (),
    column: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    date_format: str | None = None,
    as_json: Json = False,
) -> None:
    """Import a list from a CSV file, gzipped or not, in place of the one of that name; only keyed hashes are kept.

    Every row is accounted for: accepted, a duplicate of another row, or bad, with the line of the first ten.

    Parameters
    ----------
    file:
        CSV with or without a header; the delimiter is found.
    name:
        The list's name, as the configuration has it.
    kind:
        What the list is. Only a duplicate_database has dates.
    match:
        Which leads are on it: with a listed phone, email, either of them, or all of the --field's.
    hashed:
        The file has hexadecimal digests in place of phones and emails.
    phone_form:
        What was hashed: national is 4155550100, e164 is +14155550100, international is 14155550100.
    field:
        With --match fields: a field that has to agree, once for each.
    optional:
        One of the fields that is skipped where the lead or the row lacks it, once for each.
    column:
        FIELD=NUMBER or FIELD=TITLE, such as phone=3, for a column that is not found by itself; FIELD may be date.
    date_format:
        How dates are written, such as %d.%m.%Y; by default ISO 8601 or month/day/year.
    """
    rule = _rule(match=match, hashed=hashed, phone_form=phone_form, fields=field, optional=optional)
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise CommandError(
            f"{name!r} is no name of a list.", "Use a-z, 0-9, - and _, such as --name dnc-2026."
        ) from None
    settings = environment.settings()
    compiled = SuppressionList(name=name).file(settings.home)
    request = Request(name, ListKind(kind), rule, _columns(column, rule), date_format)
    try:
        with _progress() as progress:
            task = progress.add_task("importing", total=None)
            account = import_list(
                file,
                compiled,
                request,
                secret=environment.secret_of(settings),
                now=datetime.now(UTC),
                on_progress=lambda done, size: progress.update(task, completed=done, total=size),
            )
    except SuppressionError as error:
        raise CommandError(str(error)) from None
    if as_json:
        faults = [{"line": line, "reason": reason} for line, reason in account.faults]
        counts = {key: getattr(account, key) for key in ("rows", "accepted", "duplicates", "bad", "incomplete")}
        print(json.dumps({"name": name, "path": str(compiled)} | counts | {"faults": faults}))
        return
    _print_account(name, compiled, account)


@suppression_app.command(name="list")
def list_lists(*, as_json: Json = False) -> None:
    """Show the imported lists: what they are matched by, how many rows they have, and when they came from where.

    Parameters
    ----------
    as_json:
        Print JSON for scripts.
    """
    found = _headers(environment.settings().home / "suppression")
    if as_json:
        print(json.dumps([_described(header) for _, header in found]))
        return
    console = Console()
    if not found:
        console.print("No list is imported. `leadline suppression import FILE --name NAME` does it.")
        return
    table = Table("list", "kind", "matched by", "rows", "imported (UTC)", "from")
    table.columns[3].justify = "right"
    table.columns[4].no_wrap = True
    for _, header in found:
        if isinstance(header, str):
            console.print(header, style="red", highlight=False, markup=False)
            continue
        hashed = "" if header.rule.hashed is Hashed.NONE else f", {header.rule.hashed}"
        matched = ", ".join(header.rule.fields) or header.rule.match
        dates = ", dated" if header.dated else ""
        when = f"{header.imported_at:%Y-%m-%d %H:%M}"
        table.add_row(header.name, header.kind, matched + hashed + dates, f"{header.accepted:,}", when, header.source)
    console.print(table)


@suppression_app.command
def check(
    *,
    phone: str | None = None,
    email: str | None = None,
    first_name: str | None = None,
    last_name: str | None = None,
    zip_code: Annotated[str | None, Parameter(name="--zip")] = None,
    as_json: Json = False,
) -> None:
    """Show which imported lists a person is on, whatever days and verticals the configuration limits them to.

    Parameters
    ----------
    phone:
        A phone number, in any form.
    email:
        An email address.
    first_name:
        For lists that compare it, as the following.
    as_json:
        Print JSON for scripts.
    """
    given = zip(LIST_FIELDS, (first_name, last_name, phone, email, zip_code), strict=True)
    values = {field: _normal(field, text) for field, text in given if text is not None}
    if not values:
        raise CommandError("Nobody to look for.", "Give --phone or --email, or both.")
    settings = environment.settings()
    secret = environment.secret_of(settings)
    found = []
    for path, header in _headers(settings.home / "suppression"):
        if isinstance(header, str):
            raise CommandError(header)
        try:
            matches = SuppressionSet.open(path, secret).find(values)
        except SuppressionError as error:
            raise CommandError(str(error)) from None
        for fields, days in matches.items():
            dates = [date.fromordinal(day).isoformat() for day in sorted(days)]
            found.append({"list": header.name, "kind": header.kind, "fields": fields, "dates": dates})
    if as_json:
        print(json.dumps({"matches": found}))
        return
    console = Console()
    for match in found:
        dated = f", dated {', '.join(match['dates'])}" if match["dates"] else ""
        console.print(f"On {match['list']} ({match['kind']}) by {', '.join(match['fields'])}{dated}.", highlight=False)
    if not found:
        console.print("On none of the imported lists.")


def _rule(**options: Any) -> MatchRule:
    try:
        return MatchRule.model_validate(options)
    except ValidationError as error:
        fault = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise CommandError(
            f"{fault[0].upper()}{fault[1:]}.", "`leadline suppression import --help` has the options."
        ) from None


def _columns(given: tuple[str, ...], rule: MatchRule) -> dict[str, str]:
    found = {}
    for text in given:
        field, equals, column = text.partition("=")
        if not equals and len(rule.compared) == 1:
            field, column = rule.compared[0], text
        if not field or not column:
            raise CommandError(f"--column {text} names no column.", "Write --column phone=3 or --column phone=TITLE.")
        found[field] = column
    return found


def _normal(field: ListField, text: str) -> str:
    try:
        return normal_form.NORMAL_FORM[field](text)
    except normal_form.InvalidValueError as error:
        raise CommandError(f"--{field.replace('_', '-')}: {error}.") from None


def _headers(folder: Path) -> list[tuple[Path, Header | str]]:
    """The lists of a folder by name; for one that cannot be read, what is wrong with it."""
    found: list[tuple[Path, Header | str]] = []
    for path in sorted(folder.glob("*.bin")):
        try:
            found.append((path, read_header(path)))
        except SuppressionError as error:
            found.append((path, str(error)))
    return found


def _described(header: Header | str) -> dict[str, Any]:
    if isinstance(header, str):
        return {"error": header}
    return header.model_dump(mode="json", exclude={"shapes", "index_bits", "key_check"})


def _print_account(name: str, compiled: Path, account: Account) -> None:
    console = Console(highlight=False)
    console.print(f"List {name} is in {compiled}.", soft_wrap=True)
    parts = f"{account.accepted:,} accepted + {account.duplicates:,} duplicates + {account.bad:,} bad"
    console.print(f"{parts} = {account.rows:,} rows")
    if account.incomplete:
        console.print(
            f"[yellow]{account.incomplete:,} rows lack a value that is wrong[/yellow]; the rest of them counts."
        )
    for line, reason in account.faults:
        console.print(f"  line {line:,}: {reason}", style="yellow", markup=False)
    if account.bad + account.incomplete > len(account.faults):
        console.print(f"  and {account.bad + account.incomplete - len(account.faults):,} more", style="yellow")


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

"""``leadline send`` and ``leadline generate``: leads from a file, and leads to try things with."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from connectors.inbound.lead_file import BadRow, LeadRow, guess_form, read_leads
from connectors.kafka.producer import AckedProducer
from leadline import environment
from leadline.errors import CommandError
from schemas.topics import LEADS


def send(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    form: Literal["jsonl", "csv"] | None = None,
    as_is: Annotated[bool, Parameter(negative="")] = False,
    dead_letters: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Send leads from a file to the `leads` topic; done once Kafka has stored every one of them.

    A row without a lead_id gets one derived from the file's name, the line and its content, so that sending a file
    again sends the same leads and not new ones. Rows that do not parse go to a dead-letter file and are not sent.

    Parameters
    ----------
    file:
        JSON lines or CSV with a header row; - reads standard input.
    form:
        jsonl or csv; by default the file's name tells, and standard input is jsonl.
    as_is:
        Send each line unparsed, whatever it is; the pipeline dead-letters what it cannot read.
    dead_letters:
        File for rows that do not parse; FILE.dead-letters.jsonl by default.
    as_json:
        Print the result as JSON for scripts.
    """
    settings = environment.settings()
    producer = AckedProducer(environment.kafka_of(settings))
    name = "stdin" if file == "-" else Path(file).name
    form = form or ("jsonl" if file == "-" else guess_form(file))
    dead_path = dead_letters or Path("stdin.dead-letters.jsonl" if file == "-" else f"{file}.dead-letters.jsonl")
    sent, dead = 0, 0
    with _open(file) as stream, _progress() as progress:
        size = None if file == "-" else Path(file).stat().st_size
        task = progress.add_task("sending", total=size)
        rows: Iterator[LeadRow | BadRow] = _lines(stream) if as_is else read_leads(stream, name=name, form=form)
        dead_file: BinaryIO | None = None
        try:
            for row in rows:
                if isinstance(row, LeadRow):
                    producer.produce(LEADS.name, row.lead_id.encode() or None, row.value)
                    sent += 1
                else:
                    dead_file = dead_file or dead_path.open("wb")
                    dead_file.write(_dead_letter(row))
                    dead += 1
                if (sent + dead) % 100 == 0 and size:
                    progress.update(task, completed=stream.tell())
            progress.update(task, completed=size, description="waiting for Kafka")
            producer.flush()
            producer.close()
        finally:
            if dead_file is not None:
                dead_file.close()
    if as_json:
        print(json.dumps({"sent": sent, "dead": dead, "dead_letters": str(dead_path) if dead else None}))
        return
    console = Console()
    console.print(f"Sent {sent:,} leads to the topic {LEADS.name}.")
    if dead:
        console.print(f"[yellow]{dead:,} rows do not parse[/yellow]: they are in {dead_path}, each with its reason.")


def generate(*, count: Annotated[int, Parameter(name=["--count", "-n"])] = 1000, seed: int = 1) -> None:
    """Write generated leads to standard output, one a line, as people type them: with duplicates, invalid ones,
    out-of-area ones and malformed bytes. Send them with `leadline send --as-is -`.

    Parameters
    ----------
    count:
        How many.
    seed:
        The same seed gives the same leads.
    """
    from connectors.sandbox.traffic import DEFAULT_MIX
    from connectors.sandbox.traffic import generate as generate_traffic

    traffic = generate_traffic(seed, DEFAULT_MIX.scaled(count))
    for record in traffic.records:
        sys.stdout.buffer.write(record.replace(b"\n", b" ") + b"\n")
    Console(stderr=True).print(f"expected: {traffic.expected}", highlight=False)


def _open(file: str) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", "`leadline send --help` shows what a file may be.") from None


def _lines(stream: BinaryIO) -> Iterator[LeadRow | BadRow]:
    for number, line in enumerate(stream, start=1):
        yield LeadRow(number, "", line.rstrip(b"\r\n"))


def _dead_letter(row: BadRow) -> bytes:
    letter = {"line": row.line, "reason": row.reason, "raw": row.raw.decode("utf-8", "backslashreplace")}
    return json.dumps(letter, ensure_ascii=False).encode() + b"\n"


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

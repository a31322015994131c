"""``leadline simulate``: leads through another configuration, and what that would have changed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from connectors.inbound.lead_file import guess_form
from connectors.suppression.opening import ListFiles
from leadline import environment, releases, simulation_display
from leadline.errors import CommandError
from schemas.config.placeholders import UnusableReleaseError, WrittenRelease
from schemas.config.release import Configuration
from schemas.settings import Settings
from schemas.topics import LEADS
from streams.replay.window import find_window
from streams.simulation.answers import AnswerRecord
from streams.simulation.comparison import Comparison
from streams.simulation.front import Course, FrontHalf, SimulationError
from streams.simulation.raw_leads import FileLeads, RawLeads, TopicLeads, lines_of
from streams.simulation.recorded import answers_since, what_happened
from streams.simulation.simulator import Simulated
from streams.simulation.simulator import simulate as run_simulation

HASH = re.compile(r"[0-9a-f]{4,16}")
RECORDED = "recorded"
DAY = timedelta(days=1)
NOWHERE = "http://127.0.0.1:9"
"""In place of what a release's variables stand for: nothing is sent."""


@dataclass(frozen=True)
class _Input:
    """Leads, of which there are about ``count``, and the period that they are from."""

    leads: RawLeads
    count: int
    start: datetime
    end: datetime
    single: bool = False


def simulate(
    file: Path | None = None,
    /,
    *,
    config: str,
    against: str | None = None,
    from_: Annotated[datetime | None, Parameter(name="--from")] = None,
    to: datetime | None = None,
    warm_up: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    form: Literal["jsonl", "csv"] | None = None,
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Run leads through another configuration and report what it would change, by vertical, source, buyer and campaign.

    For example `leadline simulate --config next.yaml --from 2026-11-01 --to 2026-11-08` for a week as it really was, or
    `leadline simulate --config next.yaml leads.csv` for the leads of a file; a file of one lead shows that lead's way,
    campaign by campaign. Nothing is sent: buyers answer what they did answer about the lead, else as often yes as they
    do on record. Exit code 1 when a lead has no outcome, or two.

    Parameters
    ----------
    file:
        JSON lines or CSV, as `leadline send` takes it; without one, the topic's leads from --from to --to.
    config:
        The configuration to try: a YAML file, a folder, or the hash of a release.
    against:
        What to compare with: `recorded` for what really happened (the default without a file), or a configuration like
        --config, under which the same is simulated (with a file by default the release in force, where Kafka is known).
    from_:
        Start of the period, such as 2026-11-20T10:00 (UTC unless it says otherwise). With a file, its leads come evenly
        from here to --to; midnight (UTC) by default, of a single
        lead now.
    to:
        End of the period, itself not in it; now by default, a day after --from with a file.
    warm_up:
        Hours before --from whose leads are run first, under the release in force, and not counted.
    form:
        jsonl or csv; by default the file's name tells.
    seed:
        Another seed draws other answers where none is on record.
    as_json:
        Print JSON for scripts.
    """
    settings = environment.settings()
    console = Console(stderr=True)
    found = _file_input(file, form, from_, to) if file is not None else _topic_input(settings, from_, to, warm_up)
    if file is not None and warm_up:
        raise CommandError("A file has no hours before it.", "Leave --warm-up out.")
    after = _configuration(settings, config)
    if against is None:
        against = RECORDED if file is None else _in_force(settings)
    if against == RECORDED and file is not None:
        raise CommandError("What happened to a file's leads is not looked up.", "Give --against a configuration.")
    other = None if against in (None, RECORDED) else _configuration(settings, str(against))
    before = other or after
    if warm_up and other is None:
        before = _configuration(settings, str(_in_force(settings)))
    secret = environment.secret_of(settings)
    lists = partial(ListFiles, settings.home, secret)
    with _progress(console) as progress:
        record = _answers(settings, found, file, progress)
        run = partial(_run, found=found, secret=secret, lists=lists, record=record, seed=seed, progress=progress)
        simulated = run(f"simulating {after.release}", Course(before, after, found.start), keep=found.single)
        baseline = None if other is None else run(f"simulating {other.release}", Course(other, other, found.start))
        happened = None if baseline is None else baseline.tally
        if against == RECORDED:
            bootstrap, task = environment.kafka_of(settings), progress.add_task("reading what happened", total=None)
            at_start = TopicLeads(bootstrap, find_window(bootstrap, LEADS.name, found.start, found.end))
            happened = what_happened(bootstrap, at_start, found.start, _shown(progress, task))
    report = Comparison(
        release=after.release,
        against=other.release if other is not None else against,
        start=found.start,
        end=found.end,
        seed=seed,
        after=simulated.tally,
        answers=simulated.answers,
        before=happened,
        before_answers=None if baseline is None else baseline.answers,
        rows_passed_over=simulated.passed_over,
    )
    if as_json:
        print(json.dumps(report.document(), indent=2))
    elif found.single:
        simulation_display.print_journey(Console(), simulated.events, after)
    else:
        simulation_display.print_comparison(Console(), report)
    if not report.conserved:
        sys.exit(1)


def _run(
    title: str,
    course: Course,
    *,
    found: _Input,
    secret: bytes,
    lists: Callable[[], ListFiles],
    record: AnswerRecord,
    seed: int,
    progress: Progress,
    keep: bool = False,
) -> Simulated:
    task = progress.add_task(title, total=found.count)
    half = FrontHalf(found.leads, course, secret, lists)
    try:
        return run_simulation(
            half,
            record,
            end=found.end,
            seed=seed,
            count=found.count,
            keep_events=keep,
            progress=lambda done: progress.update(task, completed=done),
        )
    except (SimulationError, UnusableReleaseError) as error:
        raise CommandError(f"The simulation failed: {error}", "`leadline config check` looks for faults.") from None


def _file_input(
    file: Path, form: Literal["jsonl", "csv"] | None, start: datetime | None, end: datetime | None
) -> _Input:
    form = form or guess_form(file.name)
    now = datetime.now(UTC)
    first = _utc(start) if start is not None else now.replace(hour=0, minute=0, second=0, microsecond=0)
    last = _utc(end) if end is not None else first + DAY
    _check(first, last)
    leads = FileLeads(file, form, first, last)
    try:
        single = leads.is_one()
        count = 1 if single else lines_of(file)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", "`leadline send --help` says what a file may be.") from None
    if single and start is None:
        first = now.replace(microsecond=0)
        leads = FileLeads(file, form, first, first + DAY)
    return _Input(leads, count, first, max(last, first + DAY) if end is None else last, single)


def _topic_input(settings: Settings, start: datetime | None, end: datetime | None, warm_up: int) -> _Input:
    if start is None:
        raise CommandError("Which leads?", "Give --from, and perhaps --to, or a file.")
    first, last = _utc(start), _utc(end) if end is not None else datetime.now(UTC)
    _check(first, last)
    bootstrap = environment.kafka_of(settings)
    window = find_window(bootstrap, LEADS.name, first - timedelta(hours=warm_up), last)
    return _Input(TopicLeads(bootstrap, window), window.records, first, last)


def _check(start: datetime, end: datetime) -> None:
    if start >= end:
        raise CommandError(f"The period is empty: {start.isoformat()} is not before {end.isoformat()}.", "Swap them.")


def _answers(settings: Settings, found: _Input, file: Path | None, progress: Progress) -> AnswerRecord:
    """What buyers answered: in the period and since, or ever about a file's leads and by those campaigns."""
    if settings.kafka_bootstrap is None:
        return AnswerRecord()
    task = progress.add_task("reading answers", total=None)
    return answers_since(settings.kafka_bootstrap, found.start if file is None else None, _shown(progress, task))


def _in_force(settings: Settings) -> str | None:
    if settings.kafka_bootstrap is None:
        return None
    return releases.in_force(releases.history_of(settings.kafka_bootstrap)).release


def _configuration(settings: Settings, name: str) -> Configuration:
    if Path(name).exists() or not HASH.fullmatch(name):
        return releases.load_file(settings, Path(name)).configuration
    written: WrittenRelease = releases.named(releases.history_of(environment.kafka_of(settings)), name)
    try:
        return written.filled(dict.fromkeys(written.variables, NOWHERE))
    except UnusableReleaseError as error:
        raise CommandError(str(error), "`leadline config history` lists the others.") from None


def _shown(progress: Progress, task: object) -> Callable[[str, int], None]:
    return lambda topic, done: progress.update(task, description=f"reading {topic}", completed=done)  # type: ignore[arg-type]


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal
    ) as progress:
        yield progress


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

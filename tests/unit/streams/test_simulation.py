"""Simulations: leads through another release by their own clock, with the answers on record, and nothing lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kit.builders import SECRET, cap, configuration, raw_fields

from connectors.inbound.lead_file import LeadRow, read_leads
from schemas.config.campaign import Campaign
from schemas.config.delivery import DirectPost
from schemas.config.release import Configuration
from schemas.config.route import Route
from schemas.config.source import Source
from schemas.events import Delivery, LeadDelivered, LeadUnrouted, Outcome
from schemas.identity import Step, event_id
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from schemas.topics import LEADS
from streams.simulation.answers import AnswerRecord, draw
from streams.simulation.comparison import Comparison
from streams.simulation.front import Course, FrontHalf, SimulationError
from streams.simulation.raw_leads import FileLeads, lines_of
from streams.simulation.simulator import ALONE, Simulated, simulate
from streams.simulation.tally import End

MONDAY = datetime(2026, 3, 2, 15, tzinfo=UTC)
"""Nine in the morning in Denver."""


class Listed:
    """Raw leads at given moments."""

    def __init__(self, moments: Sequence[datetime], **changes: str) -> None:
        self.records = [_record(number, at, **changes) for number, at in enumerate(moments)]

    def __iter__(self) -> Iterator[KafkaRecord]:
        return iter(self.records)


def _record(number: int, at: datetime, **changes: str) -> KafkaRecord:
    fields = raw_fields(lead_id=str(lead(number)), phone=f"404-555-{number:04}", **changes)
    return KafkaRecord(LEADS.name, 0, number, round(at.timestamp() * 1000), None, json.dumps(fields).encode())


def lead(number: int) -> UUID:
    return UUID(int=number + 2**100)


def campaign(name: str, **changes: Any) -> Campaign:
    fields: dict[str, Any] = {
        "buyer": name,
        "vertical": "solar",
        "delivery": DirectPost(url="http://127.0.0.1:9/leads"),
    }
    return Campaign.model_validate(fields | {"id": name, "price": "20"} | changes)


def record(*answers: tuple[int, str, Outcome]) -> AnswerRecord:
    """What campaigns of buyers of the same name answered about leads."""
    found = AnswerRecord()
    found.add(
        Delivery(
            event_id=event_id(lead(number), Step.ATTEMPT),
            lead_id=lead(number),
            received_at=MONDAY,
            occurred_at=MONDAY,
            release="",
            vertical="solar",
            source="quoteharbor",
            person="",
            campaign=name,
            buyer=name,
            outcome=outcome,
            reason=None,
            price=None,
            reference=None,
            http_status=None,
            posts=1,
            latency_ms=1.0,
            company=name,
            exclusive=True,
            route="",
            tier="",
            decision=0,
            over=True,
        )
        for number, name, outcome in answers
    )
    return found


def always(name: str, *, leads: int = 1000) -> AnswerRecord:
    """A campaign that has taken every lead, none of them one of ours."""
    return record(*((10_000 + number, name, Outcome.ACCEPTED) for number in range(leads)))


def run(release: Configuration, moments: Sequence[datetime], known: AnswerRecord, **changes: Any) -> Simulated:
    course = changes.pop("course", Course(release, release, moments[0]))
    end = changes.pop("end", moments[-1] + timedelta(days=1))
    leads = Listed(moments, **changes.pop("fields", {}))
    half = FrontHalf(leads, course, SECRET)
    return simulate(half, known, end=end, count=len(moments), keep_events=True, **changes)


def test_a_recorded_answer_is_taken_before_a_modelled_one() -> None:
    known = record((0, "sun", Outcome.REJECTED), (1, "sun", Outcome.ACCEPTED), (2, "sun", Outcome.DUPLICATE))
    found = run(configuration(campaign("sun")), [MONDAY + timedelta(minutes=n) for n in range(5)], known)
    ends = [found.tally.leads[lead(number)].end for number in range(3)]
    assert ends == [End.UNDELIVERED, End.SOLD, End.UNDELIVERED]
    assert (found.answers.recorded, found.answers.modelled) == (3, {"campaign": 2})


def test_a_rate_falls_back_to_the_buyer_the_vertical_and_all() -> None:
    known = record(*((n, "sun", Outcome.ACCEPTED) for n in range(8)), (9, "sun", Outcome.REJECTED))
    assert known.rate("sun", "sun", "solar") == ("campaign", 9 / 11)
    assert known.rate("moon", "sun", "solar") == ("buyer", 9 / 11)
    assert known.rate("moon", "moon", "solar") == ("vertical", 9 / 11)
    assert known.rate("moon", "moon", "roofing") == ("all", 9 / 11)
    assert AnswerRecord().rate("moon", "moon", "roofing") == ("nothing", 0.5)


def test_modelled_answers_come_as_often_as_they_did_and_hang_on_the_seed_alone() -> None:
    drawn = [draw(7, lead(number), "sun") for number in range(4000)]
    assert drawn == [draw(7, lead(number), "sun") for number in range(4000)]
    assert abs(sum(value < 0.3 for value in drawn) / 4000 - 0.3) < 0.03
    assert drawn != [draw(8, lead(number), "sun") for number in range(4000)]


def test_caps_begin_anew_with_their_window_by_the_simulated_clock() -> None:
    release = configuration(campaign("sun", caps=[cap(2, "day")]))
    moments = [MONDAY + timedelta(hours=n) for n in range(4)]
    moments += [MONDAY + timedelta(days=1, hours=n) for n in range(3)]
    found = run(release, moments, always("sun"))
    sold = [n for n in range(7) if found.tally.leads[lead(n)].end is End.SOLD]
    assert sold == [0, 1, 4, 5]
    reasons = {e.trace.facts.full["sun"] for e in found.events if isinstance(e, LeadUnrouted)}
    assert reasons == {Reason.CAP_DAY}


def test_credit_is_kept_to_by_the_ledger() -> None:
    release = configuration(campaign("sun"))
    buyer = release.buyers[0].model_copy(update={"credit": Decimal(50)})
    release = Configuration.model_validate(release.model_dump() | {"buyers": [buyer]})
    found = run(release, [MONDAY + timedelta(minutes=n) for n in range(4)], always("sun"))
    assert found.tally.by_buyer()["sun"].revenue == Decimal(40)


def test_a_held_lead_is_sold_when_a_schedule_opens_by_the_simulated_clock() -> None:
    schedule = {"open": [{"days": ["mon", "tue"], "from": "08:00", "to": "17:00"}]}
    route = Route.model_validate(
        {
            "id": "main",
            "vertical": "solar",
            "groups": [{"name": "all"}],
            "unsold": {"hold": {"recheck_minutes": 30, "maximum_age_hours": 24}},
        }
    )
    release = configuration(campaign("sun", schedule=schedule, time_zone="America/Denver"), routes=[route])
    night = MONDAY + timedelta(hours=12)  # nine in the evening there
    found = run(release, [night], always("sun"))
    (sale,) = [event for event in found.events if isinstance(event, LeadDelivered)]
    assert datetime(2026, 3, 3, 15, 0, tzinfo=UTC) <= sale.occurred_at <= datetime(2026, 3, 3, 15, 31, tzinfo=UTC)
    assert found.tally.outcomes[End.SOLD] == 1
    assert run(release, [night], always("sun"), end=night + timedelta(hours=2)).tally.outcomes[End.UNROUTED] == 1


def test_a_warm_up_runs_under_the_old_release_and_is_not_counted() -> None:
    old = configuration(campaign("sun", caps=[cap(3, "day")]))
    new = configuration(campaign("sun", caps=[cap(3, "day")], price="30"))
    moments = [MONDAY + timedelta(minutes=n) for n in range(6)]
    found = run(new, moments, always("sun"), course=Course(old, new, moments[2]))
    assert len(found.tally.leads) == 4
    assert found.tally.total().revenue == Decimal(30)  # two of the cap's three went before
    assert found.answers.modelled == {"campaign": 1}
    cold = run(new, moments[2:], always("sun"))
    assert cold.tally.total().revenue == Decimal(90)


def test_a_report_has_the_change_by_buyer_source_vertical_and_campaign() -> None:
    source = Source(id="quoteharbor", payout=Decimal(8))
    old = configuration(campaign("sun", priority=1), campaign("moon", price="25", priority=2), sources=[source])
    new = configuration(campaign("sun", priority=2), campaign("moon", price="25", priority=1), sources=[source])
    moments = [MONDAY + timedelta(minutes=n) for n in range(40)]
    answers = record(*((n, name, Outcome.ACCEPTED) for n in range(40) for name in ("sun", "moon")))
    before, after = run(old, moments, answers), run(new, moments, answers)
    report = Comparison(
        release=new.release,
        against=old.release,
        start=moments[0],
        end=moments[-1],
        seed=0,
        after=after.tally,
        answers=after.answers,
        before=before.tally,
        before_answers=before.answers,
    )
    document = report.document()
    by = document["by"]
    assert by["buyer"]["moon"]["change"] == {
        "leads": 40, "offered": 40, "sold": 40, "revenue": "1000.0000", "payout": "320.0000", "margin": "680.0000",
    }  # fmt: skip
    assert by["campaign"]["sun"]["change"]["sold"] == -40
    assert by["source"]["quoteharbor"]["change"]["margin"] == "200.0000"
    assert by["vertical"]["solar"]["after"]["revenue"] == "1000.0000"
    assert document["differ"] == {"decisions": 40, "outcomes": 40}
    assert document["answers"]["after"] == {"recorded": 40, "model": {}}
    assert document["conserved"]


def test_every_lead_has_one_outcome_and_two_runs_give_the_same_report(tmp_path: Path) -> None:
    file, release = _file(tmp_path, 300), configuration(campaign("sun", caps=[cap(40, "day")]), campaign("moon"))
    documents = []
    for _ in range(2):
        found = _of_file(file, release, AnswerRecord())
        report = Comparison(
            release=release.release,
            against=None,
            start=MONDAY,
            end=MONDAY + timedelta(days=2),
            seed=0,
            after=found.tally,
            answers=found.answers,
        )
        assert report.conserved
        assert sum(found.tally.outcomes.values()) == len(found.tally.leads) == 300
        documents.append(json.dumps(report.document()))
    assert documents[0] == documents[1]


def test_two_processes_come_to_what_one_does(tmp_path: Path) -> None:
    file, release = _file(tmp_path, 400), configuration(campaign("sun", caps=[cap(40, "day")]), campaign("moon"))
    alone = _of_file(file, release, AnswerRecord())
    both = _of_file(file, release, AnswerRecord(), count=ALONE)
    assert both.tally == alone.tally
    assert both.answers == alone.answers


def test_a_second_process_that_fails_says_why(tmp_path: Path) -> None:
    leads = FileLeads(tmp_path / "gone.jsonl", "jsonl", MONDAY, MONDAY + timedelta(days=1))
    release = configuration(campaign("sun"))
    half = FrontHalf(leads, Course(release, release, MONDAY), SECRET)
    with pytest.raises(SimulationError, match="FileNotFoundError"):
        simulate(half, AnswerRecord(), end=MONDAY, count=ALONE)


def test_leads_of_a_file_come_evenly_under_the_ids_that_they_are_sent_under(tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("vertical,first_name\nsolar,Ada\nsolar\nsolar,Grace\n")
    assert lines_of(file) == 4
    rows = list(FileLeads(file, "csv", MONDAY, MONDAY + timedelta(hours=4)))
    found = [row for row in rows if row is not None]
    assert rows.count(None) == 1
    with file.open("rb") as stream:
        sent = [row for row in read_leads(stream, name="leads.csv", form="csv") if isinstance(row, LeadRow)]
    assert [r.value for r in found] == [row.value for row in sent]
    assert [r.timestamp - round(MONDAY.timestamp() * 1000) for r in found] == [3_600_000, 3 * 3_600_000]


def test_what_cannot_be_read_is_dead_and_has_its_outcome_too() -> None:
    leads = Listed([MONDAY])
    leads.records += [KafkaRecord(LEADS.name, 3, n, leads.records[0].timestamp, None, value)
                      for n, value in enumerate((b"{", b"", b"[1]"))]  # fmt: skip
    release = configuration(campaign("sun"))
    half = FrontHalf(leads, Course(release, release, MONDAY), SECRET)
    found = simulate(half, AnswerRecord(), end=MONDAY, count=4)
    assert Counter(state.end for state in found.tally.leads.values())[End.DEAD] == 3
    assert found.tally.with_one_outcome == 4


def _file(folder: Path, count: int) -> Path:
    file = folder / "leads.jsonl"
    rows = [raw_fields(phone=f"404-555-{n % (count - 20):04}", state="" if n % 11 else "CA") for n in range(count)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def _of_file(file: Path, release: Configuration, known: AnswerRecord, *, count: int = 1) -> Simulated:
    end = MONDAY + timedelta(days=2)
    leads = FileLeads(file, "jsonl", MONDAY, end)
    return simulate(FrontHalf(leads, Course(release, release, MONDAY), SECRET), known, end=end, count=count)

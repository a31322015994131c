"""Validation: ``leads`` in, ``leads.validated`` or ``leads.rejected`` out. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from schemas import topics
from schemas.config.placeholders import UnusableReleaseError
from schemas.config.release import Configuration
from schemas.config.suppression import SuppressionList
from schemas.events import LeadRejected, LeadValidated, Rejection
from schemas.identity import Step, event_id, person
from schemas.raw_lead import RawArrival, arrival_of
from schemas.reasons import Reason
from schemas.record import Record
from schemas.values import in_milliseconds
from streams.stage import Context, Output, Stage, emit
from streams.tables import Tables
from streams.validation import caps
from streams.validation.rules import STANDARD_RULES, validate
from streams.validation.sources import Senders
from streams.validation.suppression import Lists, OpenedList, lists_matching
from streams.validation.vertical_rules import VerticalRules

UNKNOWN: Final = ""
RELEASES_KEPT: Final = 4
"""How many releases' rules stay compiled: the one in force, and those that a replay or a lane still decides by."""

_Opened = Sequence[tuple[SuppressionList, OpenedList]]


@dataclass(frozen=True, slots=True)
class _Rules:
    """A release, compiled."""

    verticals: dict[str, VerticalRules]
    senders: Senders


class Validation(Stage[RawArrival]):
    """Says of each raw lead what it is worth, with all reasons when it is nothing.

    ``partitions`` are those of ``leads``, over which a source's caps are shared out, and ``lists`` opens suppression
    lists. :meth:`prepare` refuses a configuration that has such a thing where they were left out, and one with a list
    that cannot be opened (UnusableReleaseError); a record that is to be decided by it is dead.
    """

    name = "validation"
    reads = (topics.LEADS,)
    writes = (topics.VALIDATED, topics.REJECTED)
    tables = (caps.ADMISSIONS, caps.ADMISSIONS_FOR_GOOD, caps.COUNTS, caps.WINDOWS)

    def __init__(self, *, partitions: int | None = None, lists: Lists | None = None) -> None:
        self._partitions = partitions
        self._lists = lists
        self._compiled: dict[str, _Rules] = {}

    def warm_up(self) -> None:
        # The phone, email and ZIP code packages load their data at the first question, and the long way of each.
        fields = {"first_name": "A", "last_name": "B", "phone": "+1 787 555 0123", "email": "ä@example.com"}
        validate(fields | {"zip": "94105"}, datetime.min.replace(tzinfo=UTC))

    def prepare(self, configuration: Configuration) -> None:
        self._rules(configuration)
        self._opened(configuration)

    def rebuild(self, tables: Tables) -> None:
        caps.rebuild(tables)

    def decode(self, record: Record) -> RawArrival:
        return arrival_of(record)

    def process(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> list[Output]:
        rules, lists = self._rules(context.configuration), self._opened(context.configuration)
        return [self._validate(arrival, rules, lists, tables, context) for arrival in arrivals]

    def _validate(
        self, arrival: RawArrival, release: _Rules, lists: _Opened, tables: Tables, context: Context
    ) -> Output:
        fields = arrival.fields
        vertical = fields.get("vertical", "").strip()
        rules = release.verticals.get(vertical)
        # What was typed as a vertical may be anything, so only a configured name goes into the envelope.
        known = vertical if rules else UNKNOWN
        sender = release.senders.of(fields, known)
        rejections = []
        if not arrival.lead_id_valid:
            rejections.append(Rejection(reason=Reason.LEAD_ID_INVALID, field="lead_id", detail="not a UUID"))
        rejections += sender.rejections
        if not vertical:
            rejections.append(Rejection(reason=Reason.VERTICAL_MISSING, field="vertical"))
        elif rules is None:
            rejections.append(Rejection(reason=Reason.VERTICAL_UNKNOWN, field="vertical"))
        verdict = validate(fields, arrival.received_at, rules or STANDARD_RULES, sender.source, test=sender.test)
        rejections += verdict.rejections
        if lists:
            found = lists_matching(lists, verdict.texts, vertical=known, received_at=arrival.received_at)
            rejections += [Rejection(reason=m.reason, field=m.name, detail=f"by {', '.join(m.fields)}") for m in found]
        lead = verdict.lead
        # What is rejected anyway, and what is never sold, takes no place under a cap.
        if sender.caps and lead is not None and not rejections and not lead.test:
            share = partial(self._share, partition=arrival.partition)
            rejections += caps.admit(tables, arrival.lead_id, arrival.received_at, sender.caps, share)
        common: dict[str, Any] = {
            "event_id": event_id(arrival.lead_id, Step.VALIDATION, arrival.run),
            "lead_id": arrival.lead_id,
            "run": arrival.run,
            "attempt": 0,
            "received_at": in_milliseconds(arrival.received_at),
            "occurred_at": in_milliseconds(context.now),
            "release": context.configuration.release,
            "vertical": known,
            "source": sender.source,
            "traceparent": arrival.traceparent,
        }
        if lead is None or rejections:
            rejected = LeadRejected(**common, reasons=rejections, raw=fields)
            return emit(rejected, str(arrival.lead_id))
        who = person(context.secret, phone=lead.phone, email=lead.email)
        values = {**common, "person": who, "lead": lead, "raw": fields, "warnings": verdict.warnings}
        return emit(LeadValidated.trusted(values), who)

    def _share(self, limit: int, *, partition: int) -> int:
        assert self._partitions is not None  # noqa: S101  # no release with caps is compiled without
        return caps.share_of(limit, partition, self._partitions)

    def _rules(self, configuration: Configuration) -> _Rules:
        rules = self._compiled.get(configuration.release)
        if rules is None:
            sources = configuration.sources
            rules = _Rules({v.name: VerticalRules(v, sources) for v in configuration.verticals}, Senders(sources))
            if rules.senders.counts and self._partitions is None:
                raise UnusableReleaseError("it has caps of sources: make Validation(partitions=…) to share them out")
            while len(self._compiled) >= RELEASES_KEPT:
                self._compiled.pop(next(iter(self._compiled)), None)  # another thread may be preparing a release
            self._compiled[configuration.release] = rules
        return rules

    def _opened(self, configuration: Configuration) -> _Opened:
        entities = configuration.suppression_lists
        if entities and self._lists is None:
            raise UnusableReleaseError("it has suppression lists: make Validation(lists=…) to open them")
        return self._lists(entities) if entities and self._lists is not None else ()

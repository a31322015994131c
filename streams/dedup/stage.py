"""Dedup: ``leads.validated`` in, ``leads.unique`` or ``leads.duplicate`` out. Deterministic.

A lead is judged by the same payload sent again, then by its vertical's key sets: those of the person first, in the
person's partition, then each of the others in the partition of its fingerprint, which the lead reaches by ``claims``. A
fingerprint has one partition and so one writer: two leads that share it are seen in order, however close they came, and
whatever becomes of the first.

A lead that owns its fingerprint is not its own duplicate, so redelivery and replay pass. Windows are measured from lead
to lead by the time each was received, never by the clock. A lead that turns out a duplicate keeps the fingerprints it
claimed before: who shares those with it is its duplicate.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from schemas import topics
from schemas.config.dedup import PERSON, KeySet
from schemas.config.vertical import Vertical
from schemas.events import Event, LeadClaim, LeadDuplicate, LeadUnique, LeadValidated
from schemas.identity import Step
from schemas.reasons import Reason
from schemas.record import Record
from streams.dedup.fingerprints import fingerprint, payload_fingerprint
from streams.dedup.owners import OWNERS, PAYLOADS, Owner, owner_of
from streams.stage import Context, Output, Stage, decode_event, emit, envelope
from streams.tables import Tables

GONE: Final = Vertical(name="gone")
"""In place of a vertical that the configuration no longer has."""


class Dedup(Stage[Event]):
    """Lets the first lead of each fingerprint through, once a window."""

    name = "dedup"
    reads = (topics.VALIDATED, topics.CLAIMS)
    writes = (topics.UNIQUE, topics.DUPLICATE, topics.CLAIMS)
    tables = (OWNERS, PAYLOADS)

    def decode(self, record: Record) -> Event:
        return decode_event(record, Event)

    def release_of(self, arrival: Event) -> str | None:
        # One lead is judged by one release, however many partitions it passes; a replay's has none and takes today's.
        return arrival.release or None

    def process(self, arrivals: Sequence[Event], tables: Tables, context: Context) -> list[Output]:
        return [self._judge(arrival, tables, context) for arrival in arrivals]

    def _judge(self, arrival: Event, tables: Tables, context: Context) -> Output:
        vertical = context.configuration.vertical_by_name.get(arrival.vertical, GONE)
        if not isinstance(arrival, LeadValidated):
            assert isinstance(arrival, LeadClaim)  # noqa: S101  # the topics hold nothing else
            return self._next(arrival, [k for k in vertical.dedup if k.name in arrival.key_sets], tables, context)
        if seconds := vertical.repeat_seconds:
            payload = payload_fingerprint(context.secret, arrival.vertical, arrival.source, arrival.raw)
            window = timedelta(seconds=seconds)
            owner = owner_of(tables[PAYLOADS], payload, arrival.lead_id, arrival.received_at, window)
            if owner is not None:
                return _duplicate(arrival, owner, Reason.DUPLICATE_PAYLOAD, "", context)
        return self._next(arrival, sorted(vertical.dedup, key=lambda keys: not keys.of_person), tables, context)

    def _next(
        self, lead: LeadValidated | LeadClaim, key_sets: Sequence[KeySet], tables: Tables, context: Context
    ) -> Output:
        """Judge by the key sets whose partition this is, and hand on to the next one's."""
        here = None if isinstance(lead, LeadValidated) else lead.fingerprint
        for number, keys in enumerate(key_sets):
            print_ = fingerprint(context.secret, lead.vertical, lead.source, lead.person, lead.lead, keys)
            if print_ is None:
                continue
            if print_ != here and not keys.of_person:
                return _claim(lead, key_sets[number:], print_, context)
            owner = owner_of(tables[OWNERS], print_, lead.lead_id, lead.received_at, keys.window)
            if owner is not None:
                reason = Reason.DUPLICATE_PERSON if keys.fields == (PERSON,) else Reason.DUPLICATE_KEY_SET
                return _duplicate(lead, owner, reason, keys.name, context)
        values = envelope(lead, Step.DEDUP, context)
        values["person"] = lead.person
        values["lead"] = lead.lead
        return emit(LeadUnique.trusted(values), lead.person)


def _claim(lead: LeadValidated | LeadClaim, key_sets: Sequence[KeySet], fingerprint_: str, context: Context) -> Output:
    claims = lead.attempt + 1 if isinstance(lead, LeadClaim) else 0
    claim = LeadClaim(
        **envelope(lead, Step.CLAIM, context, attempt=claims),
        person=lead.person,
        lead=lead.lead,
        fingerprint=fingerprint_,
        key_sets=[keys.name for keys in key_sets],
    )
    return emit(claim, fingerprint_)


def _duplicate(lead: LeadValidated | LeadClaim, owner: Owner, rule: Reason, key_set: str, context: Context) -> Output:
    duplicate = LeadDuplicate(
        **envelope(lead, Step.DEDUP, context),
        person=lead.person,
        duplicate_of=owner.lead_id,
        rule=rule,
        first_seen_at=owner.first_seen_at,
        key_set=key_set,
    )
    return emit(duplicate, lead.person)

"""The consent record: its parts under the names that forms and certificate scripts use, and what a rule asks of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.config.consent import ConsentPart, ConsentRule
from schemas.events import Consent, Rejection
from schemas.reasons import Reason
from streams.validation.field_types import parse_ip, parse_url
from streams.validation.folding import folded

NAMES: Final[dict[ConsentPart, tuple[str, ...]]] = {
    ConsentPart.TEXT: ("consent_text", "tcpa_text"),
    ConsentPart.URL: ("consent_url", "landing_page"),
    ConsentPart.IP: ("consent_ip", "ip_address"),
    ConsentPart.AT: ("consent_at",),
    ConsentPart.SELLERS: ("consent_sellers",),
    ConsentPart.TRUSTEDFORM: ("xxTrustedFormCertUrl", "trustedform_cert_url"),
    ConsentPart.JORNAYA: ("universal_leadid", "jornaya_lead_id"),
}
"""The raw fields that a part may come in, the first that is not empty counts."""
ALL_NAMES: Final = frozenset(name for names in NAMES.values() for name in names)
TRUSTEDFORM: Final = re.compile(r"https://(?:cert|ping)\.trustedform\.com/[A-Za-z0-9._~-]{20,200}")
JORNAYA: Final = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
CLOCK_SKEW: Final = timedelta(minutes=10)
"""How much later than its lead a consent may say it was given."""


def read_consent(raw: Mapping[str, str], received_at: datetime) -> tuple[Consent | None, frozenset[ConsentPart]]:
    """The consent record of raw fields, None where they have nothing of it; and the parts given that are invalid."""
    if ALL_NAMES.isdisjoint(raw):
        return None, frozenset()
    typed: dict[ConsentPart, str] = {}
    for part, names in NAMES.items():
        for name in names:
            if part not in typed and (words := folded(raw.get(name, ""))):
                typed[part] = words
    if not typed:
        return None, frozenset()
    text, url, ip, at = (
        typed.get(part) for part in (ConsentPart.TEXT, ConsentPart.URL, ConsentPart.IP, ConsentPart.AT)
    )
    certificate, jornaya = typed.get(ConsentPart.TRUSTEDFORM), typed.get(ConsentPart.JORNAYA, "").upper()
    record = Consent(
        text_hash=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() if text else None,
        url=parse_url(url) if url else None,
        ip=parse_ip(ip) if ip else None,
        at=_moment(at, received_at) if at else None,
        sellers=_sellers(typed.get(ConsentPart.SELLERS, "")),
        trustedform_cert_url=certificate if certificate and TRUSTEDFORM.fullmatch(certificate) else None,
        jornaya_lead_id=jornaya if JORNAYA.fullmatch(jornaya) else None,
    )
    return record, frozenset(part for part in typed if not _has(record, part))


def consent_faults(
    rule: ConsentRule, record: Consent | None, invalid: frozenset[ConsentPart], received_at: datetime
) -> list[Rejection]:
    """Everything that a rule finds wanting in a record."""
    record = record or Consent()
    faults = []
    for part in rule.required:
        if _has(record, part):
            continue
        halves = {ConsentPart.TRUSTEDFORM, ConsentPart.JORNAYA} if part is ConsentPart.CERTIFICATE else {part}
        reason = Reason.CONSENT_INVALID if halves & invalid else Reason.CONSENT_MISSING
        faults.append(Rejection(reason=reason, field=f"consent.{part}"))
    if rule.maximum_age_hours is not None:
        if record.at is None:
            if ConsentPart.AT not in rule.required:
                reason = Reason.CONSENT_INVALID if ConsentPart.AT in invalid else Reason.CONSENT_MISSING
                faults.append(Rejection(reason=reason, field="consent.at"))
        elif received_at - record.at > timedelta(hours=rule.maximum_age_hours):
            detail = f"older than {rule.maximum_age_hours:g} hours"
            faults.append(Rejection(reason=Reason.CONSENT_EXPIRED, field="consent.at", detail=detail))
    return faults


def _has(record: Consent, part: ConsentPart) -> bool:
    match part:
        case ConsentPart.TEXT:
            return record.text_hash is not None
        case ConsentPart.TRUSTEDFORM:
            return record.trustedform_cert_url is not None
        case ConsentPart.JORNAYA:
            return record.jornaya_lead_id is not None
        case ConsentPart.CERTIFICATE:
            return record.trustedform_cert_url is not None or record.jornaya_lead_id is not None
        case _:
            return bool(getattr(record, part.value))


def _sellers(text: str) -> list[str]:
    # A comma also stands within a company's name, so it separates only where nothing better does.
    separator = next((mark for mark in "|;" if mark in text), ",")
    return [name for part in text.split(separator) if (name := part.strip())]


def _moment(text: str, received_at: datetime) -> datetime | None:
    try:
        if re.fullmatch(r"[0-9]{9,10}", text):
            moment = datetime.fromtimestamp(int(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year >= 1970 and moment - received_at <= CLOCK_SKEW else None

"""Who sent a lead: its source and sub id as they are configured, and what these say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.config.source import Source, SourceCaps, source_id
from schemas.events import Rejection
from schemas.raw_lead import label_of
from schemas.reasons import Reason
from streams.validation.caps import CountedCap
from streams.validation.folding import folded

SUB_ID: Final = "sub_id"
"""The raw field of the sub id; it stays a field of the lead."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A source (its configured id, "" for one that is not known) with a sub id, and what they make of a lead."""

    source: str
    rejections: tuple[Rejection, ...] = ()
    test: bool = False
    caps: tuple[CountedCap, ...] = ()


class Senders:
    """The sources of a release, compiled once. Without any, a lead may name what it likes, and its source is kept if it
    looks like a name."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._known = {source.id: _Known(source) for source in sources}

    @property
    def counts(self) -> bool:
        """Whether anything is capped."""
        return any(known.caps or any(known.sub_caps.values()) for known in self._known.values())

    def of(self, raw: Mapping[str, str], vertical: str) -> Sender:
        """The sender of raw fields; ``vertical`` is "" where it is not a configured one."""
        text = raw.get("source", "")
        if not self._known:
            return Sender(label_of(text))
        known = self._known.get(source_id(text))
        if known is not None:
            return known.sender(folded(raw.get(SUB_ID, "")), vertical)
        reason = Reason.SOURCE_UNKNOWN if text.strip() else Reason.SOURCE_MISSING
        return Sender("", (Rejection(reason=reason, field="source"),))


class _Known:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.verticals = frozenset(source.verticals)
        self.caps = _counted(source, source.id, source.caps, Reason.SOURCE_CAP, "source")
        self.sub_status = {folded(sub.id): sub.status for sub in source.sub_ids}
        self.sub_caps = {
            folded(sub.id): _counted(source, f"{source.id}/{sub.id}", sub.caps, Reason.SUB_ID_CAP, SUB_ID)
            for sub in source.sub_ids
        }

    def sender(self, sub_id: str, vertical: str) -> Sender:
        source, sub_status = self.source, self.sub_status.get(sub_id, "active")
        rejections = []
        if source.status == "paused":
            rejections.append(Rejection(reason=Reason.SOURCE_PAUSED, field="source"))
        if self.verticals and vertical and vertical not in self.verticals:
            rejections.append(Rejection(reason=Reason.SOURCE_VERTICAL, field="source", detail="may not send these"))
        if sub_status == "paused":
            rejections.append(Rejection(reason=Reason.SUB_ID_PAUSED, field=SUB_ID))
        test = "test" in (source.status, sub_status)
        return Sender(source.id, tuple(rejections), test, self.caps + self.sub_caps.get(sub_id, ()))


def _counted(source: Source, scope: str, caps: SourceCaps, reason: Reason, field: str) -> tuple[CountedCap, ...]:
    return tuple(CountedCap(scope, cap.window, cap.limit, source.time_zone, reason, field) for cap in caps)

"""What the expressions of routing read of a lead: its fields as values of their types, as in validation."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

import cel

from schemas.config.field import PARTS, STANDARD, Field
from schemas.config.vertical import Vertical
from schemas.events import Lead
from streams.expressions import context_of
from streams.validation.field_types import Fault, reader_of
from streams.validation.parts import parts_of


class LeadValues:
    """The values that certain names stand for, of any lead of a vertical."""

    def __init__(self, vertical: Vertical, names: Collection[str]) -> None:
        self._names = frozenset(names)
        own = {f.name: f for f in vertical.fields if f.name not in STANDARD}
        own |= {c.name: Field(name=c.name, type=c.type) for c in vertical.computed}
        types = STANDARD | {name: field.type for name, field in own.items()}
        self._with_parts = {
            name: kind
            for name, kind in types.items()
            if any(f"{name}_{part}" in self._names for part in PARTS.get(kind, {}))
        }
        self._needed = [name for name in types if name in self._names or name in self._with_parts]
        self._readers = {name: reader_of(own[name]) for name in self._needed if name in own}

    def context(self, lead: Lead, received_on: date, source: str) -> cel.Context:
        """The context of one lead; null stands for what it has not. Ages are those of the day it was received."""
        values: dict[str, Any] = {"source": source, "test": lead.test}
        for name in self._needed:
            text: str | None = getattr(lead, name) if name in STANDARD else lead.extra.get(name)
            if not text:
                continue
            values[name] = text
            if reader := self._readers.get(name):
                found = reader(text)
                if isinstance(found, Fault):  # validated by a release that asked less
                    del values[name]
                    continue
                values[name], text = found.value, found.text
            if kind := self._with_parts.get(name):
                values.update((f"{name}_{part}", value) for part, value in parts_of(kind, text, received_on).items())
        return context_of(values, self._names)

"""A vertical's own rules, compiled once: its fields, computed fields and filters, and the filters of its sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import cel

from schemas.config.field import PARTS, STANDARD, Field, FieldType, LeadFilter
from schemas.config.source import Source
from schemas.config.vertical import Vertical
from schemas.events import Rejection
from schemas.expressions import compile_condition, names_read
from schemas.reasons import Reason
from schemas.transformers import Template
from streams.expressions import Answer, context_of, evaluate
from streams.validation.field_types import Fault, Reader, reader_of
from streams.validation.folding import folded
from streams.validation.parts import parts_of

ENVELOPE_FIELDS: Final = frozenset({"lead_id", "vertical", "source"})


@dataclass(slots=True)
class Findings:
    """What is known of a lead so far; every rule adds its own and none stops the others.

    ``texts`` are canonical, ``values`` typed; both hold parts by ``field_part``. ``faulty`` names the fields that are
    missing or invalid, of which no filter can say more.
    """

    rejections: list[Rejection] = field(default_factory=list)
    warnings: list[Rejection] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    faulty: set[str] = field(default_factory=set)

    def reject(self, reason: Reason, field_name: str, detail: str = "") -> None:
        """Note one reason."""
        self.rejections.append(Rejection(reason=reason, field=field_name, detail=detail))
        self.faulty.add(field_name)

    def warn(self, reason: Reason, field_name: str, detail: str = "") -> None:
        """Note what is odd, but lets the lead pass."""
        self.warnings.append(Rejection(reason=reason, field=field_name, detail=detail))


@dataclass(frozen=True, slots=True)
class _Computed:
    name: str
    type: FieldType
    template: Template
    read: Reader


@dataclass(frozen=True, slots=True)
class _Criterion:
    filter: LeadFilter
    program: cel.Program
    roots: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Criteria:
    """Filters in their order, and the names that they read."""

    criteria: tuple[_Criterion, ...]
    names: frozenset[str]


class VerticalRules:
    """What a vertical asks beyond the standard fields, and what the sources that may send its leads do.

    ``own_names`` are its fields, computed ones last; what is not in ``read_here`` passes as it came.
    """

    def __init__(self, vertical: Vertical, sources: Iterable[Source] = ()) -> None:
        compiled = vertical.compile_computed()
        samples = vertical.samples
        conditions = {"": vertical.compile_filters()}
        for source in sources:
            if source.filters and vertical.name in (source.verticals or (vertical.name,)):
                own = ((f, compile_condition(f.reject_unless, samples)) for f in source.filters)
                conditions[source.id] = (*conditions[""], *own)
        required = {f.name for f in vertical.fields if f.required}
        self.contacts_required = tuple(name for name in ("phone", "email") if name in required)
        self.state_required = "state" in required
        self.consent = vertical.consent
        self.test_zips = frozenset(vertical.test_zips)
        self._readers = [(f, reader_of(f)) for f in vertical.fields if f.name not in STANDARD]
        self.own_names = tuple(f.name for f, _ in self._readers) + tuple(c.name for c, _ in compiled)
        self.read_here = frozenset({*STANDARD, *ENVELOPE_FIELDS, *self.own_names})
        self._names = [(f.name, reader_of(f)) for f in vertical.fields if STANDARD.get(f.name) is FieldType.TEXT]
        self._computed = [
            _Computed(c.name, c.type, template, reader_of(Field(name=c.name, type=c.type))) for c, template in compiled
        ]
        names = {
            owner: frozenset[str]().union(*(names_read(program) for _, program in own))
            for owner, own in conditions.items()
        }
        read = frozenset[str]().union(*names.values(), *(c.template.names for c in self._computed))
        types = vertical.types
        self._with_parts = {
            name: (kind, parts)
            for name, kind in types.items()
            if (parts := [part for part in PARTS.get(kind, {}) if f"{name}_{part}" in read])
        }
        roots = {name: frozenset({name}) for name in types}
        roots |= {f"{name}_{part}": roots[name] for name, kind in types.items() for part in PARTS.get(kind, {})}
        for step in self._computed:
            origins = frozenset[str]().union(*(roots[name] for name in step.template.names))
            for name in (step.name, *(f"{step.name}_{part}" for part in PARTS.get(step.type, {}))):
                roots[name] = origins | {step.name}
        self._criteria = {
            owner: _Criteria(
                tuple(
                    _Criterion(f, p, frozenset[str]().union(*(roots.get(name, frozenset()) for name in names_read(p))))
                    for f, p in own
                ),
                names[owner],
            )
            for owner, own in conditions.items()
        }

    def check_standard(self, findings: Findings) -> None:
        """What the vertical asks of a standard text (a pattern, a length)."""
        for name, reader in self._names:
            if name in findings.texts:
                self._take(name, reader(findings.texts[name]), findings)

    def read_fields(self, raw: Mapping[str, str], findings: Findings) -> None:
        """Read the vertical's own fields."""
        for declared, reader in self._readers:
            text = folded(raw.get(declared.name, ""))
            if text:
                self._take(declared.name, reader(text), findings)
            elif declared.required:
                findings.reject(Reason.FIELD_MISSING, declared.name)

    def compute(self, on: date, findings: Findings) -> None:
        """Fill in parts and computed fields."""
        self._add_parts(list(findings.texts), on, findings)
        for step in self._computed:
            text = folded(step.template.render(findings.texts, on))
            if not text:
                continue
            found = step.read(text)
            if isinstance(found, Fault):
                findings.warn(Reason.COMPUTED_INVALID, step.name, found.detail)
                continue
            findings.texts[step.name], findings.values[step.name] = found.text, found.value
            self._add_parts((step.name,), on, findings)

    def filter(self, findings: Findings, source: str = "") -> None:
        """Reject what a filter does not take, the vertical's and then the source's, unless another reason already names
        what the filter reads."""
        own = self._criteria.get(source) or self._criteria[""]
        if not own.criteria:
            return
        faulty = frozenset(findings.faulty)
        context = context_of(findings.values, own.names)
        for criterion in own.criteria:
            if criterion.roots & faulty:
                continue
            answer = evaluate(criterion.program, context)
            if answer is Answer.FAILS:
                findings.reject(Reason.CRITERION_NOT_MET, criterion.filter.name, criterion.filter.detail)
            elif answer is not Answer.HOLDS:
                findings.reject(Reason.CRITERION_UNDECIDED, criterion.filter.name, answer)

    @staticmethod
    def _take(name: str, found: Any, findings: Findings) -> None:
        if isinstance(found, Fault):
            findings.reject(found.reason, name, found.detail)
        else:
            findings.texts[name], findings.values[name] = found.text, found.value

    def _add_parts(self, names: Iterable[str], on: date, findings: Findings) -> None:
        for name in names:
            if name in self._with_parts:
                kind, parts = self._with_parts[name]
                values = parts_of(kind, findings.texts[name], on)
                for part in parts:
                    if (value := values[part]) is not None:
                        findings.texts[f"{name}_{part}"] = str(value)
                        findings.values[f"{name}_{part}"] = value

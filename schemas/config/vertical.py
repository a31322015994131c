"""A line of business."""

from __future__ import annotations

from collections import Counter
from operator import not_
from typing import Annotated, Any

import cel
from pydantic import AfterValidator, Field, model_validator

from schemas.config.consent import ConsentRule
from schemas.config.dedup import PERSON, KeySet
from schemas.config.entity import Entity, Name
from schemas.config.field import ENVELOPE, PARTS, SAMPLES, STANDARD, ComputedField, FieldType, LeadFilter
from schemas.config.field import Field as LeadField
from schemas.expressions import compile_condition
from schemas.transformers import Template, compile_template

Zip = Annotated[str, Field(pattern=r"^[0-9]{5}$")]


def _sorted(zips: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(zips)))


class Vertical(Entity):
    """A line of business.

    ``fields`` add to those of every lead, or ask more of one of them (an email that is required). ``computed`` fields
    follow from them, ``filters`` reject over both, ``consent`` says what proof of consent a lead must carry. A lead
    from one of the ``test_zips``, which need not exist, is a test lead.

    ``dedup`` are the key sets by which its leads are duplicates. A sender's request that comes again, word for word,
    within ``repeat_seconds`` is one too; 0 turns that off.
    """

    # A field that came later is left out of the dump at its default: it must not change the hash of older releases.
    name: Name
    dedup: tuple[KeySet, ...] = (KeySet(),)
    repeat_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    fields: Annotated[tuple[LeadField, ...], Field(exclude_if=not_)] = ()
    computed: Annotated[tuple[ComputedField, ...], Field(exclude_if=not_)] = ()
    filters: Annotated[tuple[LeadFilter, ...], Field(exclude_if=not_)] = ()
    consent: Annotated[ConsentRule | None, Field(exclude_if=not_)] = None
    test_zips: Annotated[tuple[Zip, ...], AfterValidator(_sorted), Field(exclude_if=not_)] = ()

    @model_validator(mode="after")
    def _compiles(self) -> Vertical:
        for kind, names in (
            ("field", [*(f.name for f in self.fields), *(c.name for c in self.computed)]),
            ("filter", [f.name for f in self.filters]),
            ("key set of dedup", [keys.name for keys in self.dedup]),
        ):
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{kind} named twice: {', '.join(repeated)}")
        types = self.types
        for name, kind in types.items():
            for part in PARTS.get(kind, {}):
                if f"{name}_{part}" in types:
                    raise ValueError(f"field {name}_{part}: that is the {part} of {name}; choose another name")
        for keys in self.dedup:
            if unknown := [name for name in keys.fields if name != PERSON and name not in types]:
                raise ValueError(f"key set {keys.name} of dedup: no field {', '.join(unknown)} is configured")
        self.compile_computed()
        self.compile_filters()
        return self

    @property
    def types(self) -> dict[str, FieldType]:
        """The type of every field: standard ones, the vertical's own, computed ones."""
        own, computed = ((f.name, f.type) for f in self.fields), ((c.name, c.type) for c in self.computed)
        return STANDARD | dict(own) | dict(computed)

    @property
    def names(self) -> dict[str, FieldType]:
        """Every name that an expression may read, in order: of fields, their parts, and the envelope's."""
        return _with_parts(self.types) | ENVELOPE

    @property
    def samples(self) -> dict[str, Any]:
        """A value for each of the names, to try an expression on (:func:`schemas.expressions.compile_condition`)."""
        return {name: SAMPLES[kind] for name, kind in self.names.items()}

    def compile_computed(self) -> tuple[tuple[ComputedField, Template], ...]:
        """The computed fields with their templates; each may read what stands before it.

        Raises:
            ValueError: a template does not compile, or reads what is not there; the message names the field.
        """
        known = STANDARD | {f.name: f.type for f in self.fields}
        compiled = []
        for computed in self.computed:
            try:
                compiled.append((computed, compile_template(computed.value, _with_parts(known))))
            except ValueError as error:
                raise ValueError(f"computed field {computed.name}: {error}") from None
            known = known | {computed.name: computed.type}
        return tuple(compiled)

    def compile_filters(self) -> tuple[tuple[LeadFilter, cel.Program], ...]:
        """The filters with their expressions.

        Raises:
            ValueError: an expression does not compile, or reads what is not there; the message names the filter.
        """
        compiled, samples = [], self.samples
        for criterion in self.filters:
            try:
                compiled.append((criterion, compile_condition(criterion.reject_unless, samples)))
            except ValueError as error:
                raise ValueError(f"filter {criterion.name}: {error}") from None
        return tuple(compiled)


def _with_parts(types: dict[str, FieldType]) -> dict[str, FieldType]:
    parts = {f"{name}_{part}": kind for name, whole in types.items() for part, kind in PARTS.get(whole, {}).items()}
    return types | parts

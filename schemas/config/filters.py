"""A rule of one's own over a lead's fields."""

from __future__ import annotations

from typing import Annotated

import cel
from pydantic import AfterValidator, model_validator

from schemas.config.entity import Entity, Name


def _compiles(text: str) -> str:
    try:
        cel.compile(text)
    except ValueError as error:
        raise ValueError(f"not a CEL expression, such as state == 'CA': {error}") from None
    return text


Expression = Annotated[str, AfterValidator(_compiles)]
"""The text of a CEL expression."""


class Filter(Entity):
    """Takes leads that the expression holds for (``require``), or that it does not hold for (``unless``).

    A lead that the expression cannot be evaluated for (a field is missing, or of another type) is not taken.
    """

    name: Name
    require: Expression | None = None
    unless: Expression | None = None

    @model_validator(mode="after")
    def _one_expression(self) -> Filter:
        if (self.require is None) == (self.unless is None):
            raise ValueError("a filter has one expression, either under require or under unless")
        return self

    @property
    def expression(self) -> str:
        """The CEL text."""
        return self.require if self.require is not None else self.unless or ""

    @property
    def wanted(self) -> bool:
        """What the expression must be for the lead to be taken."""
        return self.require is not None

"""Expressions over a lead: one context of its values for all of them, and answers that are never an exception."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

import cel


class Answer(StrEnum):
    """What an expression says of a lead, or why it says nothing."""

    HOLDS = "holds"
    FAILS = "does not hold"
    TYPES = "a value it compares is missing or of another type"
    ARITHMETIC = "divides by zero or overflows"
    VALUE = "a value it converts is of another form"
    NOT_BOOLEAN = "neither true nor false"


def context_of(values: Mapping[str, Any], names: Collection[str]) -> cel.Context:
    """The values that expressions read, converted once for all of them; a value that is not there is null."""
    return cel.Context(variables={name: values.get(name) for name in names})


def evaluate(program: cel.Program, context: cel.Context) -> Answer:
    """Whether an expression holds. Whatever goes wrong is an answer of its own, which a filter takes for no."""
    try:
        result = program.execute(context)
    except TypeError:
        return Answer.TYPES
    except ArithmeticError:
        return Answer.ARITHMETIC
    except (RuntimeError, LookupError, ValueError):
        return Answer.VALUE
    if result is True:
        return Answer.HOLDS
    return Answer.FAILS if result is False else Answer.NOT_BOOLEAN

"""CEL expressions over named values, compiled and tried out when the configuration is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import cel

from schemas.transformers import hint

FUNCTIONS: Final = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches", "string", "int", "uint", "double", "bytes", "timestamp",
    "duration", "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
})  # fmt: skip
RESERVED: Final = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else",
    "for", "function", "if", "import", "let", "loop", "package", "namespace", "return",
    "var", "void", "while", "has", "all", "exists", "exists_one", "map", "filter",
})  # fmt: skip
"""Words that CEL keeps for itself: no name of a field."""
BOUND: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,")


class ExpressionError(ValueError):
    """An expression that cannot be compiled, or could never be evaluated."""


def names_read(program: cel.Program) -> frozenset[str]:
    """The names whose values an expression reads, without those it binds itself."""
    return frozenset(program.references()["variables"]) - frozenset(BOUND.findall(program.source))


def compile_condition(source: str, samples: Mapping[str, Any]) -> cel.Program:
    """Compile an expression that is to be true or false; ``samples`` has a value of the right type for every name.

    The expression is tried on the samples: one that compares a number with a text would otherwise compile, and then
    hold for no lead at all.

    Raises:
        ExpressionError: a syntax error, an unknown name or function, types that do not go together, or another result.
    """
    try:
        program = cel.compile(source)
    except ValueError as error:
        raise ExpressionError(f"{source!r} is no CEL expression: {error}") from None
    for name in sorted(names_read(program) - samples.keys()):
        raise ExpressionError(f"{source!r}: no field {name!r}{hint(name, samples.keys())}")
    for name in program.references()["functions"]:
        if name.isidentifier() and not name.startswith("_") and name not in FUNCTIONS:
            raise ExpressionError(f"{source!r}: no function {name!r}{hint(name, FUNCTIONS)}")
    try:
        result = program.execute(cel.Context(variables=dict(samples)))
    except TypeError:
        raise ExpressionError(f"{source!r} compares or combines values of types that do not go together") from None
    except RuntimeError as error:
        if "not a valid regex" in str(error):
            raise ExpressionError(f"{source!r}: {error}") from None
        return program
    except (ArithmeticError, ValueError, LookupError):
        return program  # a matter of the values: other leads may have better ones
    if not isinstance(result, bool):
        raise ExpressionError(f"{source!r} is neither true nor false, but gives a {type(result).__name__}")
    return program

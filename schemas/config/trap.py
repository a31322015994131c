"""What a linter's rule is, and what it finds: a trap is what is allowed and probably not meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.config.release import Configuration


class Severity(StrEnum):
    """A warning is probably a mistake; information is what one may not expect."""

    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Trap:
    """Where a rule applies: an entity by kind (``campaigns``) and id, a field of it, or a whole kind (``id`` None)."""

    kind: str
    id: str | None
    field: str | None
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Finding:
    """A trap with the rule that found it, such as ``campaign.unreachable``."""

    code: str
    severity: Severity
    trap: Trap


Rule = Callable[[Configuration], Iterator[Trap]]
RULES: Final[dict[str, tuple[Severity, Rule]]] = {}


def rule(code: str, severity: Severity) -> Callable[[Rule], Rule]:
    """Registers a rule under its code."""

    def register(function: Rule) -> Rule:
        RULES[code] = (severity, function)
        return function

    return register

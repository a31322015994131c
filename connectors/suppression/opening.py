"""The configured lists, opened; what the configuration says of them has to be what was imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from connectors.suppression.compiled_file import SuppressionSet
from connectors.suppression.errors import SuppressionError
from schemas.config.suppression import MatchRule, SuppressionList


def open_lists(
    entities: Iterable[SuppressionList], home: Path, secret: bytes
) -> list[tuple[SuppressionList, SuppressionSet]]:
    """Every configured list with its opened file.

    Raises:
        SuppressionError: a file cannot be used, was imported by another rule, or has no dates where days are asked for.
    """
    return [(entity, _opened(entity, home, secret)) for entity in entities]


def _opened(entity: SuppressionList, home: Path, secret: bytes) -> SuppressionSet:
    opened = SuppressionSet.open(entity.file(home), secret)
    again = f"import it again with `leadline suppression import FILE --name {entity.name}`"
    for name in MatchRule.model_fields:
        imported, configured = getattr(opened.rule, name), getattr(entity, name)
        if imported != configured:
            raise SuppressionError(
                f"list {entity.name}: {name} is {configured} in the configuration, but {imported} in {opened.path};"
                f" make them agree, or {again}"
            )
    if entity.days is not None and not opened.header.dated:
        raise SuppressionError(
            f"list {entity.name} has days: {entity.days}, but {opened.path} has no dates; {again} --column date=NUMBER"
        )
    return opened

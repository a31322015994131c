"""The configured lists, opened; what the configuration says of them has to be what was imported."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog

from connectors.suppression.compiled_file import SuppressionSet
from connectors.suppression.errors import SuppressionError
from schemas.config.placeholders import UnusableReleaseError
from schemas.config.suppression import MatchRule, SuppressionList

LOOK_EVERY_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class ListFiles:
    """The lists of a worker, by their entities. Each is opened at its first use and stays open; whether its file was
    replaced is looked at every :data:`LOOK_EVERY_SECONDS`, not for each lead. Threads may share it."""

    def __init__(self, home: Path, secret: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._home, self._secret, self._clock = home, secret, clock
        self._open: dict[SuppressionList, SuppressionSet] = {}
        self._failed: dict[SuppressionList, str] = {}
        self._looked_at = clock()
        self._lock = threading.Lock()

    def __call__(self, entities: Sequence[SuppressionList], /) -> list[tuple[SuppressionList, SuppressionSet]]:
        """Each list with its file. One that was replaced by a file that cannot be used stays as it was, and the log
        says so.

        Raises:
            UnusableReleaseError: a list is not open yet and cannot be: its file is missing, damaged, was imported by
                another rule, or has no dates where days are asked for.
        """
        with self._lock:
            if self._clock() - self._looked_at >= LOOK_EVERY_SECONDS:
                self._looked_at = self._clock()
                for entity, opened in self._open.items():
                    if opened.replaced:
                        self._open_again(entity)
            for entity in entities:
                if entity not in self._open:
                    try:
                        self._open[entity] = _opened(entity, self._home, self._secret)
                    except SuppressionError as error:
                        raise UnusableReleaseError(str(error)) from None
            return [(entity, self._open[entity]) for entity in entities]

    def _open_again(self, entity: SuppressionList) -> None:
        try:
            self._open[entity] = opened = _opened(entity, self._home, self._secret)
            self._failed.pop(entity, None)
            log.info("suppression list replaced", list=entity.name, rows=len(opened))
        except SuppressionError as error:
            if self._failed.get(entity) != str(error):
                self._failed[entity] = str(error)
                log.error("suppression list not replaced, the one before stays", list=entity.name, error=str(error))


def open_lists(
    entities: Iterable[SuppressionList], home: Path, secret: bytes
) -> list[tuple[SuppressionList, SuppressionSet]]:
    """Every configured list with its opened file.

    Raises:
        SuppressionError: a file cannot be used, was imported by another rule, or has no dates where days are asked for.
    """
    return [(entity, _opened(entity, home, secret)) for entity in entities]


def _opened(entity: SuppressionList, home: Path, secret: bytes) -> SuppressionSet:
    try:
        opened = SuppressionSet.open(entity.file(home), secret)
    except SuppressionError as error:
        raise SuppressionError(f"list {entity.name}: {error}") from None
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

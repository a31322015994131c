"""Settles the warehouse's hours from time to time, on a thread of the embedded server."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from typing import Any, Final

from warehouse.embedded.engine import Engine
from warehouse.embedded.errors import ClickHouseError
from warehouse.embedded.statement import Statement
from warehouse.settling import settle

log = logging.getLogger(__name__)

_FORMAT: Final = "JSONCompactEachRow"


class Settler:
    """Settles hours of ``database`` every so many seconds until it is closed; nothing where the database has no rollups
    yet."""

    def __init__(self, engine: Engine, database: str, every_seconds: float) -> None:
        self._engine = engine
        self._database = database
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Start no further run. One that is under way may be cut off: its hours stay open."""
        self._stopped.set()

    def _run(self) -> None:
        left = 0
        while not self._stopped.wait(0 if left else self._every_seconds):
            try:
                left = settle(self._ask, self._database).left if self._has_rollups() else 0
            except ClickHouseError as error:
                left = 0
                if not self._stopped.is_set():
                    log.error("hours are not settled, views compute them: code %s", error.code)

    def _has_rollups(self) -> bool:
        ((found,),) = self._ask(f"EXISTS TABLE {self._database}.rollup_hours")
        return bool(found)

    def _ask(self, sql: str) -> Sequence[Sequence[Any]]:
        if self._stopped.is_set():
            raise ClickHouseError(0, "the warehouse server is stopping")
        result = self._engine.execute(Statement(sql.encode()), default_format=_FORMAT)
        return [json.loads(line) for line in b"".join(result.blocks).splitlines() if line]

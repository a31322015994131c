"""The warehouse's own exception, apart from the client so that naming it costs no import of the driver."""

from __future__ import annotations


class WarehouseError(Exception):
    """ClickHouse did not do what was asked; the message says what it answered."""

"""A ClickHouse client, the same for the embedded server and any other."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from warehouse.errors import WarehouseError

# What the driver logs it raises too. Where a process has set up no log, it would be on the terminal.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


def connect(url: str, *, database: str = "default", **options: Any) -> Client:
    """A client of ``http(s)://[user:password@]host:port``. It may be shared by threads.

    Raises:
        WarehouseError: the URL is none, or nobody answers there.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WarehouseError(f"{url!r} is no ClickHouse URL, such as http://127.0.0.1:8123")
    try:
        return clickhouse_connect.get_client(
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            interface=parts.scheme,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or ""),
            database=database,
            # A session admits one query at a time.
            autogenerate_session_id=False,
            **options,
        )
    except Error as error:
        where = f"{parts.hostname}:{parts.port}"
        raise WarehouseError(f"no ClickHouse at {where}: {str(error).splitlines()[0][:200]}") from error

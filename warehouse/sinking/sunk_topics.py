"""Since when a topic is the one that it is: one that is made again has other records at the same offsets.

Rows say of which topic they are by its name only, so those that came before are another log's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clickhouse_connect.driver.client import Client

TABLE: Final = "sunk_topics"


class SunkTopics:
    """What the warehouse knows of topics' ids, asked once each. Threads may share it."""

    def __init__(self, client: Client, database: str) -> None:
        self._client, self._name = client, f"{database}.{TABLE}"
        self._since: dict[tuple[str, str], int] = {}

    def learn(self, ids: Mapping[str, str]) -> None:
        """Note the topics whose ids are new, before there is any row of theirs. The first id of a topic's has all rows.

        Raises:
            clickhouse_connect.driver.exceptions.Error: ClickHouse does not answer.
        """
        if all(pair in self._since for pair in ids.items()):
            return
        self._ask()
        new = [pair for pair in ids.items() if pair not in self._since]
        for topic, topic_id in new:
            self._client.command(
                f"INSERT INTO {self._name} (topic, topic_id, since) SELECT {{topic:String}}, {{id:String}},"  # noqa: S608
                f" if((SELECT count() FROM {self._name} WHERE topic = {{topic:String}}) = 0,"
                " toDateTime64(0, 3, 'UTC'), now64(3, 'UTC'))",
                parameters={"topic": topic, "id": topic_id},
                settings={"async_insert": 0},
            )
        if new:
            self._ask()

    def since(self, topic: str, topic_id: str) -> str:
        """The SQL of the moment from which on ``ingested_at`` is that of the topic's rows.

        Raises:
            clickhouse_connect.driver.exceptions.Error: ClickHouse does not answer.
        """
        self.learn({topic: topic_id})
        return f"fromUnixTimestamp64Milli({self._since[topic, topic_id]}, 'UTC')"

    def _ask(self) -> None:
        # Two sinks that meet a topic at once note it twice: the earlier moment is before the rows of both.
        found = self._client.query(
            f"SELECT topic, topic_id, toUnixTimestamp64Milli(min(since)) FROM {self._name} GROUP BY ALL"  # noqa: S608
        ).result_rows
        self._since |= {(str(topic), str(topic_id)): int(since) for topic, topic_id, since in found}

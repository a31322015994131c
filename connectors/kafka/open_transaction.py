"""Transactions that nobody has ended: what stands behind the first record of one is not seen by who reads what is
committed, and what becomes of it is not decided yet."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from connectors.kafka import clients

POLL_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 10.0


class OpenTransactionError(Exception):
    """A transaction is open that should not be."""


def first_open(bootstrap: str, topic: str, partition: int, seconds: float = TIMEOUT_SECONDS) -> int | None:
    """The offset of the first record of an open transaction in a partition; None when all of it is decided.

    Raises:
        KafkaException: the cluster does not answer in so many ``seconds``.
    """
    admin, place = clients.admin(bootstrap), TopicPartition(topic, partition)
    latest = {place: OffsetSpec.latest()}  # type: ignore[no-untyped-call]

    def end(level: IsolationLevel) -> int:
        # Kafka's limit, not the future's: a `TimeoutError` would say nothing of Kafka.
        asked = admin.list_offsets(latest, isolation_level=level, request_timeout=seconds)
        return int(asked[place].result().offset)

    # In this order: what is decided between the two questions does not look open.
    written = end(IsolationLevel.READ_UNCOMMITTED)
    decided = end(IsolationLevel.READ_COMMITTED)
    return decided if decided < written else None


def refuse_open(bootstrap: str, topic: str, partition: int, seconds: float = TIMEOUT_SECONDS) -> None:
    """Return once no transaction is open in a partition whose only writer has just been fenced.

    To fence ends its transaction, so one that stays open was lost by its coordinator: the next commit under the same id
    would commit its records beside those of the successor, who has done the same work again. Kafka 4.3.0 to 4.4.0 lose
    one where a broker is killed that holds the only replica (KAFKA-20734).

    Raises:
        OpenTransactionError: one is open after so many ``seconds``.
        KafkaException: the cluster does not answer.
    """
    deadline = time.monotonic() + seconds
    while (offset := first_open(bootstrap, topic, partition)) is not None:
        if time.monotonic() > deadline:
            raise OpenTransactionError(
                f"{topic} [{partition}] has an open transaction at offset {offset}, and its writer is fenced: see "
                f"`kafka-transactions.sh find-hanging`, and end it with `kafka-transactions.sh abort --topic {topic} "
                f"--partition {partition} --start-offset {offset}`, in the output topics too"
            )
        time.sleep(POLL_SECONDS)

"""A producer whose flush means what it says: every record acknowledged, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from connectors.kafka import clients

FLUSH_SECONDS: Final = 1.0


class DeliveryFailedError(Exception):
    """A record was not acknowledged. Nothing after it may be taken as done."""


class AckedProducer:
    """librdkafka's producer with a barrier. Errors are kept and raised by the next :meth:`flush`."""

    def __init__(self, bootstrap: str, *, delivery_timeout_seconds: float = 120.0, **config: Any) -> None:
        self._error: KafkaError | None = None
        self._producer = clients.producer(
            bootstrap,
            **{
                "message.timeout.ms": int(delivery_timeout_seconds * 1000),
                # Acknowledged records need no callback into Python: flush() counts them, failures come here.
                "delivery.report.only.error": True,
                "on_delivery": self._reported,
                **config,
            },
        )

        self._produce = self._producer.produce

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        self._error = self._error or error

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int = -1,
        timestamp_ms: int = 0,
    ) -> None:
        """Queue a record; a partition of -1 is left to the key, a timestamp of 0 to now. Waits while the queue is full.

        Raises:
            DeliveryFailedError: the record can never be sent, for instance because it is too large.
        """
        while True:
            try:
                # Most records have no headers, and here every microsecond is one for each record of the pipeline.
                if headers:
                    self._produce(topic, value, key, partition, headers=list(headers), timestamp=timestamp_ms)
                else:
                    self._produce(topic, value, key, partition, timestamp=timestamp_ms)
                return
            except BufferError:
                self._producer.poll(0.1)
            except Exception as error:
                raise DeliveryFailedError(f"{topic}: {error}") from error

    def flush(self) -> None:
        """Block until every queued record is acknowledged.

        Raises:
            DeliveryFailedError: one is not, and will not be.
        """
        while self._producer.flush(FLUSH_SECONDS):
            self._raise()
        self._raise()

    def close(self) -> None:
        """Let go of the broker. What is not flushed is not certain to be sent."""
        self._producer.close()

    def _raise(self) -> None:
        if self._error is not None:
            raise DeliveryFailedError(str(self._error))


class PlacingProducer(AckedProducer):
    """The same, and it knows where its records went. That costs a report of each, some tenths of a microsecond."""

    def __init__(self, bootstrap: str, **config: Any) -> None:
        self._following: dict[tuple[str | None, int | None], int] = {}
        super().__init__(bootstrap, **{"delivery.report.only.error": False, **config})

    def following(self, topic: str, partition: int) -> int | None:
        """The offset behind the last record that this producer had acknowledged in a partition; None before any."""
        return self._following.get((topic, partition))

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._following[message.topic(), message.partition()] = (message.offset() or 0) + 1
        else:
            super()._reported(error, message)

"""Publishing for requests: each caller learns what became of its own records, and of no other's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from connectors.inbound.intake import BrokerUnavailableError, LeadMessage
from connectors.kafka import clients

POLL_SECONDS: Final = 0.1
RETRY_AFTER_SECONDS: Final = 5.0


class LeadPublisher:
    """Writes leads to a topic; :meth:`publish` returns once every replica in sync has them."""

    def __init__(self, bootstrap: str, topic: str, *, delivery_timeout_seconds: float = 10.0) -> None:
        self._topic = topic
        self._producer = clients.producer(
            bootstrap, **{"message.timeout.ms": int(delivery_timeout_seconds * 1000), "linger.ms": 2}
        )
        self._closed = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="lead-publisher", daemon=True)
        self._poller.start()

    async def publish(self, messages: Sequence[LeadMessage]) -> None:
        """Write all of them.

        Raises:
            BrokerUnavailableError: one was not acknowledged in time; some of the others may be stored.
        """
        loop = asyncio.get_running_loop()
        stored: list[asyncio.Future[None]] = []
        for message in messages:
            future: asyncio.Future[None] = loop.create_future()

            def delivered(error: KafkaError | None, _: Message, future: asyncio.Future[None] = future) -> None:
                loop.call_soon_threadsafe(_resolve, future, error)

            try:
                self._producer.produce(
                    self._topic, key=message.lead_id.encode(), value=message.value, on_delivery=delivered
                )
            except (BufferError, KafkaException) as error:
                raise BrokerUnavailableError(RETRY_AFTER_SECONDS) from error
            stored.append(future)
        outcomes = await asyncio.gather(*stored, return_exceptions=True)
        if failed := [outcome for outcome in outcomes if isinstance(outcome, BaseException)]:
            raise BrokerUnavailableError(RETRY_AFTER_SECONDS) from failed[0]

    def close(self) -> None:
        """Give what is on its way its time, then stop."""
        self._producer.flush(POLL_SECONDS * 50)
        self._closed.set()
        self._poller.join()

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(POLL_SECONDS)


def _resolve(future: asyncio.Future[None], error: KafkaError | None) -> None:
    if future.done():  # its request was cancelled
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(KafkaException(error))

"""The records of a torn batch that are in other members' partitions."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException

from connectors.kafka.log_reader import as_record, read_ranges
from schemas.record import KafkaRecord
from warehouse.sinking.abandoned import AbandonedError
from warehouse.sinking.plans import Part


def records_of(bootstrap: str, parts: Iterable[Part], abandoned: threading.Event) -> list[KafkaRecord] | None:
    """The records of parts, whoever has their partitions; None where some are gone from their logs.

    Raises:
        AbandonedError: the batch was given up meanwhile.
        KafkaException: the cluster does not answer, or a log does not go so far (now).
    """
    ranges = [(part.topic, part.partition, part.first, part.last + 1) for part in parts]
    found: list[KafkaRecord] = []
    try:
        for batch in read_ranges(bootstrap, ranges):
            if abandoned.is_set():
                raise AbandonedError
            found += map(as_record, batch)
    except KafkaException as error:
        if error.args[0].code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001  # its public name
            return None
        raise
    return found

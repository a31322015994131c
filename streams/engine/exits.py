"""Why a worker ends itself: exit codes for its supervisor, and what may be logged of the cause."""

from __future__ import annotations

import traceback
from enum import IntEnum

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from connectors.kafka.open_transaction import OpenTransactionError
from connectors.kafka.producer import DeliveryFailedError
from connectors.kafka.transaction import FencedError, TransactionError
from connectors.rocksdb.database import DatabaseError
from streams.dead_letter_limit import DeadLetterLimitError
from streams.engine.lanes import GapError
from streams.engine.writer import FrozenError
from streams.leases import ReleaseGoneError


class CoPartitionError(Exception):
    """The topics of a stage are not assigned alike: their partition counts differ."""


class Exit(IntEnum):
    """Exit codes, from BSD's sysexits. After each of them the worker may be started again at once: what it has not
    written is read again."""

    POISONED = 65
    """EX_DATAERR: nearly every record fails. Starting again helps only once the cause is mended."""
    KAFKA = 69
    """EX_UNAVAILABLE: Kafka refused, or did not answer for too long."""
    FAILED = 70
    """EX_SOFTWARE: anything else."""
    FENCED = 75
    """EX_TEMPFAIL: another worker has taken over while this one stood still."""
    CONFIGURATION = 78
    """EX_CONFIG: a release that must decide again what it has decided before is gone, or cannot be used here. Starting
    again helps only once it is back."""


def exit_of(error: BaseException) -> Exit:
    """The exit code that an error ends a worker with."""
    match error:
        case DeadLetterLimitError():
            return Exit.POISONED
        case FencedError() | FrozenError():
            return Exit.FENCED
        case ReleaseGoneError():
            return Exit.CONFIGURATION
        case KafkaException() | KafkaError() | DeliveryFailedError() | TransactionError() | OpenTransactionError():
            return Exit.KAFKA
        case _:
            return Exit.FAILED


def detail_of(error: BaseException) -> str:
    """What may be logged: the message of an error of ours or Kafka's, of any other only where it was raised. A message
    may quote the lead."""
    if isinstance(error, CoPartitionError | DatabaseError | GapError) or exit_of(error) is not Exit.FAILED:
        return str(error)[:500]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""

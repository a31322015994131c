"""How a sandbox buyer answers, as a pure function of its configuration and the idempotency key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0, le=600_000)]
BuyerName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class Status(StrEnum):
    """A buyer's answer to a lead."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"


class Mode(StrEnum):
    """A way to fail. ``error_*`` record nothing; the others record the answer and then withhold, delay or deny it."""

    ERROR_500 = "error_500"
    ERROR_503 = "error_503"
    CUT = "cut"
    TIMEOUT = "timeout"
    LYING_500 = "lying_500"

    @property
    def records(self) -> bool:
        """Whether the buyer has the lead although the sender sees a failure."""
        return self not in (Mode.ERROR_500, Mode.ERROR_503)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Failure(_Part):
    """A share of keys (``rate``) fails in this mode on each of its first ``first_sights`` arrivals.

    ``lying_500`` is for accepted keys only: it denies a sale that was made.
    """

    mode: Mode
    rate: Share
    first_sights: Annotated[int, Field(ge=1)] = 1


class Buyer(_Part):
    """One buyer. Shares are of idempotency keys; ``price`` overrides the campaign's; a pair of latencies is a range."""

    acceptance: Share = 1.0
    duplicates: Share = 0.0
    reject_reason: str = "outside_criteria"
    latency_ms: Milliseconds | tuple[Milliseconds, Milliseconds] = 0.0
    failures: tuple[Failure, ...] = ()
    hang_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    honours_idempotency_key: bool = True
    price: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.acceptance + self.duplicates > 1 + 1e-9:
            raise ValueError("acceptance and duplicates are shares of the same keys: their sum must not exceed 1")
        if isinstance(self.latency_ms, tuple) and self.latency_ms[0] > self.latency_ms[1]:
            raise ValueError("latency_ms: the range must be [min, max]")
        return self


class SandboxConfig(_Part):
    """Every buyer by the name that stands in its URL."""

    buyers: dict[BuyerName, Buyer]


class SandboxConfigError(ValueError):
    """The sandbox file is unusable; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a buyer decided about a lead, and answers whenever it is asked again."""

    status: Status
    reference: str
    reason: str | None
    price: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one arrival, and what becomes of it on the way back."""

    answer: Answer
    failure: Mode | None
    latency_ms: float

    @property
    def records(self) -> bool:
        """Whether the buyer remembers this arrival as a lead."""
        return self.failure is None or self.failure.records


def load(path: Path) -> SandboxConfig:
    """The configuration in a YAML file.

    Raises:
        SandboxConfigError: missing, no YAML, or not of this shape.
    """
    try:
        return SandboxConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SandboxConfigError(f"{path}: {error.strerror}; pass --config FILE") from None
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
        raise SandboxConfigError(f"{path}: {error}") from None


def answer(name: str, buyer: Buyer, key: str, sights: int) -> Decision:
    """The decision about the ``sights``-th arrival (from 1) of ``key`` at the buyer ``name``.

    The same arguments always give the same decision; while the buyer honours the key, every arrival gets one answer.
    """
    draw = _draw(name, key, "answer")
    if draw < buyer.acceptance:
        status = Status.ACCEPTED
    elif draw < buyer.acceptance + buyer.duplicates:
        status = Status.DUPLICATE
    else:
        status = Status.REJECTED
    sale = "" if buyer.honours_idempotency_key else str(sights)
    reference = f"{name}-{_digest(name, key, 'reference', sale).hex()[:12]}"
    reason = {Status.ACCEPTED: None, Status.DUPLICATE: "already_known", Status.REJECTED: buyer.reject_reason}[status]
    price = buyer.price if status is Status.ACCEPTED else None
    return Decision(
        Answer(status, reference, reason, price),
        _failure(name, buyer, key, sights, status),
        _latency(name, buyer, key, sights),
    )


def _failure(name: str, buyer: Buyer, key: str, sights: int, status: Status) -> Mode | None:
    for failure in buyer.failures:
        if failure.mode is Mode.LYING_500 and status is not Status.ACCEPTED:
            continue
        if sights <= failure.first_sights and _draw(name, key, failure.mode) < failure.rate:
            return failure.mode
    return None


def _latency(name: str, buyer: Buyer, key: str, sights: int) -> float:
    if not isinstance(buyer.latency_ms, tuple):
        return buyer.latency_ms
    least, most = buyer.latency_ms
    return least + (most - least) * _draw(name, key, "latency", str(sights))


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()


def _draw(*parts: str) -> float:
    """A number in [0, 1) that looks random and depends on nothing but the parts."""
    return int.from_bytes(_digest(*parts)[:6], "big") / 2**48

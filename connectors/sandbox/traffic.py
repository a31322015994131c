"""Generated leads whose outcome is known beforehand: with the demonstration's buyers, every number must come out.

Only standard generators feed it: a seed gives the same bytes on every machine.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Final
from uuid import UUID

from connectors.sandbox.as_typed import as_typed
from connectors.sandbox.flaws import FLAWS, malformed
from connectors.sandbox.people import People, Person
from connectors.sandbox.territory import CAPPED, DAILY_CAP, DECLINED, OUT_OF_AREA, SERVED, Place, places
from schemas.reasons import Reason

SOURCES: Final = ("quoteharbor", "homesavvy", "clickorchard", "northlight-digital", "ratefinder", "brightpath-media")

_VERTICAL_WEIGHTS: Final = {"solar": 40, "auto_insurance": 35, "roofing": 25}
_IDENTICAL_COPIES: Final = 0.2
_CONSENT: Final = (
    "By pressing Get my quote I agree to be contacted about {vertical} by phone, text and email, "
    "also by automated means. Consent is not a condition of purchase."
)


class Kind(StrEnum):
    """What a record of the traffic is; the names of the mix's counts."""

    SELLABLE = "sellable"
    DUPLICATES = "duplicates"
    INVALID = "invalid"
    OUT_OF_AREA = "out_of_area"
    CAPPED = "capped"
    DECLINED = "declined"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Mix:
    """How many records of each kind. A duplicate repeats a sellable lead, each at most once."""

    sellable: int = 780
    duplicates: int = 70
    invalid: int = 60
    out_of_area: int = 40
    capped: int = 25
    declined: int = 15
    malformed: int = 10

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0:
            raise ValueError("a mix has no negative counts")
        if self.duplicates > self.sellable:
            raise ValueError(f"{self.duplicates} duplicates need as many sellable leads, not {self.sellable}")

    @property
    def total(self) -> int:
        """Records in all."""
        return sum(asdict(self).values())

    def scaled(self, total: int) -> Mix:
        """The same proportions for ``total`` records; what is left by rounding goes to the largest remainders."""
        if total < 0 or self.total == 0:
            raise ValueError("only a mix of some records scales, to a total of 0 or more")
        shares = {name: divmod(count * total, self.total) for name, count in asdict(self).items()}
        left = total - sum(whole for whole, _ in shares.values())
        first = set(sorted(shares, key=lambda name: -shares[name][1])[:left])
        return Mix(**{name: whole + (name in first) for name, (whole, _) in shares.items()})


DEFAULT_MIX: Final = Mix()


@dataclass(frozen=True, slots=True)
class Expected:
    """The counts that a run over the traffic must show. The cap counts once: for all of it on one day."""

    raw: int
    rejected: int
    duplicate: int
    unrouted: int
    delivered: int
    undelivered: int
    dead: int

    def __post_init__(self) -> None:
        if self.raw != sum(getattr(self, field.name) for field in fields(self)) - self.raw:
            raise ValueError(f"every raw lead has one outcome, but {self} does not add up")

    @property
    def unsold(self) -> int:
        """Leads that nobody buys; of those over the cap, routing may know and not offer them at all."""
        return self.unrouted + self.undelivered

    @classmethod
    def of(cls, mix: Mix) -> Expected:
        """What becomes of a mix."""
        within_cap = min(DAILY_CAP, mix.capped)
        return cls(
            raw=mix.total,
            rejected=mix.invalid,
            duplicate=mix.duplicates,
            unrouted=mix.out_of_area,
            delivered=mix.sellable + within_cap,
            undelivered=mix.capped - within_cap + mix.declined,
            dead=mix.malformed,
        )


@dataclass(frozen=True, slots=True)
class Traffic:
    """Values for the ``leads`` topic in sending order, the kind of each, and what must come of them.

    ``rejections`` has the reason planted in each invalid lead, by lead_id; validation may report further ones.
    """

    records: tuple[bytes, ...]
    kinds: tuple[Kind, ...]
    rejections: Mapping[str, Reason]
    expected: Expected


def generate(seed: int, mix: Mix = DEFAULT_MIX) -> Traffic:
    """Leads in random order; a duplicate comes after its original. The same arguments give the same bytes."""
    made = _Generator(seed).records(mix)
    placed = sorted(made, key=lambda record: record.position)
    counted = Counter(record.kind for record in placed)
    if any(counted[Kind(name)] != count for name, count in asdict(mix).items()):
        raise AssertionError(f"made {counted} for {mix}")
    return Traffic(
        records=tuple(record.value for record in placed),
        kinds=tuple(record.kind for record in placed),
        rejections={record.lead_id: record.reason for record in placed if record.reason},
        expected=Expected.of(mix),
    )


@dataclass(frozen=True, slots=True)
class _Record:
    """``position`` in 0..1 is the place in the sequence."""

    position: float
    kind: Kind
    value: bytes
    lead_id: str = ""
    reason: Reason | None = None


class _Generator:
    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311  # repeatable, no secret
        self._people = People(self._rng)
        self._weights = {v: [len(places()[state]) for state in states] for v, states in SERVED.items()}

    def records(self, mix: Mix) -> Iterator[_Record]:
        yield from self._sellable(mix.sellable, mix.duplicates)
        yield from self._invalid(mix.invalid)
        for _ in range(mix.out_of_area):
            vertical, state = self._rng.choice(tuple(SERVED)), self._rng.choice(OUT_OF_AREA)
            yield self._record(Kind.OUT_OF_AREA, self._lead(vertical, self._somebody(state)))
        for kind, count, (vertical, state) in (
            (Kind.CAPPED, mix.capped, CAPPED),
            (Kind.DECLINED, mix.declined, DECLINED),
        ):
            for _ in range(count):
                yield self._record(kind, self._lead(vertical, self._somebody(state)))
        for index in range(mix.malformed):
            yield _Record(self._rng.random(), Kind.MALFORMED, malformed(self._lead(*self._served()), index))

    def _sellable(self, count: int, duplicates: int) -> Iterator[_Record]:
        repeated = set(self._rng.sample(range(count), duplicates))
        for index in range(count):
            vertical, person = self._served()
            lead = self._lead(vertical, person)
            record = self._record(Kind.SELLABLE, lead)
            yield record
            if index in repeated:
                position = record.position + (1 - record.position) * self._rng.random()
                yield self._record(Kind.DUPLICATES, self._again(lead, vertical, person), position=position)

    def _invalid(self, count: int) -> Iterator[_Record]:
        reasons = tuple(FLAWS)
        for index in range(count):
            lead = self._lead(*self._served())
            reason = reasons[index % len(reasons)]
            FLAWS[reason](lead, self._rng)
            yield self._record(Kind.INVALID, lead, reason=reason)

    def _served(self) -> tuple[str, Person]:
        vertical = self._rng.choices(tuple(_VERTICAL_WEIGHTS), tuple(_VERTICAL_WEIGHTS.values()))[0]
        return vertical, self._somebody(self._rng.choices(SERVED[vertical], self._weights[vertical])[0])

    def _somebody(self, state: str) -> Person:
        place: Place = self._rng.choice(places()[state])
        return self._people.person(place)

    def _lead(self, vertical: str, person: Person) -> dict[str, str]:
        source = self._rng.choice(SOURCES)
        return {
            "lead_id": self._lead_id(),
            "vertical": vertical,
            "source": source,
            **as_typed(person, self._rng),
            "consent_text": _CONSENT.format(vertical=vertical.replace("_", " ")),
            "landing_url": f"https://www.{source}.example/{vertical.replace('_', '-')}",
            "sub_id": f"s{self._rng.randrange(1, 400)}",
        }

    def _again(self, lead: dict[str, str], vertical: str, person: Person) -> dict[str, str]:
        """The person once more. A copy has a lead_id of its own: with the same one it would be the same lead."""
        if self._rng.random() < _IDENTICAL_COPIES:
            return {**lead, "lead_id": self._lead_id()}
        contacts = [name for name in ("phone", "email") if name in lead]
        while True:
            again = self._lead(vertical, person)
            if any(again[name] != lead[name] for name in contacts):
                return again

    def _lead_id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def _record(
        self, kind: Kind, lead: dict[str, str], *, position: float | None = None, reason: Reason | None = None
    ) -> _Record:
        value = json.dumps(lead, ensure_ascii=False, separators=(",", ":")).encode()
        place = self._rng.random() if position is None else position
        return _Record(place, kind, value, lead["lead_id"], reason)

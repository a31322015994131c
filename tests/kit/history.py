"""A crash history: a handful of leads through the four stages under faults, all of it drawn from one seed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, ClassVar
from uuid import UUID

from connectors.outbound.contract import Answer
from kit.builders import SECRET, campaign, cap, configuration, lead_id, raw_fields
from schemas import headers, topics
from schemas.config.campaign import Exclusivity
from schemas.config.cap import Cap
from schemas.config.dedup import KeySet
from schemas.config.field import LeadFilter
from schemas.config.release import Configuration
from schemas.config.route import Group, Route
from schemas.config.vertical import Vertical
from schemas.events import Outcome
from schemas.reasons import Reason
from streams.delivery.stage import Post
from streams.memory.faults import Faults
from streams.memory.log import MemoryLog
from streams.memory.simulation import Clock, Simulation, UnperformedError
from streams.memory.worker import MemoryWorker
from streams.replay.window import again
from streams.stage import Context, Stage
from streams.topology import PIPELINE

PARTITIONS = 2
START = datetime(2026, 3, 4, 17, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
RATES = (0.005, 0.02, 0.05, 0.15)
WINDOW = timedelta(days=1)
MOST_SALES = 2
"""Of a lead, where it is sold more than once."""

ACCEPTED, REJECTED = Answer(Outcome.ACCEPTED), Answer(Outcome.REJECTED, Reason.BUYER_REJECTED)
DUPLICATE, ERROR = Answer(Outcome.DUPLICATE, Reason.BUYER_DUPLICATE), Answer(Outcome.ERROR, Reason.BUYER_ERROR)
UNKNOWN = Answer(Outcome.UNKNOWN, Reason.BUYER_ANSWER_INVALID)


def _raw(person: int, **changes: str) -> bytes:
    own = {"phone": f"404-555-01{person:02}", "email": f"p{person}@example.com"}
    return json.dumps(raw_fields(**own | changes)).encode()


GEORGIA = tuple(_raw(person) for person in range(8))
NEW_YORK = tuple(_raw(person, zip="10001", state="NY") for person in range(8, 12))
NAMED = tuple(_raw(person, lead_id=str(lead_id(person))) for person in range(12, 16))
OUT_OF_AREA = (_raw(16, zip="94105", state="CA"), _raw(17, zip="94105", state="CA"))
INVALID = (_raw(18, phone="12"), _raw(19, vertical="boats"), _raw(20, first_name=""))
UNDECODABLE = (b"\xff\xfe", b"{", b"\x00\x00\x00\x00\x01bad")
KINDS = (GEORGIA, GEORGIA, GEORGIA, NEW_YORK, NEW_YORK, NAMED, OUT_OF_AREA, INVALID, UNDECODABLE)


STRICT = LeadFilter(name="not-new-york", reject_unless="state != 'NY'")
NEIGHBOURS = KeySet(fields=("last_name", "zip"), days=WINDOW.days)
PERSON = KeySet(days=WINDOW.days)
RULES: tuple[tuple[Vertical, ...], ...] = (
    (Vertical(name="solar", dedup=(PERSON,)),),
    (Vertical(name="solar", dedup=(PERSON,), filters=(STRICT,)), Vertical(name="boats", dedup=(PERSON,))),
    (Vertical(name="solar", dedup=(PERSON, NEIGHBOURS)),),
)
"""What validation and dedup go by: by others than the first, other leads are valid, and more of them duplicates."""


def daily(limit: int | None) -> tuple[Cap, ...]:
    """A cap on leads a day, or none."""
    return () if limit is None else (cap(limit),)


@cache
def release(number: int, without: int | None = None, rules: int = 0) -> Configuration:
    """One of the configurations that histories have: caps, idempotence and whether a lead is sold more than once go
    with the number. A change takes one campaign away, or has other rules about leads; what the buyers agreed to about
    the other campaigns stays, or nobody could say which cap holds."""
    chance = Random(number)
    caps = (None, 1, 1, 2)
    campaigns = [
        campaign("anchor", states=frozenset({"GA"}), priority=1, caps=daily(chance.choice(caps))),
        campaign("bolt", states=frozenset({"GA", "NY"}), priority=1, idempotent=False, caps=daily(chance.choice(caps))),
        campaign("crown", states=frozenset({"GA", "NY"}), priority=2, caps=daily(chance.choice(caps)), buyer="anchor"),
        campaign("delta", states=frozenset({"NY"}), priority=2, idempotent=chance.random() < 0.5),
    ]
    if without is not None:
        del campaigns[without]
    if number % 3:
        return configuration(*campaigns, verticals=RULES[rules])
    shared = [
        one if one.id == "crown" else one.model_copy(update={"exclusivity": Exclusivity.SHARED}) for one in campaigns
    ]
    twice = Route(id="twice", vertical="solar", groups=(Group(name="all"),), max_sales=MOST_SALES)
    return configuration(*shared, verticals=RULES[rules], routes=[twice])


@dataclass
class Buyers:
    """The buyers' side: what came in and what they took, whatever they said. An idempotent campaign's knows a repeated
    post by its key, and may even so say that it failed; an error is else the truth: nothing was taken."""

    chance: Random
    taken: list[tuple[str, UUID]] = field(default_factory=list)
    """Campaign and lead of each sale, by the buyer's books."""
    posts: Counter[tuple[str, UUID]] = field(default_factory=Counter)
    """Posts that a campaign without idempotence did not refuse with an error."""
    answers: Counter[Outcome | None] = field(default_factory=Counter)
    _known: dict[UUID, Answer] = field(default_factory=dict)

    def perform(self, post: Post) -> Answer:
        """Answer a post.

        Raises:
            UnperformedError: the connection broke before the answer.
        """
        known = self._known.get(post.key) if post.campaign.delivery.idempotent else None
        if known is not None:
            return self._said(ERROR if self.chance.random() < 0.2 else known)
        word = self.chance.choices((ACCEPTED, REJECTED, DUPLICATE, ERROR), (12, 2, 1, 3))[0]
        sale = (post.campaign.id, post.lead_id)
        if word is ERROR:
            return self._said(ERROR)
        self._known[post.key] = word
        if word is ACCEPTED:
            self.taken.append(sale)
        if not post.campaign.delivery.idempotent:
            self.posts[sale] += 1
        if self.chance.random() < 0.1:
            self.answers[None] += 1
            raise UnperformedError
        return self._said(UNKNOWN if self.chance.random() < 0.1 else word)

    def _said(self, answer: Answer) -> Answer:
        self.answers[answer.outcome] += 1
        return answer


class History:
    """What a seed stands for. ``stages`` and ``worker`` are replaced to see whether the checks find what is broken."""

    kinds: ClassVar[tuple[tuple[bytes, ...], ...]] = KINDS
    backlog: ClassVar[float] = 0.25
    """The share of histories whose leads have waited for days."""
    changes: ClassVar[float] = 0.4
    """The share of histories whose configuration changes."""

    def __init__(
        self,
        seed: int,
        *,
        stages: Sequence[Stage[Any]] = PIPELINE,
        worker: type[MemoryWorker] = MemoryWorker,
        log: type[MemoryLog] = MemoryLog,
    ) -> None:
        self.seed = seed
        self.chance = chance = Random(seed)
        late = chance.random() < 0.3
        self.clock = Clock(MIDNIGHT - timedelta(milliseconds=chance.randint(500, 4000)) if late else START)
        self.log = log(PARTITIONS, self.clock)
        self.number = chance.randrange(12)
        self.releases: dict[str, Configuration] = {}
        self._apply(release(self.number))
        self.changing = False
        """Whether the configuration changes. A lead that its producer sends again may then come to another end."""
        self.buyers = Buyers(chance)
        self.faults = Faults(chance, chance.choice(RATES), chance.randint(1, 8))
        self.simulation = Simulation(
            stages, self.log, self.clock, self._context, self.buyers.perform, chance, self.faults, worker
        )

    def run(self) -> History:
        """Let it happen."""
        chance, replay = self.chance, self.chance.random()
        self.changing = chance.random() < self.changes
        self.simulation.add("producer", self._send(chance.randint(2, 6)))
        # By rules with fewer hops a replay may overtake its own lead, and is decided in its stead.
        if replay < 0.2 and not self.changing:
            self.simulation.add("replay", self._replay())
        if self.changing:
            self.simulation.add("config", self._change())
        self.simulation.run()
        if replay > 0.6:
            self.clock.pass_by(chance.choice((1, 1, 86_400)))
            self.simulation.add("replay", self._replay())
            self.simulation.run()
        return self

    def fingerprint(self) -> str:
        """A hash of every action, and of every record in every topic."""
        found = hashlib.sha256(repr(self.simulation.trace).encode())
        for topic in self.log.topics():
            found.update(repr(self.log.records(topic)).encode())
        return found.hexdigest()

    def _context(self) -> Context:
        if self.context.now is not self.clock.now:
            self.context = self._context_now()
        return self.context

    def _context_now(self) -> Context:
        return Context(self.clock.now, self.release, SECRET, "simulation", self.releases.__getitem__)

    def _apply(self, configuration: Configuration) -> None:
        self.release = self.releases[configuration.release] = configuration
        self.context = self._context_now()

    def _send(self, count: int) -> Iterator[None]:
        chance = self.chance
        sent: list[bytes] = []
        kinds = [kind for kind in self.kinds if not (self.changing and kind is NAMED)]
        backlog = chance.random() < self.backlog
        for _ in range(count):
            repeat = bool(sent) and chance.random() < 0.3
            value = chance.choice(sent) if repeat else chance.choice(chance.choice(kinds))
            sent.append(value)
            days = chance.choice((0, 0, 1.5, 3)) if backlog else 0
            at_ms = round((self.clock.now - timedelta(days=days)).timestamp() * 1000)
            self.log.append(topics.LEADS.name, None, value, (), chance.randrange(PARTITIONS), at_ms)
            if chance.random() < 0.5:
                yield

    def _replay(self) -> Iterator[None]:
        for _ in range(self.chance.choice((0, 0, 40, 120))):
            yield
        live = [r for r in self.log.records(topics.LEADS.name) if not headers.run_of(r.headers)]
        for record in live:
            self.log.append(record.topic, record.key, record.value, again(record, 1), record.partition)
            if self.chance.random() < 0.3:
                yield

    def _change(self) -> Iterator[None]:
        chance = self.chance
        for _ in range(chance.randint(1, 3)):
            for _ in range(chance.choice((5, 30, 100))):
                yield
            self._apply(release(self.number, chance.choice((None, 0, 1, 2, 3)), chance.randrange(len(RULES))))

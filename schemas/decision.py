"""A decision of routing as events carry it: the slip, and the trace with the facts that it can be made again from."""

from __future__ import annotations

from uuid import UUID

from schemas.values import Frozen, Money, Timestamp


class Candidate(Frozen):
    """A leg of the routing slip: a campaign that qualifies, and the price of this leg. ``company`` is the buyer's
    parent, or the buyer; ``tier`` the index of the leg's tier. A hybrid campaign has a leg of each kind."""

    campaign: str
    buyer: str
    company: str
    price: Money
    exclusive: bool
    tier: int


class Tier(Frozen):
    """A group of the route on the slip: at most ``max_sales`` in it; ``stop`` after a sale in it; ``unsold`` tiers are
    asked only where nothing is sold."""

    name: str
    max_sales: int | None
    stop: bool
    unsold: bool


class Slip(Frozen):
    """The routing slip: the legs in the order in which they are asked, and the rules of passing it on
    (:mod:`streams.delivery.slip`). Nobody is asked after the ``deadline``. ``paid``: a sale by an earlier decision of
    the run has borne what the source is paid once a lead."""

    route: str
    candidates: list[Candidate]
    tiers: list[Tier]
    max_sales: int
    deadline: Timestamp | None
    paid: bool = False


class Failed(Frozen):
    """A first failing predicate and the campaigns that it is the first of: one bit a campaign, the first of the
    vertical's campaigns in the release's order (priority, then id) in the highest bit of the first byte."""

    reason: str
    vertical: str
    campaigns: bytes


class Standing(Frozen):
    """What a group's method remembered at the decision, one value for each campaign that qualified, in the release's
    order: last turns, virtual times, counts or rates (:mod:`streams.routing.methods`). ``total`` is the group's own."""

    group: str
    total: float
    values: list[float]


class PriorSale(Frozen):
    """A sale of one of the person's leads, and when that was received; ``returned``: the buyer gave it back;
    ``unknown``: nobody knows whether it is one."""

    lead_id: UUID
    campaign: str
    buyer: str
    company: str
    tier: str
    received_at: Timestamp
    exclusive: bool
    returned: bool
    unknown: bool


class Refusal(Frozen):
    """A leg that an earlier decision of the run asked, and whose buyer would not have the lead, by its own word."""

    campaign: str
    buyer: str
    company: str
    exclusive: bool
    reason: str


class Share(Frozen):
    """Of a campaign with a share limit: the leads it qualified for within its days, this one among them, and how many
    others it was given."""

    campaign: str
    qualified: int
    given: int


class Bid(Frozen):
    """What a campaign offered for this very lead in place of its prices; None where it does not want that leg."""

    campaign: str
    exclusive: Money | None
    shared: Money | None


class Facts(Frozen):
    """What a decision can be made again from, with the lead, the release and the event's ``occurred_at``. ``full`` are
    campaigns known to be at a cap, each with the reason; ``resumed_at`` is the tier where a returned lead starts."""

    standings: list[Standing]
    sales: list[PriorSale]
    refusals: list[Refusal]
    shares: list[Share]
    full: dict[str, str]
    bids: list[Bid]
    resumed_at: str | None


class Trace(Frozen):
    """Why each campaign that is not on the slip is not, and what that was decided from."""

    failed: list[Failed]
    facts: Facts

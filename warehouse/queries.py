"""What the command shows from the warehouse. Counts are of distinct leads over final rows."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from clickhouse_connect.driver.client import Client

from warehouse.metrics import with_metrics

FUNNEL: Final = """
SELECT
    sum(received), sum(rejected), sum(duplicate), sum(unrouted), sum(delivered), sum(undelivered), sum(dead),
    sum(validated), sum(unique_leads), sum(routed)
FROM {database}.funnel
"""

REVENUE: Final = """
SELECT
    buyer, uniqExact(lead_id) AS leads, {metric:revenue} AS revenue, quantileExact(0.5)(latency_ms) AS median_latency_ms
FROM {database}.sales
GROUP BY buyer ORDER BY revenue DESC, buyer
"""

JOURNEY: Final = """
SELECT occurred_at, stage, outcome, reason, buyer, campaign, price, latency_ms, run, attempt, attributes
FROM {database}.lead_events FINAL
WHERE lead_id = {lead_id:UUID}
ORDER BY run, multiIf(
    stage = 'received', 0, stage = 'validation', 1, stage = 'dedup', 2, stage = 'routing', 3,
    stage = 'offer', 4 + 2 * attempt, stage = 'attempt', 5 + 2 * attempt, 1000000), occurred_at
"""

DECISIONS: Final = """
SELECT stage, run, attempt, _topic AS topic, _partition AS partition, _offset AS offset
FROM {database}.lead_events
WHERE lead_id = {lead_id:UUID}
    AND (stage, outcome) IN (('dedup', 'unique'), ('routing', 'routed'), ('routing', 'unrouted'))
ORDER BY run DESC, attempt DESC, _offset DESC
LIMIT 1 BY stage, run, attempt
"""

SOLD_LEAD: Final = """
SELECT lead_id FROM {database}.lead_events FINAL
WHERE stage = 'delivery' AND outcome = 'delivered'
ORDER BY occurred_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Funnel:
    """Distinct leads by where they ended, and by what they passed on the way."""

    raw: int
    rejected: int
    duplicate: int
    unrouted: int
    delivered: int
    undelivered: int
    dead: int
    validated: int
    unique: int
    routed: int

    @property
    def unsold(self) -> int:
        """Leads that nobody bought. Whether routing knows that a campaign is at its cap before it offers a lead there,
        or delivery finds it so, is a matter of moments, so only the sum of the two is certain."""
        return self.unrouted + self.undelivered

    @property
    def ended(self) -> int:
        """Leads with a final outcome; equal to ``raw`` when nothing is on its way."""
        return self.rejected + self.duplicate + self.unrouted + self.delivered + self.undelivered + self.dead


@dataclass(frozen=True, slots=True)
class BuyerRevenue:
    """What a buyer bought; ``median_latency_ms`` is from the raw lead's arrival to its sale."""

    buyer: str
    leads: int
    revenue: Decimal
    median_latency_ms: float


def funnel(client: Client, database: str) -> Funnel:
    """The funnel of all leads."""
    (row,) = client.query(FUNNEL.replace("{database}", database)).result_rows
    return Funnel(*(int(n) for n in row))


def revenue_by_buyer(client: Client, database: str) -> list[BuyerRevenue]:
    """Buyers, most revenue first."""
    rows = client.query(with_metrics("revenue by buyer", REVENUE).replace("{database}", database)).result_rows
    return [BuyerRevenue(str(b), int(n), Decimal(r), float(m)) for b, n, r, m in rows]


def journey(client: Client, database: str, lead_id: UUID) -> list[dict[str, Any]]:
    """A lead's events in order; empty when the warehouse does not know the lead."""
    result = client.query(JOURNEY.replace("{database}", database), parameters={"lead_id": str(lead_id)})
    return list(result.named_results())


def decisions(client: Client, database: str, lead_id: UUID) -> list[dict[str, Any]]:
    """Where in the log a lead is, as dedup passed it on, and each decision about it; the latest run and decision first.
    Of a run that a later one replaced in the warehouse nothing may be left."""
    result = client.query(DECISIONS.replace("{database}", database), parameters={"lead_id": str(lead_id)})
    return list(result.named_results())


def a_sold_lead(client: Client, database: str) -> UUID | None:
    """The lead that was sold last."""
    rows = client.query(SOLD_LEAD.replace("{database}", database)).result_rows
    return UUID(str(rows[0][0])) if rows else None

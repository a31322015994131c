"""What the ``capacity`` topic is told: the use of a campaign's caps, and whether they let anything through.

A campaign that is told to be full is offered nothing, so nothing would ever say that it no longer is: those are looked
at again as time passes and releases change.

A partition speaks of a campaign as long as the release says that the campaign's company is the one it has offers of.
Where a company changes, the partition that has told it to be full takes that back, once, and the new company's may say
otherwise. The two write one key and do not wait for each other, so the old word, or its taking back, can come last.
That costs only offers that are skipped, or are not made: the ledger decides about caps, never the topic. Nor does it
last. The old word stands until its partition has the release and ticks; and where the new one was covered up, the next
offer to the full campaign has it told again, at most once in :data:`AGAIN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas import topics
from schemas.messages import Capacity
from schemas.values import Frozen, Timestamp, in_milliseconds
from streams.delivery.caps import CampaignLimits, Fullness
from streams.stage import Context, Output
from streams.tables import Tables, TableSpec

AGAIN: Final = timedelta(minutes=1)
"""A campaign that is offered leads though it was told to be full for so long is told of again."""


class ToldFull(Frozen):
    """A campaign of which the topic says that it is full, as this partition has told it: for which company, and when.

    What was told before companies were noted is nobody's, so it is taken back.
    """

    campaign: str
    buyer: str
    company: str = ""
    fullness: Fullness
    at: Timestamp = datetime.min.replace(tzinfo=UTC)


TOLD: Final = TableSpec("told", ToldFull)
"""By campaign."""
Touched = tuple[str, str]
"""A campaign, and the company under which this partition has, or had, offers to it."""


def tell(
    tables: Tables,
    limits: Mapping[str, CampaignLimits],
    touched: Iterable[Touched],
    context: Context,
    *,
    known_for: timedelta | None,
) -> list[Output]:
    """Tell of each campaign once: always, or not where it is known, a full one by what was told less than ``known_for``
    ago. Campaigns without a cap, and those of another company, are not told of, except to take back what was."""
    outputs, all_told = [], tables[TOLD]
    for campaign, company in dict.fromkeys(touched):
        told, own = all_told.get(campaign), limits.get(campaign)
        if own is not None and own.company != company:
            own = None
        if own is None and (told is None or told.company != company):
            continue
        fullness = own.fullness(tables, context.now) if own else None
        if known_for is not None and _is_known(told, company, fullness, context.now, known_for):
            continue
        buyer = own.buyer if own else told.buyer if told else ""
        at = in_milliseconds(context.now)
        value = Capacity.trusted(
            {
                "campaign": campaign,
                "buyer": buyer,
                "uses": list(own.uses(tables, context.now)) if own else [],
                "full": fullness.reason if fullness else None,
                "until": fullness.until if fullness else None,
                "occurred_at": at,
            }
        )
        if fullness is not None:
            all_told[campaign] = ToldFull(campaign=campaign, buyer=buyer, company=company, fullness=fullness, at=at)
        elif told is not None:
            del all_told[campaign]
        outputs.append(Output(topics.CAPACITY.name, campaign.encode(), value))
    return outputs


def told_full(tables: Tables) -> list[Touched]:
    """The campaigns that the topic says are full by this partition's word."""
    return [(told.campaign, told.company) for told in tables[TOLD].values()]


def _is_known(
    told: ToldFull | None, company: str, fullness: Fullness | None, now: datetime, known_for: timedelta
) -> bool:
    if told is None:
        return fullness is None
    return (told.company, told.fullness) == (company, fullness) and now - told.at < known_for

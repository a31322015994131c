"""What the ``capacity`` topic is told: the use of a campaign's caps, and whether they let anything through.

A campaign that is told to be full is offered nothing, so nothing would ever say that it no longer is: those are looked
at again as time passes and releases change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from schemas import topics
from schemas.messages import Capacity
from schemas.values import Frozen, in_milliseconds
from streams.delivery.caps import CampaignLimits, Fullness
from streams.stage import Context, Output
from streams.tables import Tables, TableSpec


class ToldFull(Frozen):
    """A campaign of which the topic says that it is full."""

    campaign: str
    buyer: str
    fullness: Fullness


TOLD: Final = TableSpec("told", ToldFull)
"""By campaign."""


def tell(
    tables: Tables, limits: Mapping[str, CampaignLimits], campaigns: Iterable[str], context: Context, *, always: bool
) -> list[Output]:
    """Tell of each campaign once: ``always``, or only where it is full and was not, or the other way round. Campaigns
    without a cap are not told of."""
    outputs, all_told = [], tables[TOLD]
    for campaign in dict.fromkeys(campaigns):
        told = all_told.get(campaign)
        own = limits.get(campaign)
        if own is None and told is None:
            continue
        fullness = own.fullness(tables, context.now) if own else None
        if not always and fullness == (told.fullness if told else None):
            continue
        buyer = own.buyer if own else told.buyer if told else ""
        value = Capacity.trusted(
            {
                "campaign": campaign,
                "buyer": buyer,
                "uses": list(own.uses(tables, context.now)) if own else [],
                "full": fullness.reason if fullness else None,
                "until": fullness.until if fullness else None,
                "occurred_at": in_milliseconds(context.now),
            }
        )
        if fullness is not None:
            all_told[campaign] = ToldFull(campaign=campaign, buyer=buyer, fullness=fullness)
        elif told is not None:
            del all_told[campaign]
        outputs.append(Output(topics.CAPACITY.name, campaign.encode(), value))
    return outputs


def review(tables: Tables, limits: Mapping[str, CampaignLimits], context: Context) -> list[Output]:
    """Tell of the campaigns that are full no longer, or for another reason."""
    return tell(tables, limits, [told.campaign for told in tables[TOLD].values()], context, always=False)

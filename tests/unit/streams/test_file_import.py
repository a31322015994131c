"""A file of leads, from its rows to the campaigns that are offered them."""

from __future__ import annotations

import io
from typing import Any

from kit.builders import NOW, SECRET, campaign, configuration

from connectors.inbound.lead_file import BadRow, LeadRow, read_leads
from schemas import topics
from schemas.codec import decode
from schemas.config.source import Source
from schemas.config.vertical import Vertical
from schemas.events import LeadRejected, LeadRouted, LeadUnrouted
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.stage import Context
from streams.topology import STAGES

CSV = b"""\xef\xbb\xbfsource,vertical,first_name,last_name,phone,zip,homeowner,lead_id
quoteharbor,solar,Ada,"McDonald, Jr.",(404) 555-0123,30303,yes,
QUOTEHARBOR,solar,Bob,Low,404.555.0124,30303,no,
quoteharbor,solar,Cid,High,404 555 0125,96801,Y,
elsewhere,solar,Dee,Dot,4045550126,30303,yes,
quoteharbor,solar,Eve,,404,30303,maybe,
quoteharbor,solar,too few
"""
SOLAR: dict[str, Any] = {
    "name": "solar",
    "fields": [{"name": "homeowner", "type": "boolean"}],
    "filters": [{"name": "owner", "reject_unless": "homeowner"}],
}


def test_row_6_csv_import_into_routing() -> None:
    release = configuration(
        campaign("sunpath", price="40"),
        verticals=[Vertical.model_validate(SOLAR)],
        sources=[Source(id="quoteharbor")],
    )
    log, context = MemoryLog(partitions=2, clock=lambda: NOW), Context(NOW, release, SECRET, "test")
    rows = list(read_leads(io.BytesIO(CSV), name="leads.csv", form="csv"))
    for row in rows:
        if isinstance(row, LeadRow):
            log.append(topics.LEADS.name, row.lead_id.encode(), row.value)
    assert [row.line for row in rows if isinstance(row, BadRow)] == [7]
    MemoryRunner([STAGES[n] for n in ("validation", "dedup", "routing")], log, lambda: context, lambda _: None).run()

    def events(spec: topics.TopicSpec) -> list[Any]:
        return [decode(spec.name, record.value) for record in log.records(spec.name)]

    ids = {row.line: row.lead_id for row in rows if isinstance(row, LeadRow)}
    (routed,) = events(topics.ROUTED)
    assert isinstance(routed, LeadRouted)
    assert (str(routed.lead_id), routed.source) == (ids[2], "quoteharbor")
    assert [leg.campaign for leg in routed.slip.candidates] == ["sunpath"]
    (unrouted,) = events(topics.UNROUTED)
    assert isinstance(unrouted, LeadUnrouted)
    assert str(unrouted.lead_id) == ids[4]  # in Hawaii, where nobody buys
    rejected: list[LeadRejected] = events(topics.REJECTED)
    assert {str(event.lead_id): [r.reason for r in event.reasons] for event in rejected} == {
        ids[3]: ["criterion.not_met"],
        ids[5]: ["source.unknown"],
        ids[6]: ["last_name.missing", "phone.invalid", "field.invalid"],
    }

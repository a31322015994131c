"""A trace goes with its lead through the whole pipeline, and only one that is a trace."""

from __future__ import annotations

import json

import pytest
from kit.builders import NOW, SECRET, campaign, configuration, raw_fields

from connectors.outbound.contract import Answer
from schemas import headers, topics
from schemas.events import Outcome
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.stage import Context
from streams.topology import PIPELINE

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NO_TRACES = [
    b"00-ada@example.com",
    b"",
    TRACE.upper(),
    TRACE + b"-x",
    b"ff" + TRACE[2:],
    b"00-" + b"0" * 32 + TRACE[35:],
]


def run(trace: bytes, value: bytes) -> MemoryLog:
    log = MemoryLog(partitions=2, clock=lambda: NOW)
    context = Context(NOW, configuration(campaign("one")), SECRET, "test")
    log.append(topics.LEADS.name, None, value, ((headers.TRACEPARENT, trace),))
    MemoryRunner(PIPELINE, log, lambda: context, lambda _: Answer(Outcome.ACCEPTED)).run()
    return log


def carried(log: MemoryLog) -> dict[str, set[str | None]]:
    written = (name for name in log.topics() if name != topics.LEADS.name)
    return {name: {headers.read(r.headers, headers.TRACEPARENT) for r in log.records(name)} for name in written}


def test_every_event_of_a_lead_is_in_its_trace() -> None:
    found = carried(run(TRACE, json.dumps(raw_fields()).encode()))
    assert topics.DELIVERED.name in found
    assert all(traces == {TRACE.decode()} for name, traces in found.items() if traces)


def test_a_dead_letter_is_in_its_trace() -> None:
    assert carried(run(TRACE, b"{"))[topics.DEAD_LETTERS.name] == {TRACE.decode()}


@pytest.mark.parametrize("trace", NO_TRACES)
@pytest.mark.parametrize("value", [json.dumps(raw_fields()).encode(), b"{"], ids=["good", "dead"])
def test_what_is_no_trace_goes_no_further(trace: bytes, value: bytes) -> None:
    assert all(traces <= {None} for traces in carried(run(trace, value)).values())

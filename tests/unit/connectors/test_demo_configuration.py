"""config.yaml, sandbox.yaml and the generator's territory describe one market."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from connectors.sandbox.behaviour import SandboxConfig, load
from connectors.sandbox.territory import CAPPED, DAILY_CAP, DECLINED, OUT_OF_AREA, SERVED
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration

LOCAL = Path(__file__).parents[3] / "deploy" / "local"


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    text = (LOCAL / "config.yaml").read_text().replace("${LEADLINE_SANDBOX_URL}", "http://127.0.0.1:8090")
    return Configuration.model_validate(yaml.safe_load(text))


@pytest.fixture(scope="module")
def sandbox() -> SandboxConfig:
    return load(LOCAL / "sandbox.yaml")


def serving(configuration: Configuration, vertical: str, state: str) -> list[Campaign]:
    return [c for c in configuration.campaigns_of[vertical] if state in c.states]


def test_every_campaign_posts_to_its_own_buyer(configuration: Configuration, sandbox: SandboxConfig) -> None:
    assert {buyer.id for buyer in configuration.buyers} == set(sandbox.buyers)
    for campaign in configuration.campaigns:
        assert campaign.delivery.url.endswith(f"/buyers/{campaign.buyer}/leads")


def test_every_served_lead_is_sold_in_the_end(configuration: Configuration, sandbox: SandboxConfig) -> None:
    for vertical, states in SERVED.items():
        for state in states:
            *before, last = serving(configuration, vertical, state)
            assert len(before) >= 2
            assert all(c.priority < last.priority and 0.6 <= sandbox.buyers[c.buyer].acceptance <= 0.95 for c in before)
            assert len({c.price for c in (*before, last)}) == len(before) + 1
            assert (last.caps, sandbox.buyers[last.buyer].acceptance) == ((), 1.0)
            assert not sandbox.buyers[last.buyer].failures


def test_nothing_else_is_served(configuration: Configuration) -> None:
    places = {(c.vertical, state) for c in configuration.campaigns for state in c.states}
    assert places == {(v, s) for v, states in SERVED.items() for s in states} | {CAPPED, DECLINED}
    assert not {state for _, state in places} & set(OUT_OF_AREA)
    assert len(OUT_OF_AREA) >= 6


def test_the_two_exceptions(configuration: Configuration, sandbox: SandboxConfig) -> None:
    (alaska,) = serving(configuration, *CAPPED)
    assert (alaska.id, sandbox.buyers[alaska.buyer].acceptance) == ("aurora-alaska", 1.0)
    assert [(cap.name, cap.limit) for cap in alaska.caps] == [("day:accepted", DAILY_CAP)]
    (hawaii,) = serving(configuration, *DECLINED)
    assert (hawaii.caps, sandbox.buyers[hawaii.buyer].acceptance) == ((), 0.0)
    assert not sandbox.buyers[hawaii.buyer].duplicates
    caps = [cap.limit for c in configuration.campaigns for cap in c.caps if c is not alaska]
    assert caps
    assert min(caps) > 1000


def test_failures_pass_on_the_second_sight(sandbox: SandboxConfig) -> None:
    flaky = {name: {f.mode.value for f in buyer.failures} for name, buyer in sandbox.buyers.items() if buyer.failures}
    assert sorted(map(sorted, flaky.values())) == [["cut", "error_503"], ["lying_500"]]
    for name in flaky:
        assert sandbox.buyers[name].honours_idempotency_key
        assert 0.05 <= sum(f.rate for f in sandbox.buyers[name].failures) <= 0.10
        assert all(f.first_sights == 1 for f in sandbox.buyers[name].failures)


def test_a_buyer_buys_in_two_verticals(configuration: Configuration) -> None:
    verticals = {b.id: {c.vertical for c in configuration.campaigns if c.buyer == b.id} for b in configuration.buyers}
    assert any(len(v) == 2 for v in verticals.values())

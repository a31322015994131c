"""The methods of distribution: their order, and the bounds that they state."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import campaign

from schemas.config.campaign import Campaign
from schemas.config.route import Method
from schemas.decision import Standing
from streams.routing.market import prices_of
from streams.routing.methods import Kind, Ordered, ordered
from streams.routing.prices import PLACES


class Group:
    """A group of campaigns with the memory of its method."""

    def __init__(self, method: Method, campaigns: Iterable[Campaign]) -> None:
        self.method = method
        self.campaigns = sorted(campaigns, key=lambda own: (own.priority, own.id))
        self.totals: defaultdict[Kind, float] = defaultdict(float)
        self.values: dict[tuple[Kind, str], float] = {}
        self.reads: list[Kind] = []

    def decide(self, qualified: Sequence[Campaign] | None = None) -> Ordered:
        """The order for one lead, which is remembered."""
        own = self.campaigns if qualified is None else qualified

        def read(kind: Kind) -> Standing:
            self.reads.append(kind)
            values = [self.values.get((kind, one.id), 0.0) for one in own]
            return Standing(group="g", total=self.totals[kind], values=values)

        weights = sum(one.weight for one in self.campaigns)
        prices = [int(prices_of(one).best.scaleb(PLACES)) for one in own]
        found = ordered(self.method, own, prices, weights, read)
        assert sorted(found.order) == list(range(len(own)))
        if found.kind is not None and found.total is not None:
            self.totals[found.kind] = found.total
            self.values |= {(found.kind, own[place].id): value for place, value in found.changes.items()}
        return found

    def order(self, qualified: Sequence[Campaign] | None = None) -> list[str]:
        """The ids in the order for one lead."""
        own = self.campaigns if qualified is None else qualified
        return [own[place].id for place in self.decide(qualified).order]


def firsts(group: Group, leads: int) -> str:
    return "".join(group.order()[0] for _ in range(leads))


def group(method: Method, **campaigns: dict[str, object]) -> Group:
    return Group(method, [campaign(name, **changes) for name, changes in campaigns.items()])


def weighted(weights: Sequence[int], method: Method = Method.WEIGHTED) -> Group:
    return Group(method, [campaign(f"c{n:03}", weight=weight) for n, weight in enumerate(weights)])


# By rank


def test_row_14_waterfall_priority() -> None:
    waterfall = group(Method.PRIORITY, a={"priority": 3}, b={"priority": 1}, c={"priority": 2})
    assert [waterfall.order() for _ in range(3)] == [["b", "c", "a"]] * 3
    assert waterfall.reads == []  # nothing is remembered where there are no equals


def test_row_17_price_auction_highest_bid_first() -> None:
    auction = group(
        Method.HIGHEST_PRICE,
        a={"price": "10"},
        b={"price": "12.50"},
        c={"price": "5", "exclusive_price": "30", "exclusivity": "hybrid"},
    )
    assert auction.order() == ["c", "b", "a"]
    assert auction.reads == []


def test_send_to_all_asks_the_highest_price_first() -> None:
    assert group(Method.SEND_TO_ALL, a={"price": "10"}, b={"price": "12"}, c={"price": "11"}).order() == ["b", "c", "a"]


def test_row_25_earnings_per_lead() -> None:
    """20 that one lead in ten gets is less than 5 that every second one gets."""
    own = group(Method.HIGHEST_EARNINGS, a={"price": "20"}, b={"price": "5"}, c={"price": "2"})
    own.values = {(Kind.RATES, "a"): 0.1, (Kind.RATES, "b"): 0.5, (Kind.RATES, "c"): 0.9}
    assert own.order() == ["b", "a", "c"]
    own.values[Kind.RATES, "a"] = 0.2
    assert own.order() == ["a", "b", "c"]
    assert own.reads == [Kind.RATES, Kind.RATES]


def test_equal_earnings_take_turns() -> None:
    own = group(Method.HIGHEST_EARNINGS, a={"price": "20"}, b={"price": "10"}, c={"price": "2"})
    own.values = {(Kind.RATES, "a"): 0.25, (Kind.RATES, "b"): 0.5, (Kind.RATES, "c"): 1.0}
    assert [own.order() for _ in range(3)] == [["a", "b", "c"], ["b", "a", "c"], ["a", "b", "c"]]


@pytest.mark.parametrize("method", [Method.PRIORITY, Method.HIGHEST_PRICE, Method.SEND_TO_ALL])
def test_each_set_of_equals_takes_turns(method: Method) -> None:
    first, second, last = ({"priority": n, "price": str(10 - n)} for n in (1, 2, 3))
    own = group(method, a=first, b=first, c=second, d=last, e=last, f=last)
    orders = ["".join(own.order()) for _ in range(4)]
    assert orders == ["abcdef", "bacefd", "abcfde", "bacdef"]
    found = own.decide()
    assert (found.kind, found.total, found.changes) == (Kind.TURNS, 10, {0: 9, 4: 10})


# In turn


def test_row_15_round_robin() -> None:
    assert firsts(group(Method.ROUND_ROBIN, a={"priority": 200}, b={}, c={}), 7) == "bcabcab"


@given(
    st.integers(2, 6).flatmap(lambda n: st.lists(st.integers(0, 9), min_size=n, max_size=n)),
    st.sampled_from([Method.ROUND_ROBIN, Method.PRIORITY, Method.HIGHEST_PRICE]),
)
def test_round_robin_differs_by_at_most_one_over_any_window(last_turns: list[int], method: Method) -> None:
    own = weighted([1] * len(last_turns), method)
    own.totals[Kind.TURNS] = 9
    own.values = {(Kind.TURNS, one.id): turn for one, turn in zip(own.campaigns, last_turns, strict=True)}
    history = [own.order()[0] for _ in range(30)]
    names = [one.id for one in own.campaigns]
    for begin in range(len(history)):
        counts = Counter(dict.fromkeys(names, 0))
        for name in history[begin:]:
            counts[name] += 1
            assert max(counts.values()) - min(counts.values()) <= 1


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=80))
def test_in_turn_whoever_waits_is_passed_by_each_other_once_at_most(sets: list[set[int]]) -> None:
    own = weighted([1] * 6, Method.ROUND_ROBIN)
    passed = {one.id: Counter[str]() for one in own.campaigns}
    for members in sets:
        qualified = [own.campaigns[place] for place in sorted(members)]
        first, *others = own.order(qualified)
        passed[first].clear()
        for name in others:
            passed[name][first] += 1
            # The first passes by others of a lower id while none of them had a turn yet, and once more after it.
            assert passed[name][first] <= 2


# By weight


def test_row_16_weighted_or_percentage() -> None:
    weights: dict[str, dict[str, object]] = {"a": {"weight": 2}, "b": {"weight": 1}, "c": {"weight": 1}}
    assert firsts(group(Method.WEIGHTED, **weights), 8) == "abacabac"
    assert Counter(firsts(group(Method.PERCENTAGE, **weights), 400)) == {"a": 200, "b": 100, "c": 100}


def test_percentage_by_the_deficit_of_the_day() -> None:
    own = group(Method.PERCENTAGE, a={"weight": 50}, b={"weight": 30}, c={"weight": 20})
    own.totals[Kind.DAY_COUNTS] = 10
    own.values = {(Kind.DAY_COUNTS, "a"): 5, (Kind.DAY_COUNTS, "b"): 4, (Kind.DAY_COUNTS, "c"): 1}
    found = own.decide()
    assert ([own.campaigns[place].id for place in found.order], found.total) == (["c", "a", "b"], 11)
    assert found.changes == {2: 2}


def test_percentage_is_of_all_the_weights_of_the_group() -> None:
    """Who is away is behind its share, and is asked first when it is back; shares are not made up among the others."""
    own = group(Method.PERCENTAGE, a={"weight": 50}, b={"weight": 50})
    a, b = own.campaigns
    for _ in range(4):
        assert own.order([a]) == ["a"]
    assert [own.order([a, b])[0] for _ in range(5)] == ["b", "b", "b", "b", "a"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30), st.integers(300, 3000))
def test_weighted_shares_are_within_one_of_exact_at_any_prefix(weights: list[int], leads: int) -> None:
    own, whole = weighted(weights), sum(weights)
    counts = [0] * len(weights)
    for lead in range(1, leads + 1):
        counts[own.decide().order[0]] += 1
        worst = max(abs(count * whole - weight * lead) for count, weight in zip(counts, weights, strict=True))
        assert worst < whole


@pytest.mark.parametrize(
    "weights",
    [[1], [1, 1000], [1000] + [1] * 29, [999, 1000], [7, 5, 3, 2, 1], [1] * 30, [1_000_000, 999_999, 1], [3, 3, 1]],
)
def test_weighted_shares_of_uneven_weights(weights: list[int]) -> None:
    own, whole = weighted(weights), sum(weights)
    counts = [0] * len(weights)
    for lead in range(1, 3001):
        counts[own.decide().order[0]] += 1
        assert all(abs(count - Fraction(w * lead, whole)) < 1 for count, w in zip(counts, weights, strict=True))


def test_weighted_shares_hold_after_a_hundred_million_leads() -> None:
    """Virtual time is a float that grows for ever; what it loses is small."""
    weights = [5, 3, 1]
    own = weighted(weights)
    own.totals[Kind.VIRTUAL_TIMES] = 10**8
    own.values = {(Kind.VIRTUAL_TIMES, one.id): 1e8 for one in own.campaigns}
    counts = [0, 0, 0]
    for lead in range(1, 3001):
        counts[own.decide().order[0]] += 1
        assert all(abs(count - w * lead / 9) < 1 + 1e-3 for count, w in zip(counts, weights, strict=True))


@given(
    st.lists(st.integers(1, 50), min_size=6, max_size=6),
    st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=150),
)
def test_weighted_starves_nobody_whatever_the_others_do(weights: list[int], sets: list[set[int]]) -> None:
    """One that always qualifies waits for two of its windows, of all the weights, and a lead of each other at most."""
    own = weighted(weights)
    longest = 2 * sum(weights) / weights[0] + len(weights) + 1
    waited = 0
    for members in sets * 4:
        qualified = [own.campaigns[place] for place in sorted(members | {0})]
        first = own.order(qualified)[0]
        waited = 0 if first == own.campaigns[0].id else waited + 1
        assert waited <= longest


@given(st.lists(st.integers(1, 20), min_size=3, max_size=5), st.integers(0, 300), st.integers(1, 300))
def test_weighted_gives_no_burst_to_one_that_was_away(weights: list[int], before: int, away: int) -> None:
    own = weighted(weights)
    for _ in range(before):
        own.decide()
    for _ in range(away):
        own.decide(own.campaigns[1:])
    whole, count = sum(weights), 0
    for lead in range(1, 200):
        count += own.decide().order[0] == 0
        assert count <= weights[0] * lead / whole + 2


def test_of_no_weight_is_asked_last() -> None:
    for method in (Method.WEIGHTED, Method.PERCENTAGE):
        own = group(method, a={"weight": 0}, b={"weight": 2}, c={"weight": 0}, d={"weight": 1})
        assert {tuple(own.order()[2:]) for _ in range(9)} == {("a", "c")}
        a, _, c, _ = own.campaigns
        found = own.decide([a, c])
        assert (found.order, found.kind, found.total, found.changes) == ([0, 1], None, None, {})


# Of all


METHODS: dict[Method, set[Kind]] = {
    Method.PRIORITY: {Kind.TURNS},
    Method.ROUND_ROBIN: {Kind.TURNS},
    Method.WEIGHTED: {Kind.VIRTUAL_TIMES},
    Method.PERCENTAGE: {Kind.DAY_COUNTS},
    Method.HIGHEST_PRICE: {Kind.TURNS},
    Method.HIGHEST_EARNINGS: {Kind.TURNS, Kind.RATES},
    Method.SEND_TO_ALL: {Kind.TURNS},
}


@pytest.mark.parametrize("method", Method)
def test_a_method_reads_its_own_memory_once_a_lead_and_changes_one_value(method: Method) -> None:
    own = weighted([3, 2, 1], method)
    for _ in range(5):
        own.reads.clear()
        found = own.decide()
        assert (set(own.reads), len(own.reads)) == (METHODS[method], len(METHODS[method]))
        assert len(found.changes) == 1


@pytest.mark.parametrize("method", Method)
def test_nobody_and_one(method: Method) -> None:
    assert weighted([], method).order() == []
    assert weighted([1], method).order() == ["c000"]


GROUPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.decimals(0, 3, places=0)), min_size=1, max_size=8)


@given(st.sampled_from(Method), GROUPS, st.integers(0, 20))
def test_the_same_state_gives_the_same_order(method: Method, drawn: list[tuple[int, int, Decimal]], leads: int) -> None:
    def history() -> list[list[str]]:
        own = Group(
            method,
            [campaign(f"c{n}", priority=p, weight=w, price=price) for n, (p, w, price) in enumerate(drawn)],
        )
        return [own.order() for _ in range(leads)]

    assert history() == history()

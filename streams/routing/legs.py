"""The legs of a group's campaigns: exclusive leads and shares of one, and who is asked first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Final, Protocol

from schemas.config.route import Legs
from schemas.decision import Candidate

NOTHING: Final = Decimal(0)
_PRICE: Final = attrgetter("price")


class Offerable(Protocol):
    """A campaign's legs, as far as they fetch enough; a hybrid campaign may have both."""

    @property
    def exclusive(self) -> Candidate | None:
        """For itself alone."""
        ...

    @property
    def shared(self) -> Candidate | None:
        """As one of several."""
        ...


def legs(ordered: Sequence[Offerable], mode: Legs, max_sales: int) -> list[Candidate]:
    """The legs of campaigns that come in the order of the group's method, which stays within each kind of leg.

    To compare, exclusive legs that pay at least what the shared ones would bring together (the best ``max_sales`` of
    them, each of another company) go before these, the others behind. With one sale to make there is nothing to add up:
    the legs stay in the method's order, and of a hybrid campaign's two the higher price is first.
    """
    if mode is Legs.COMPARE and max_sales == 1:
        return _each_higher_first(ordered)
    exclusive = [leg for own in ordered if (leg := own.exclusive) is not None]
    shared = [leg for own in ordered if (leg := own.shared) is not None]
    if mode is Legs.SHARED_FIRST:
        return shared + exclusive
    if mode is Legs.EXCLUSIVE_FIRST or not (exclusive and shared):
        return exclusive + shared
    together = shared_total(shared, max_sales)
    before = [leg for leg in exclusive if leg.price >= together]
    behind = [leg for leg in exclusive if leg.price < together] if before else exclusive
    return before + shared + behind


def shared_total(shared: Iterable[Candidate], max_sales: int) -> Decimal:
    """What shared legs bring together if all are sold: the best ``max_sales`` prices, one a company."""
    best: dict[str, Decimal] = {}
    for leg in sorted(shared, key=_PRICE, reverse=True):
        if len(best) == max_sales:
            break
        best.setdefault(leg.company, leg.price)
    return sum(best.values(), NOTHING)


def _each_higher_first(ordered: Iterable[Offerable]) -> list[Candidate]:
    found: list[Candidate] = []
    for own in ordered:  # nearly every lead is sold once, so that this is asked of each campaign that qualifies
        exclusive, shared = own.exclusive, own.shared
        if exclusive is None or shared is None:
            if (only := exclusive or shared) is not None:
                found.append(only)
        else:
            found += (shared, exclusive) if shared.price > exclusive.price else (exclusive, shared)
    return found

"""What another release would have changed: two tallies side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from streams.simulation.answers import Answers
from streams.simulation.tally import End, Figures, Tally

DIMENSIONS: Final = ("vertical", "source", "buyer", "campaign")
FIGURES: Final = ("leads", "offered", "sold", "revenue", "payout", "margin")
MONEY: Final = frozenset({"revenue", "payout", "margin"})
UNNAMED: Final = "(unknown)"
"""Of leads that do not say."""
UNFINISHED: Final = "on its way"
LIMITATIONS: Final = (
    "What was known before the first lead (earlier leads, use of caps and credit, sales, turns) counts for nothing;"
    " --warm-up runs the hours before.",
    "A lead goes its whole way in the moment it came: buyers take no time, and what a cap says is known at once.",
    "One partition stands for all, so turns are taken over all leads, and a source has the whole of its caps.",
    "Suppression lists are those of today, and leads that buyers returned stay sold.",
)


@dataclass(frozen=True)
class Comparison:
    """The ``after`` of a simulation beside a ``before``, None where there is nothing to compare with. ``release`` is
    the hash of the one that was simulated, ``against`` that of the other one or ``recorded``."""

    release: str
    against: str | None
    start: datetime
    end: datetime
    seed: int
    after: Tally
    answers: Answers
    before: Tally | None = None
    before_answers: Answers | None = None
    rows_passed_over: int = 0

    @property
    def conserved(self) -> bool:
        """Whether each simulated lead has exactly one outcome."""
        return all(
            tally.with_one_outcome == len(tally.leads)
            for tally, simulated in ((self.after, True), (self.before, self.before_answers is not None))
            if tally is not None and simulated
        )

    @property
    def decisions_differ(self) -> int | None:
        """Leads that another slip was made for, or another reason given, or that came to no decision on one side."""
        if self.before is None:
            return None
        return sum(
            state.decision != (before.decision if (before := self.before.leads.get(lead_id)) else 0)
            for lead_id, state in self.after.leads.items()
        )

    @property
    def outcomes_differ(self) -> int | None:
        """Leads that end otherwise, or are bought by others."""
        if self.before is None:
            return None
        return sum(
            (before := self.before.leads.get(lead_id)) is None
            or state.end is not before.end
            or {sale.campaign for sale in state.sales} != {sale.campaign for sale in before.sales}
            for lead_id, state in self.after.leads.items()
        )

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Leads by outcome on both sides."""
        found = {end.value: {"after": self.after.outcomes[end]} for end in End}
        if self.before is not None:
            before = self.before.outcomes
            for end in End:
                found[end.value]["before"] = before[end]
            if before.get(None):
                found[UNFINISHED] = {"after": 0, "before": before[None]}
        return found

    def by(self, dimension: str) -> dict[str, tuple[Figures | None, Figures]]:
        """Figures by name, before (None where there is nothing to compare with) and after, sorted by name."""
        after = _by(self.after, dimension)
        before = None if self.before is None else _by(self.before, dimension)
        names = sorted({*after, *(before or {})})
        return {n: (None if before is None else before.get(n, Figures()), after.get(n, Figures())) for n in names}

    def total(self) -> tuple[Figures | None, Figures]:
        """The figures of all leads."""
        return (None if self.before is None else self.before.total()), self.after.total()

    def document(self) -> dict[str, Any]:
        """All of it for scripts. Amounts are text, as exact as they are."""
        return {
            "release": self.release,
            "against": self.against,
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "seed": self.seed,
            "leads": len(self.after.leads),
            "rows_passed_over": self.rows_passed_over,
            "outcomes": self.outcomes(),
            "total": _pair(*self.total()),
            "by": {d: {name or UNNAMED: _pair(*pair) for name, pair in self.by(d).items()} for d in DIMENSIONS},
            "differ": {"decisions": self.decisions_differ, "outcomes": self.outcomes_differ},
            "answers": {
                "after": _coverage(self.answers),
                "before": None if self.before_answers is None else _coverage(self.before_answers),
            },
            "conserved": self.conserved,
            "limitations": list(LIMITATIONS),
        }


def _by(tally: Tally, dimension: str) -> Mapping[str, Figures]:
    if dimension == "vertical":
        return tally.by_vertical()
    if dimension == "source":
        return tally.by_source()
    return tally.by_buyer() if dimension == "buyer" else tally.by_campaign()


def _pair(before: Figures | None, after: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {"after": _figures(after)}
    if before is not None:
        found["before"] = _figures(before)
        found["change"] = {
            name: str(getattr(after, name) - getattr(before, name))
            if name in MONEY
            else getattr(after, name) - getattr(before, name)
            for name in FIGURES
        }
    return found


def _figures(figures: Figures) -> dict[str, Any]:
    return {name: str(getattr(figures, name)) if name in MONEY else getattr(figures, name) for name in FIGURES}


def _coverage(answers: Answers) -> dict[str, Any]:
    return {"recorded": answers.recorded, "model": dict(sorted(answers.modelled.items()))}

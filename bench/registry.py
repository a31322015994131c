"""The benchmarks there are. A module in ``bench/suite`` joins by decorating a function with :func:`benchmark`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.session import Session

Samples = dict[str, list[float]]
"""One value per round by contender, ours first; the n-th values of all of them come from the same round."""

Run = Callable[[Session], Samples]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One figure and its peers. ``at_least`` has the smallest ratio to a peer that is good enough, ``at_most`` the
    largest figure of ours. One that is not ``usual`` takes long, and runs only when it is named."""

    name: str
    unit: str
    summary: str
    run: Run
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: float | None = None
    usual: bool = True


_BENCHMARKS: dict[str, Benchmark] = {}


def benchmark(
    name: str,
    *,
    unit: str,
    summary: str,
    at_least: Mapping[str, float] | None = None,
    at_most: float | None = None,
    usual: bool = True,
) -> Callable[[Run], Run]:
    """Register a function that measures in a session."""

    def register(run: Run) -> Run:
        if name in _BENCHMARKS:
            raise ValueError(f"two benchmarks are named {name}")
        _BENCHMARKS[name] = Benchmark(name, unit, summary, run, dict(at_least or {}), at_most, usual)
        return run

    return register


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark of ``bench/suite`` by name, in the order of the modules."""
    suite = importlib.import_module("bench.suite")
    for module in sorted(pkgutil.iter_modules(suite.__path__), key=lambda found: found.name):
        importlib.import_module(f"{suite.__name__}.{module.name}")
    return dict(_BENCHMARKS)

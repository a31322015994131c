"""What benchmarks found: medians, ratios to peers, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from leadline.stack.files import write_atomically


class Result(BaseModel):
    """Our figure beside one peer's.

    ``value`` and ``peer_value`` are medians over the rounds. ``ratio`` is the median of the rounds' own ratios, ours to
    the peer's: what slows a whole round down slows both. ``runs`` has every round as ``[ours, peer's]``. A benchmark
    without peers has one result whose peer is None.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    unit: str
    value: float
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    runs: tuple[tuple[float, ...], ...] = ()


_RESULTS = TypeAdapter(list[Result])


def compare(name: str, unit: str, samples: Mapping[str, Sequence[float]]) -> list[Result]:
    """One result for each peer of the first contender.

    Raises:
        ValueError: contenders have run different numbers of rounds, or none.
    """
    (ours, *peers), rounds = samples, {len(values) for values in samples.values()}
    if len(rounds) != 1 or 0 in rounds:
        raise ValueError(f"{name}: every contender takes part in every round, but they ran {sorted(rounds)}")
    own = samples[ours]
    if not peers:
        return [Result(name=name, unit=unit, value=median(own), runs=tuple((value,) for value in own))]
    return [
        Result(
            name=name,
            unit=unit,
            value=median(own),
            peer=peer,
            peer_value=median(samples[peer]),
            ratio=median(a / b for a, b in zip(own, samples[peer], strict=True)),
            runs=tuple(zip(own, samples[peer], strict=True)),
        )
        for peer in peers
    ]


def read(path: Path) -> list[Result]:
    """The results in a file; none when it does not exist or is none of ours."""
    try:
        return _RESULTS.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return []


def keep(path: Path, results: Iterable[Result]) -> None:
    """Write results into a file: a benchmark's new ones replace all its old ones, other benchmarks' stay."""
    results = list(results)
    measured = {result.name for result in results}
    kept = [result for result in read(path) if result.name not in measured]
    ordered = sorted(kept + results, key=lambda result: result.name)
    write_atomically(path, _RESULTS.dump_json(ordered, indent=2).decode() + "\n")


def shortfalls(results: Iterable[Result], at_least: Mapping[str, float], at_most: float | None = None) -> list[str]:
    """A sentence for each ratio of one benchmark that is below the smallest one that is good enough, and for a figure
    above the largest one."""
    found = {result.peer: result for result in results}
    first = next(iter(found.values()))
    name, told = first.name, []
    if at_most is not None and first.value > at_most:
        told.append(f"{name} is {first.value:.2f} {first.unit}; it has to be at most {at_most:g}")
    for peer, least in at_least.items():
        ratio = found[peer].ratio if peer in found else None
        if ratio is None:
            told.append(f"{name} was not measured against {peer}")
        elif ratio < least:
            told.append(f"{name} is {ratio:.2f} × {peer}; it has to be at least {least:g} ×")
    return told

"""What the outputs say once all is quiet: of every key 1, 2, … n, in order, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from connectors.kafka.log_reader import read_range
from kit.counting_worker import Counted

_SHOWN = 5


@dataclass
class Verdict:
    """What was found. ``records`` are outputs."""

    records: int = 0
    problems: list[str] = field(default_factory=list)
    performed_again: int = 0
    intents_found: int = 0


def outputs_of(bootstrap: str, topic: str, partitions: int) -> dict[str, list[Counted]]:
    """Every committed output of a key in its order."""
    found: defaultdict[str, list[Counted]] = defaultdict(list)
    for partition in range(partitions):
        for batch in read_range(bootstrap, topic, partition):
            for message in batch:
                found[(message.key() or b"").decode()].append(Counted.load(message.value() or b""))
    return found


def judge(sent: Mapping[str, int], outputs: Mapping[str, list[Counted]]) -> Verdict:
    """Compare the outputs with what was sent."""
    verdict = Verdict(records=sum(map(len, outputs.values())))
    wrong = [key for key in sent.keys() | outputs.keys() if not _is_right(outputs.get(key, []), sent.get(key, 0))]
    lost = duplicated = 0
    for place, key in enumerate(sorted(wrong)):
        seen = Counter(counted.sent for counted in outputs.get(key, []))
        missing = [n for n in range(1, sent.get(key, 0) + 1) if n not in seen]
        twice = [n for n, times in seen.items() if times > 1]
        lost += len(missing)
        duplicated += sum(seen[n] - 1 for n in twice)
        if place < _SHOWN:
            places = [counted for counted in outputs.get(key, []) if counted.sent in twice][:_SHOWN]
            first = next((c for n, c in enumerate(outputs.get(key, []), 1) if c.n != n or c.sent != n), None)
            verdict.problems.append(
                f"{key}: sent {sent.get(key, 0)}, counted {len(outputs.get(key, []))}, lost {missing[:_SHOWN]}, "
                f"duplicated {twice[:_SHOWN]} at {places}; the first that is wrong: {first}"
            )
    if wrong:
        verdict.problems.insert(0, f"{len(wrong)} keys are wrong: {lost} lost, {duplicated} duplicated")
    return verdict


def judge_effects(verdict: Verdict, outputs: Mapping[str, list[Counted]], effects: Path) -> None:
    """Compare the outputs with what was performed: each record at least once, and under one idempotency key."""
    performed: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with effects.open() as lines:
        for line in lines:
            place, decided = line.split()
            performed[place][decided] += 1
    wrong = []
    for counted in (counted for key in outputs.values() for counted in key):
        keys = performed.pop(f"{counted.place[0]}-{counted.place[1]}", Counter())
        if set(keys) != {counted.decided}:
            wrong.append(f"{counted}: performed under {dict(keys)}")
        verdict.performed_again += keys.total() - 1
        verdict.intents_found += counted.decided.partition("@")[2] != counted.settled_by
    wrong += [f"{place}: performed under {dict(keys)}, and has no output" for place, keys in performed.items()]
    if wrong:
        verdict.problems += [f"{len(wrong)} effects are wrong", *wrong[:_SHOWN]]


def _is_right(outputs: list[Counted], sent: int) -> bool:
    return len(outputs) == sent and all(c.n == n and c.sent == n for n, c in enumerate(outputs, 1))

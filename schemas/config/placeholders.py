"""A release as it is written, with ``${NAME}`` where each process fills in a variable of its own environment.

What decides about leads is content: a placeholder there is filled in when the file is loaded. How a campaign's leads
are delivered differs from place to place and is partly secret, addresses and credentials above all: there a placeholder
in text stays as it is, on the ``config`` topic and in the release's hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Final

from pydantic import ValidationError

from schemas.config.release import IDENTITY, Configuration, EntityVersion, canonical, content_hash

VARIABLE: Final = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
UNFILLED: Final = frozenset({("campaigns", "delivery")})
"""Kinds of entities, and the parts of them whose text stays as it is written."""

Location = tuple[str | int, ...]
"""Where a value is in a configuration: ("campaigns", 3, "delivery", "url")."""


class UnusableReleaseError(ValueError):
    """A release cannot be used in this process; the message says why, and has no value of a variable."""


@dataclass(frozen=True)
class WrittenRelease:
    """A release by its hash, and its entities as JSON has them, by kind and id."""

    release: str
    entities: Mapping[tuple[str, str], EntityVersion]

    @classmethod
    def of(
        cls, configuration: Configuration, texts: Mapping[Location, tuple[str, str]] | None = None
    ) -> WrittenRelease:
        """A configuration as it was written. ``texts`` are the values that had placeholders in them, by their place:
        what was written, and what that was filled in to."""
        document = canonical(configuration)
        for (kind, index, part, *rest), (text, filled) in _deferrable(texts or {}):
            _put_back(document[kind][index], [part, *rest], text, filled)
        # In which order entities are written is no content.
        whole = {kind: sorted(document[kind], key=itemgetter(IDENTITY[kind])) for kind in document}
        entities = (EntityVersion(kind, e[IDENTITY[kind]], e) for kind in document for e in document[kind])
        return cls(content_hash(whole), {(version.kind, version.id): version for version in entities})

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that a process needs to use the release."""
        entities = self.entities.values()
        return frozenset(
            name
            for v in entities
            for part in v.content
            if (v.kind, part) in UNFILLED
            for name in _names(v.content[part])
        )

    def filled(self, environment: Mapping[str, str]) -> Configuration:
        """The configuration for a process with this environment. Its ``release`` is that of what is written.

        Raises:
            UnusableReleaseError: a variable is not set, or this version of Leadline cannot read the release.
        """
        if missing := sorted(self.variables - environment.keys()):
            raise UnusableReleaseError(
                f"release {self.release} needs {', '.join(missing)}: set {'it' if len(missing) == 1 else 'them'} in the"
                " environment of this process and start it again"
            )
        document: dict[str, list[Any]] = {kind: [] for kind, f in Configuration.model_fields.items() if f.is_required()}
        for version in self.entities.values():
            parts = version.content.items()
            document.setdefault(version.kind, []).append(
                {n: _filled(part, environment) if (version.kind, n) in UNFILLED else part for n, part in parts}
            )
        try:
            configuration = Configuration.model_validate(document)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise UnusableReleaseError(
                f"release {self.release} cannot be read by this version of Leadline, or with what its variables stand"
                f" for here: {faults}"
            ) from None
        return known_as(configuration, self.release)


def known_as(configuration: Configuration, release: str) -> Configuration:
    """The same configuration under the hash of what was written, since that of what it was filled in to is another."""
    configuration.__dict__["release"] = release  # where the cached property looks first
    return configuration


def _deferrable(texts: Mapping[Location, tuple[str, str]]) -> Iterator[tuple[Any, tuple[str, str]]]:
    return ((at, text) for at, text in texts.items() if len(at) > 3 and (at[0], at[2]) in UNFILLED)


def _put_back(value: Any, path: list[Any], text: str, filled: str) -> None:
    """Undo the filling in where the value is still what was filled in: text that nothing normalises."""
    for step in path[:-1]:
        value = _at(value, step)
    if _at(value, path[-1]) == filled:
        value[path[-1]] = text


def _at(value: Any, step: Any) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    return value[step] if isinstance(value, list) and step in range(len(value)) else None


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from VARIABLE.findall(value)
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names(item)


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: environment[match[1]], value)
    if isinstance(value, dict):
        return {name: _filled(item, environment) for name, item in value.items()}
    return [_filled(item, environment) for item in value] if isinstance(value, list) else value

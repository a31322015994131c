"""Releases as the ``config`` topic has them: every entity by its content, every release by its entities, and what was
put in force when.

A record is a :class:`~schemas.events.ConfigEntity`, keyed so that compaction keeps everything: a decision of last year
names a release, and that can still be read.

========================  ==========================================================================================
key                       content
========================  ==========================================================================================
``entity/<hash>``         an entity, of ``kind`` such as ``campaigns``
``release/<hash>``        which entities a release has: ``{"entities": [[kind, id, hash], …]}``
``applied/<number>``      a release was put in force: ``{"author", "message", "previous"}``; the last one is in force
========================  ==========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.config.placeholders import WrittenRelease
from schemas.config.release import EntityVersion
from schemas.messages import ConfigEntity

RELEASE: Final = "release"
APPLIED: Final = "applied"


class UnknownReleaseError(Exception):
    """No such release was ever put in force here."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A release was put in force. ``previous`` is the one before it, None for the first."""

    number: int
    release: str
    at: datetime
    author: str
    message: str
    previous: str | None


@dataclass
class ReleaseHistory:
    """What the topic's records come to. They are added in their order; one that is added again changes nothing."""

    applied: list[Applied] = field(default_factory=list)
    _entities: dict[str, tuple[str, str]] = field(default_factory=dict)
    _releases: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)

    @property
    def current(self) -> str | None:
        """The release in force."""
        return self.applied[-1].release if self.applied else None

    def add(self, key: str, record: ConfigEntity) -> None:
        """One record of the topic."""
        if record.kind == RELEASE:
            self._releases[record.release] = [tuple(entity) for entity in json.loads(record.document)["entities"]]
        elif record.kind == APPLIED:
            number, said = int(record.entity), json.loads(record.document)
            if not self.applied or number > self.applied[-1].number:
                self.applied.append(
                    Applied(
                        number, record.release, record.occurred_at, said["author"], said["message"], said["previous"]
                    )
                )
        else:
            self._entities[key.removeprefix("entity/")] = (record.kind, record.document)

    @property
    def releases(self) -> list[str]:
        """Every release there is."""
        return list(self._releases)

    def written(self, release: str) -> WrittenRelease:
        """A release whole, its placeholders unfilled.

        Raises:
            UnknownReleaseError: there is none of that name.
        """
        if release not in self._releases:
            raise UnknownReleaseError(f"no release {release!r}; `leadline config history` lists them")
        versions = (
            EntityVersion(kind, id_, json.loads(self._entities[content][1]))
            for kind, id_, content in self._releases[release]
        )
        return WrittenRelease(release, {(version.kind, version.id): version for version in versions})

    def records_of(
        self, written: WrittenRelease, at: datetime, author: str, message: str
    ) -> Iterator[tuple[str, ConfigEntity]]:
        """The records, with their keys, that put a release in force. To be written together."""
        release = written.release
        entities = written.entities.values()
        for version in entities:
            if version.hash not in self._entities:
                document = json.dumps(version.content, ensure_ascii=False, separators=(",", ":"))
                yield f"entity/{version.hash}", _record(version.kind, version.id, version.hash, document, at)
        if release not in self._releases:
            listing = json.dumps({"entities": [(v.kind, v.id, v.hash) for v in entities]})
            yield f"{RELEASE}/{release}", _record(RELEASE, release, release, listing, at)
        number = self.applied[-1].number + 1 if self.applied else 1
        said = json.dumps({"author": author, "message": message, "previous": self.current}, ensure_ascii=False)
        yield f"{APPLIED}/{number:08}", _record(APPLIED, str(number), release, said, at)


def _record(kind: str, entity: str, release: str, document: str, at: datetime) -> ConfigEntity:
    return ConfigEntity(kind=kind, entity=entity, release=release, document=document, occurred_at=at)

"""Who may post in a source's name: the keys of sources, and what a post that shows one may say."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Final

from schemas.config.source import Source, key_hash, source_id

SOURCE: Final = "source"
BEARER: Final = "bearer"
LONGEST_KEY: Final = 1024


class KeyRefusedError(Exception):
    """A post that may not be taken. ``status`` is 401 where a key is missing or unknown, 403 where it is another's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def key_shown(headers: Mapping[str, str]) -> str | None:
    """The key that a post shows: ``X-Api-Key``, else ``Authorization: Bearer``.

    Raises:
        KeyRefusedError: another way to authorize, or two keys that differ.
    """
    key = headers.get("x-api-key")
    if (authorization := headers.get("authorization")) is None:
        return key
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != BEARER or not token:
        raise KeyRefusedError(401, "Show the key as X-Api-Key: KEY, or as Authorization: Bearer KEY.")
    if key is not None and not hmac.compare_digest(key.encode(), token.encode()):
        raise KeyRefusedError(401, "X-Api-Key and Authorization show different keys; send one of them.")
    return token


class Keyring:
    """The sources, and which of them a post may speak for.

    A source with keys is spoken for by its keys alone. One without is open to anybody, and where there is one, or none
    has keys, a post without a key is taken.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        sources = tuple(sources)
        self._hashes = [(digest, source.id) for source in sources for digest in source.keys]
        self._keyed = frozenset(source.id for source in sources if source.keys)
        self._all_keyed = bool(sources) and len(self._keyed) == len(sources)

    def source_of(self, key: str | None) -> str | None:
        """The source whose key it is; None for a post without a key that may be taken.

        Raises:
            KeyRefusedError: 401, the key is nobody's, or there must be one.
        """
        if key is None:
            if self._all_keyed:
                raise KeyRefusedError(401, "Show your source's key as X-Api-Key: KEY, or as Authorization: Bearer KEY.")
            return None
        if not self._hashes:
            return None  # nobody has keys, so a sender that shows one is as free as the others
        found, shown = None, key_hash(key) if len(key) <= LONGEST_KEY else ""
        for digest, source in self._hashes:  # all of them: how long it takes says nothing about which
            if hmac.compare_digest(digest, shown):
                found = source
        if found is None:
            raise KeyRefusedError(401, "This key is none of a source; ask for a new one.")
        return found

    def claim(self, fields: Mapping[str, object], source: str | None) -> dict[str, object]:
        """A lead as it may be stored: with the source whose key was shown, if it names none.

        Raises:
            KeyRefusedError: 403, it names another source than the key's; 401, it names one that has keys, and none was
                shown.
        """
        named = source_id(_text(fields.get(SOURCE)))
        if source is None:
            if named in self._keyed:
                raise KeyRefusedError(401, f"Leads of source {named} need its key: X-Api-Key: KEY.")
        elif not named:
            return {**fields, SOURCE: source}
        elif named != source:
            raise KeyRefusedError(403, f"This is the key of source {source}, and the lead names another one.")
        return dict(fields)


def _text(value: object) -> str:
    """A field as whoever reads the log takes it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""The keyed hashes that a compiled list holds in place of people.

All phone numbers can be tried in minutes, so a hash of one is as good as the number to whoever has the file; hence the
key, derived from the deployment's pseudonym key. The hash is BLAKE2b in its keyed form, a MAC of its own (RFC 7693)
that takes a fifth of HMAC-SHA256's time.

Eight bytes of it are kept. A lead that is not on a list of n rows matches by chance with probability n / 2^64: 5e-13
for ten million rows, or one lead in two million million; sixteen bytes would double the file for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Final

from schemas.config.suppression import Hashed, ListField, MatchBy, MatchRule, PhoneForm

HASH_BYTES: Final = 8
Values = Mapping[ListField, str]
Shape = tuple[ListField, ...]
"""The fields that a row or a lead has, in the order of ``LIST_FIELDS``."""


class KeyedHashes:
    """The hashes of rows and of leads under one rule. ``key_check`` tells whether two keys are the same."""

    def __init__(self, rule: MatchRule, secret: bytes) -> None:
        self.rule = rule
        self._state = hashlib.blake2b(key=hashlib.blake2b(secret, person=b"suppression").digest(), digest_size=8)
        self.key_check = self._mac("key check").hex()
        self._by_fields = rule.match is MatchBy.FIELDS
        self._contacts = [(f, (f,), f"{f}:{self._form_of(f)}:") for f in rule.compared]
        self._digest = None if rule.hashed is Hashed.NONE else _digester(rule)

    def of_row(self, values: Values) -> list[bytes]:
        """Of a row whose values are normalised, or digests where the list is hashed."""
        if self._by_fields:
            shape = self.shape(values)
            return [self._fingerprint(shape, common, values) for common in self._commons(shape)]
        return [self._mac(prefix + values[f]) for f, _, prefix in self._contacts if f in values]

    def of_lead(self, values: Values, shapes: Iterable[Shape]) -> list[tuple[Shape, bytes]]:
        """Of a lead with normalised values, each with the fields it compares; ``shapes`` are those of the rows."""
        found: list[tuple[Shape, bytes]] = []
        if not self._by_fields:
            for field, alone, prefix in self._contacts:
                if (value := values.get(field)) is not None:
                    text = value if self._digest is None else self._digest(field, value)
                    found.append((alone, self._mac(prefix + text)))
            return found
        for shape in shapes if self.rule.required <= values.keys() else ():
            common = tuple(f for f in shape if f in values)
            found.append((common, self._fingerprint(shape, common, values)))
        return found

    def shape(self, values: Values) -> Shape:
        """The compared fields that are there."""
        return tuple(f for f in self.rule.compared if f in values)

    def _commons(self, shape: Shape) -> Iterable[Shape]:
        """What a row can have in common with a lead: all its fields, and all but some of the optional ones. A hash for
        each of them lets a lead that lacks a field be found without reading the list."""
        optional = [f for f in shape if f not in self.rule.required]
        for count in range(len(optional) + 1):
            for lacking in combinations(optional, count):
                yield tuple(f for f in shape if f not in lacking)

    def _fingerprint(self, shape: Shape, common: Shape, values: Values) -> bytes:
        # With the row's shape: a lead that has a field the row has too must agree on it.
        return self._mac("\0".join([",".join(shape), ",".join(common), *(values[f] for f in common)]))

    def _form_of(self, field: ListField) -> str:
        if self.rule.hashed is Hashed.NONE:
            return ""
        return f"{self.rule.hashed}:{self.rule.phone_form}" if field == "phone" else self.rule.hashed

    def _mac(self, text: str) -> bytes:
        mac = self._state.copy()
        mac.update(text.encode())
        return mac.digest()


def _digester(rule: MatchRule) -> Callable[[ListField, str], str]:
    """What turns a normalised value into what stands in the list's file."""
    algorithm = getattr(hashlib, rule.hashed)
    digits = {PhoneForm.NATIONAL: 2, PhoneForm.INTERNATIONAL: 1, PhoneForm.E164: 0}[rule.phone_form]

    def digest(field: ListField, value: str) -> str:
        text = value[digits:] if field == "phone" else value
        return str(algorithm(text.encode(), usedforsecurity=False).hexdigest())

    return digest

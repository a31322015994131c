"""Tokens of the door: who a request comes from and what it may do.

``python -m warehouse.embedded.tokens analyst grafana`` makes one, shows it once, and adds its hash to the file that
LEADLINE_CLICKHOUSE_TOKENS names. A line of that file is ``role name hash``; ``#`` begins a comment.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hmac
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from schemas.config.source import key_hash
from schemas.settings import Settings
from warehouse.embedded.errors import AUTHENTICATION_FAILED, REQUIRED_PASSWORD, ClickHouseError

TOKEN_BYTES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """``admin`` may do what the engine survives; ``analyst`` reads what `warehouse.embedded.analyst` lists."""

    ADMIN = "admin"
    ANALYST = "analyst"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request: the name of the token, never the token."""

    role: Role
    name: str


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: its SHA-256 in hex."""

    identity: Identity
    hash: str


# Whoever reaches a door that has no tokens: it serves loopback only.
LOCAL: Final = Identity(Role.ADMIN, "local")


class TokenFileError(ValueError):
    """The file of tokens cannot be used; the message says which line, and never shows a hash."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that open the door; without any, every request is LOCAL's."""

    tokens: tuple[Token, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tokens)

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        """Who shows the token in ``headers`` (lower-case names).

        It is the password of HTTP Basic, ``X-ClickHouse-Key`` or ``Authorization: Bearer``; the user's name is
        not read. Raises ClickHouseError 194 without a token, 516 for one that is not known.
        """
        if not self.tokens:
            return LOCAL
        shown = _shown(headers)
        if not shown:
            raise ClickHouseError(
                REQUIRED_PASSWORD,
                "A token is required: as the password of HTTP Basic, as X-ClickHouse-Key or as Authorization: Bearer. "
                "(REQUIRED_PASSWORD)",
            )
        digest = key_hash(shown)
        found: Identity | None = None
        for token in self.tokens:  # All of them, always: how long it takes says nothing about which one matched.
            if hmac.compare_digest(token.hash, digest):
                found = token.identity
        if found is None:
            raise ClickHouseError(AUTHENTICATION_FAILED, "The token is not known here. (AUTHENTICATION_FAILED)")
        return found


def load(path: Path) -> Tokens:
    """The tokens of a file. Raises TokenFileError when it is missing or a line of it cannot be read."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(f"the file of tokens {path} cannot be read: {error}") from error
    tokens: list[Token] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if (
            len(words) != 3
            or words[0] not in list(Role)
            or not _NAME.fullmatch(words[1])
            or not _HASH.fullmatch(words[2])
        ):
            raise TokenFileError(f"{path}, line {number}: not `role name hash` with the role admin or analyst")
        if any(token.identity.name == words[1] for token in tokens):
            raise TokenFileError(f"{path}, line {number}: the name {words[1]} is given twice")
        tokens.append(Token(Identity(Role(words[0]), words[1]), words[2]))
    return Tokens(tuple(tokens))


def add(path: Path, identity: Identity) -> str:
    """Make a token, append its hash to the file (which only its owner may read), and give the token."""
    if not _NAME.fullmatch(identity.name):
        raise TokenFileError(f"{identity.name!r} is no name: use a-z, 0-9, '_', '.' and '-', at most 64")
    if path.exists() and any(token.identity.name == identity.name for token in load(path).tokens):
        raise TokenFileError(f"{path} has a token named {identity.name}: remove its line first, or use another name")
    made = secrets.token_urlsafe(TOKEN_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{identity.role} {identity.name} {key_hash(made)}\n")
    return made


def keep(path: Path, identity: Identity, token: str) -> None:
    """Have the file (which only its owner may read) let this token in, under this name alone; the others stay."""
    lines = path.read_text().splitlines() if path.exists() else []
    others = [line for line in lines if line.startswith("#") or line.split()[1:2] != [identity.name]]
    wanted = [*others, f"{identity.role} {identity.name} {key_hash(token)}"]
    if wanted == lines:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text("\n".join(wanted) + "\n")
    draft.replace(path)


def _shown(headers: Mapping[str, str]) -> str:
    if key := headers.get("x-clickhouse-key"):
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Make a token; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m warehouse.embedded.tokens", description="Make a token.")
    parser.add_argument("role", choices=[str(role) for role in Role])
    parser.add_argument("name", help="whose it is, such as grafana: shown in the audit")
    parser.add_argument("--file", type=Path, help="the file of tokens; by default LEADLINE_CLICKHOUSE_TOKENS")
    options = parser.parse_args(arguments)
    settings = Settings()
    path = options.file or settings.clickhouse_tokens or settings.home / "warehouse.tokens"
    try:
        made = add(path, Identity(Role(options.role), options.name))
    except (TokenFileError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(made)
    print(
        f"It is shown once and kept nowhere; its hash is in {path}.\n"
        f"A server started with LEADLINE_CLICKHOUSE_TOKENS={path} takes it as the password; "
        "the local stack's does, after `leadline down` and `leadline up`.",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Secrets of the home folder, each in a file that is made once and never shown; the pseudonym key may be a setting."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from pydantic import SecretStr

SHORTEST_KEY: Final = 16


class SecretError(Exception):
    """The key cannot be used."""


def pseudonym_key(setting: SecretStr | None, home: Path) -> bytes:
    """The secret of the person HMAC. It must stay the same: with another key every person is a new one.

    Raises:
        SecretError: the key is too short.
    """
    key = setting.get_secret_value().encode() if setting is not None else kept(home / "secrets" / "pseudonym.key")
    if len(key) < SHORTEST_KEY:
        raise SecretError(f"LEADLINE_PSEUDONYM_KEY needs at least {SHORTEST_KEY} bytes")
    return key


def kept(path: Path) -> bytes:
    """The secret in that file, which is made, for its owner only, when it is missing."""
    if path.exists():  # a mounted secret may be in a folder that nobody can write to
        return path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Whoever creates the file writes it whole: several workers may start at once.
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    return path.read_bytes()

"""The local warehouse: its command, and the token of its own that keeps other programs of this machine out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from connectors.secret_file import kept
from leadline.stack.ports import HOST
from warehouse.embedded import tokens

NAME: Final = "leadline"


@dataclass(frozen=True, slots=True)
class Warehouse:
    """The embedded server on `port`, opened by the stack's own token and by those in `tokens_file`."""

    home: Path
    port: int
    tokens_file: Path

    @property
    def url(self) -> str:
        """Where it listens, with the stack's token as the password. Makes the token when there is none yet."""
        return f"http://{NAME}:{self._token()}@{HOST}:{self.port}"

    def command(self, python: str) -> list[str]:
        """Starts the server, after `install`."""
        return [python, "-m", "warehouse.embedded", "--path", str(self.home / "warehouse"), "--port", str(self.port)]

    async def install(self) -> None:
        """Let the stack's token in, beside those that people made."""
        tokens.keep(self.tokens_file, tokens.Identity(tokens.Role.ADMIN, NAME), self._token())

    def _token(self) -> str:
        return kept(self.home / "secrets" / "warehouse.token").decode()


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

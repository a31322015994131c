"""What the command says when it cannot go on: what happened, and the next command to type."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what was asked.

    Args:
        message: What happened.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

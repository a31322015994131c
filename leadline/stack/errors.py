"""The one exception of the local stack."""

from __future__ import annotations


class StackError(Exception):
    """The local stack cannot do what was asked.

    Args:
        message: What happened, with the last log lines where a process was the cause.
        hint: What to do about it, naming the next command.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

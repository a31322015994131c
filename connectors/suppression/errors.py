"""What goes wrong with a list as a whole."""

from __future__ import annotations


class SuppressionError(Exception):
    """A list cannot be imported or opened; the message says what to do."""

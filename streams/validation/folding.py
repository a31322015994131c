"""Text as typed, without what nobody sees."""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """A text with compatible characters, exotic spaces and invisible characters folded away."""
    if not text.isascii():
        visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
        text = unicodedata.normalize("NFKC", visible)
    return " ".join(text.split())

"""Text in a statement of ClickHouse's SQL."""

from __future__ import annotations


def quote(text: str, mark: str = "'") -> str:
    """A string literal, or a name with backticks for ``mark``."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark

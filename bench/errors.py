"""What a benchmark says when it cannot go on."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A benchmark cannot be run; the message says why and what to do."""

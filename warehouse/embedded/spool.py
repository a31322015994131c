"""Data on its way into the engine, which reads files: in one without a name, so that no kill leaves it behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def spooled(data: bytes | memoryview) -> Iterator[str]:
    """A path under which this process reads ``data``, until the block ends or the process does."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"

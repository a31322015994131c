"""What the engine remembers of insert tokens, put right before it opens a database that it was killed in.

The engine notes a block's token in the table's log, and then gives the block's part its name. Killed between the two,
it would remember the token of rows that it does not have, and drop them when they are sent again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_LOG: Final = re.compile(r"deduplication_log_(\d+)\.txt")
# A part's partition, and the first and the last of its blocks.
_PART: Final = r"([^_\t]+)_(\d+)_(\d+)_\d+(?:_\d+)?"
_FOLDER: Final = re.compile(_PART)
_ADDED: Final = re.compile(rf"1\t({_PART})\t(.+)")
_DROPPED: Final = "2"


def forget_unnamed(database: Path) -> int:
    """Let the engine forget the tokens of parts that it was killed before it named; how many those are.

    The database is not open. The engine names a table's parts one by one, so only a log's last lines can be such: those
    before the last part that is there are right, also where their own parts were merged or deleted since.

    Raises:
        OSError: a log cannot be read or written.
    """
    return sum(_forget(logs) for logs in database.glob("store/*/*/deduplication_logs"))


def _forget(logs: Path) -> int:
    numbered = sorted((int(match[1]), path) for path in logs.iterdir() if (match := _LOG.fullmatch(path.name)))
    files = [path for _, path in numbered]
    parts = [match.groups() for path in logs.parent.iterdir() if (match := _FOLDER.fullmatch(path.name))]
    blocks = [(partition, int(first), int(last)) for partition, first, last in parts]
    unnamed = []
    for line in _backwards(files):
        added = _ADDED.fullmatch(line)
        if added is None:
            break
        name, partition, first, last, token = added.groups()
        # In a part of its own, or in one that it was merged into.
        if any(of == partition and low <= int(first) and int(last) <= high for of, low, high in blocks):
            break
        unnamed.append(f"{_DROPPED}\t{name}\t{token}\n")
    if unnamed:
        with files[-1].open("a") as log:
            log.writelines(unnamed)
    return len(unnamed)


def _backwards(files: Iterable[Path]) -> Iterator[str]:
    for path in reversed(list(files)):
        yield from reversed(path.read_text().splitlines())

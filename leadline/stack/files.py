"""Where the local stack's data files are, and small writes that survive a crash."""

from __future__ import annotations

import os
from pathlib import Path

from leadline.stack.errors import StackError

_PACKAGE = Path(__file__).resolve().parent.parent


def local_file(name: str) -> Path:
    """`deploy/local/<name>` of the repository checkout, or its copy in an installed wheel.

    Raises:
        StackError: The file is in neither place.
    """
    places = (_PACKAGE.parent / "deploy" / "local" / name, _PACKAGE / "local" / name)
    for path in places:
        if path.is_file():
            return path
    raise StackError(f"{name} of the local stack is missing.", "Install leadline again, or restore deploy/local.")


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)

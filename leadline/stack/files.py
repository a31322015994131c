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
    return _shipped("local", name, f"{name} of the local stack")


def example_file(name: str) -> Path:
    """`deploy/config/<name>` of the repository checkout, or its copy in an installed wheel.

    Raises:
        StackError: The file is in neither place.
    """
    return _shipped("config", name, f"The example {name}")


def _shipped(folder: str, name: str, what: str) -> Path:
    for path in (_PACKAGE.parent / "deploy" / folder / name, _PACKAGE / folder / name):
        if path.is_file():
            return path
    raise StackError(f"{what} is missing.", f"Install leadline again, or restore deploy/{folder}.")


def write_atomically(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Readers see the old text or the new one, never a part. `mode` is the file's, less the umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.touch(mode=mode)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)

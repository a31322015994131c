"""Interpreters for scripts that bring their own locked dependencies (PEP 723), made by uv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.errors import BenchmarkError
from bench.session import REPOSITORY


def uv() -> str:
    """The uv command: on the path, or where the Makefile puts it.

    Raises:
        BenchmarkError: it is in neither place.
    """
    for candidate in ("uv", REPOSITORY / ".tools" / "bin" / "uv"):
        if found := shutil.which(candidate):
            return found
    raise BenchmarkError("uv is neither on the path nor in .tools: run `make setup`, or install uv")


def python_of(script: Path) -> str:
    """The interpreter of a script's own environment, with exactly what its lock file says.

    Raises:
        BenchmarkError: no uv, or the environment cannot be made.
    """
    command = uv()
    same_python = ("--python", sys.executable)
    for arguments in (("sync", "--locked", *same_python, "--script"), ("python", "find", "--script")):
        done = subprocess.run([command, *arguments, str(script)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"uv cannot make the environment of {script.name}:\n{done.stderr.strip()}")
    return done.stdout.strip()

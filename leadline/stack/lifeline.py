"""A child's tie to its parent: when the parent dies, in whatever way, so does the child.

Run as a plain file (``python -I -S lifeline.py PARENT_PID -- COMMAND…``, about 20 ms), so it imports the standard
library only. On Linux the kernel holds the tie and the command takes over this very process: its pid is the
command's. Elsewhere this process stays as a small watcher around the command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
_WATCH_SECONDS = 0.5
_COMMAND_NOT_FOUND = 127


def wrap(command: Sequence[str]) -> list[str]:
    """The command to start instead of `command` so that it cannot outlive the calling process.

    On Linux the kernel watches the *thread* that starts the child: start it from one that lives as long as the process.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), "--", *command]


def _become(parent: int, command: list[str]) -> int:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        print(f"lifeline: prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 1
    # The parent may have died before the tie was made: then no signal ever comes.
    if os.getppid() != parent:
        return 1
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        print(f"lifeline: {command[0]}: {error.strerror}", file=sys.stderr)
        return _COMMAND_NOT_FOUND


def _watch(parent: int, command: list[str]) -> int:
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        print(f"lifeline: {command[0]}: {error.strerror}", file=sys.stderr)
        return _COMMAND_NOT_FOUND
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            code = child.wait(_WATCH_SECONDS)
            return code if code >= 0 else 128 - code
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                child.kill()


def main(argv: list[str]) -> int:
    """``PARENT_PID -- COMMAND…``: run the command for as long as the parent lives; its exit code."""
    parent, separator, *command = argv
    if separator != "--" or not command:
        print("usage: lifeline.py PARENT_PID -- COMMAND…", file=sys.stderr)
        return 2
    run = _become if sys.platform == "linux" else _watch
    return run(int(parent), command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

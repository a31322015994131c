"""Loopback ports for one run of the stack: the first choice when it is free, another otherwise."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
from types import TracebackType

from leadline.stack.errors import StackError

HOST = "127.0.0.1"

# Below the range that kernels give to outgoing connections: a client that reconnects to a port of that range while its
# server restarts can be given that very port as its own, connect to itself, and keep the server out.
_ALTERNATIVES = range(20_000, 32_000)
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except (OSError, OverflowError):
            return False
    return True


class PortLeases:
    """Ports chosen for this run, kept from other stacks of this machine until closed.

    A port is free for a moment between its choice and its server's start, and again while the server restarts. On Linux
    a name in the kernel's abstract socket space, gone with the process, marks it as ours for that long.
    """

    def __init__(self) -> None:
        self._marks: dict[int, socket.socket | None] = {}

    def lease(self, preferred: int) -> int:
        """`preferred` when nobody has it, else another port.

        Raises:
            StackError: No free port was found.
        """
        for port in (preferred, *random.sample(_ALTERNATIVES, _TRIES)):
            if port not in self._marks and self._take(port):
                return port
        raise StackError("No free loopback port was found.", "Stop other servers, then run `leadline up` again.")

    def _take(self, port: int) -> bool:
        mark = None
        if sys.platform == "linux":
            mark = socket.socket(socket.AF_UNIX)
            try:
                mark.bind(f"\0leadline-port-{port}")
            except OSError:
                mark.close()
                return False
        if not is_free(port):
            if mark is not None:
                mark.close()
            return False
        self._marks[port] = mark
        return True

    def close(self) -> None:
        """Give the ports back."""
        with contextlib.ExitStack() as stack:
            for mark in self._marks.values():
                if mark is not None:
                    stack.callback(mark.close)
        self._marks.clear()

    def __enter__(self) -> PortLeases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

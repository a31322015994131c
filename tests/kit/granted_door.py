"""The door over an engine whose user is a role of ``warehouse/access``: ``python -m kit.granted_door PATH PORT ROLE``.

Embedded, the engine knows no CREATE ROLE. But it reads its users from a file, so there a role's grants and row policies
are given to its only user, and the engine holds every statement to them as a server does. Two things are not as on a
server: every user may read every system table, and input() is file() (see :mod:`warehouse.embedded.engine`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

import uvicorn

from kit.access import filters, grants
from kit.door import free_port
from warehouse.embedded.audit import Audit
from warehouse.embedded.door import Door, Limits
from warehouse.embedded.engine import Engine
from warehouse.embedded.tokens import Tokens

_DATABASE = "leadline"


@contextmanager
def granted(path: Path, role: str) -> Iterator[str]:
    """The URL of a door for a role to the database in ``path``."""
    port = free_port()
    environment = {**os.environ, "TZ": "UTC", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "kit.granted_door", str(path), str(port), role]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"serving\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def _users(role: str) -> str:
    # The door makes the one for itself; for the other, which it enters by USE, a server wants no grant.
    given = [*grants(role), "GRANT CREATE, SELECT, INSERT ON leadline_audit.*", "GRANT SHOW DATABASES ON default.*"]
    if any("INSERT" in grant for grant in grants(role)):
        given.append("GRANT READ ON FILE")
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in given)
    rows = "".join(
        f"<{table.partition('.')[2]}><filter>{escape(condition)}</filter></{table.partition('.')[2]}>"
        for table, condition in filters(role).items()
    )
    return f"""<clickhouse>
  <profiles><default/></profiles><quotas><default/></quotas>
  <users><default>
    <password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    <grants>{queries}</grants><databases><{_DATABASE}>{rows}</{_DATABASE}></databases>
  </default></users>
</clickhouse>"""


def main() -> None:
    """Serve until killed."""
    from chdb.state.sqlitelike import Connection

    path, port, role = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    users, config = path.with_name(f"users-{port}.xml"), path.with_name(f"config-{port}.xml")
    users.write_text(_users(role))
    config.write_text(f"<clickhouse><users_config>{users}</users_config></clickhouse>")
    time.tzset()
    path.mkdir(exist_ok=True)
    engine = Engine(path, Connection(f"{path}?config-file={config}"), os.open(path, os.O_RDONLY))
    door = Door(engine, Limits(), Tokens(), Audit(engine), _DATABASE)
    listener = socket.create_server(("127.0.0.1", port))
    print("serving", flush=True)
    uvicorn.Server(uvicorn.Config(door.application(), lifespan="off", log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()

"""What the door's time limits hold off: requests that trickle in over real sockets, and queries without an end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest
from kit.door import Warehouse, running

from warehouse.embedded.__main__ import main
from warehouse.embedded.tokens import Identity, Role, add

BODY_SECONDS = 2
REQUESTS = 3


@dataclass(frozen=True)
class Guarded:
    server: Warehouse
    admin: str

    def value(self, sql: str) -> bytes:
        answer = self.server.send(body=sql.encode(), headers={"X-ClickHouse-Key": self.admin})
        assert answer.status == 200, answer.body
        return answer.body


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("limits")
    admin = add(folder / "tokens", Identity(Role.ADMIN, "sink"))
    limits = ("--body-seconds", str(BODY_SECONDS), "--requests", str(REQUESTS))
    with running(folder / "db", folder / "ready", *limits, LEADLINE_CLICKHOUSE_TOKENS=str(folder / "tokens")) as server:
        guarded = Guarded(server, admin)
        guarded.value("CREATE TABLE trickled (n UInt64) ENGINE = MergeTree ORDER BY n")
        yield guarded


@contextmanager
def trickling(door: Guarded, beginning: bytes, endless: bytes = b"1\n") -> Iterator[socket.socket]:
    """A connection that sends ``beginning`` at once, and then ``endless`` as slowly as keeps it from being silent."""
    with socket.create_connection(("127.0.0.1", door.server.port), timeout=30) as connection, ExitStack() as stack:
        connection.sendall(beginning)
        ended = threading.Event()

        def trickle() -> None:
            while not ended.wait(0.2):
                try:
                    connection.sendall(endless)
                except OSError:
                    return

        sending = threading.Thread(target=trickle)
        sending.start()
        stack.callback(sending.join)
        stack.callback(ended.set)
        yield connection


def upload(token: str) -> bytes:
    target = "/?query=INSERT%20INTO%20trickled%20FORMAT%20CSV"
    headers = f"Host: 127.0.0.1\r\nX-ClickHouse-Key: {token}\r\nContent-Length: 100000"
    return f"POST {target} HTTP/1.1\r\n{headers}\r\n\r\n".encode()


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """The status and body of the next answer."""
    response = HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side ends the connection, as it does long before this one's own timeout."""
    received = b""
    try:
        while piece := connection.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return received


def test_uploads_of_nobody_take_nobody_s_place(door: Guarded) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(trickling(door, upload("guess"))) for _ in range(10 * REQUESTS)]
        for connection in slow:  # at once, with most of the body to come
            status, refusal = answer_of(connection)
            assert (status, refusal[:10]) == (403, b"Code: 516."), refusal
        assert door.value("SELECT 1") == b"1\n"
        # What they still send is not read for ever either.
        assert not any(everything(connection) for connection in slow)


def test_an_upload_that_does_not_come_is_refused_and_makes_room(door: Guarded) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(trickling(door, upload(door.admin))) for _ in range(REQUESTS)]
        while (answer := door.server.send("SELECT 1", headers={"X-ClickHouse-Key": door.admin})).status == 200:
            pass  # until all of them are in hand
        assert answer.headers["x-clickhouse-exception-code"] == "202"
        refusals = [everything(connection) for connection in slow]
        for refusal in refusals:
            assert refusal.startswith(b"HTTP/1.1 503")
            assert b"x-clickhouse-exception-code: 209\r\n" in refusal.lower()
            assert b"within 2 s" in refusal
        assert door.value("SELECT 1") == b"1\n"
    assert door.value("SELECT count() FROM trickled") == b"0\n"
    audit = "SELECT count() FROM leadline_audit.statements WHERE code = 209 AND token = 'sink'"
    deadline = time.monotonic() + 20  # it is stored once a second
    while door.value(audit) != b"%d\n" % REQUESTS:
        assert time.monotonic() < deadline


def test_an_upload_that_takes_its_time_is_taken(door: Guarded) -> None:
    beginning = upload(door.admin).replace(b"100000", b"6")
    with trickling(door, beginning) as connection:
        assert answer_of(connection)[0] == 200
    assert door.value("SELECT count() FROM trickled") == b"3\n"
    door.value("TRUNCATE TABLE trickled")


def test_more_connections_than_may_be_open_are_refused(tmp_path: Path) -> None:
    most = 5
    with running(tmp_path / "db", tmp_path / "ready", "--connections", str(most)) as server, ExitStack() as stack:

        def opened() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))

        def served() -> bool:
            try:
                return server.send("SELECT 1").status == 200
            except ConnectionError:  # refused before the request was sent
                return False

        idle = [opened() for _ in range(most)]
        for _ in range(3):
            refusal = everything(opened())
            assert refusal.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nx-clickhouse-exception-code: 202\r\n" in refusal
            assert b"\r\n\r\nCode: 202. DB::Exception: Too many open connections. Maximum: 5." in refusal
        idle[0].sendall(b"GET /?query=SELECT%201 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answer_of(idle[0]) == (200, b"1\n")  # who is in is served
        for connection in idle:
            connection.close()
        while not served():
            pass  # until the server has seen them go


@pytest.mark.parametrize(("beginning", "endless"), [(b"", b"P"), (b"POST / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n")])
def test_headers_that_do_not_come_end_the_connection(door: Guarded, beginning: bytes, endless: bytes) -> None:
    started = time.monotonic()
    with trickling(door, beginning, endless) as connection:
        assert everything(connection) == b""
    assert time.monotonic() - started > BODY_SECONDS - 0.5


def test_a_connection_that_says_nothing_is_ended(door: Guarded) -> None:
    with socket.create_connection(("127.0.0.1", door.server.port), timeout=30) as connection:
        assert everything(connection) == b""


def test_one_connection_serves_request_after_request_beyond_the_limit(door: Guarded) -> None:
    request = upload(door.admin).replace(b"INSERT%20INTO%20trickled%20FORMAT%20CSV", b"SELECT%201")
    request = request.replace(b"Content-Length: 100000", b"Content-Length: 0")
    with socket.create_connection(("127.0.0.1", door.server.port), timeout=30) as connection:
        ends = time.monotonic() + 2 * BODY_SECONDS
        while time.monotonic() < ends:
            connection.sendall(request[:50])
            connection.sendall(request[50:])
            assert answer_of(connection) == (200, b"1\n")


ENDLESS = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A server whose admins' queries end after a second."""
    folder = tmp_path_factory.mktemp("hasty")
    with running(folder / "db", folder / "ready", "--max-seconds", "1") as server:
        yield server


def code(server: Warehouse, sql: str, **arguments: object) -> str:
    return server.send(body=sql.encode(), **arguments).headers.get("x-clickhouse-exception-code", "0")


@pytest.mark.parametrize("output", ["TSV", "JSON"])
def test_an_admin_s_query_ends(hasty: Warehouse, output: str) -> None:
    answer = hasty.send(body=ENDLESS.encode(), default_format=output, max_threads=1)
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (408, "159"), answer.body
    assert code(hasty, f"WITH 1 AS one {ENDLESS}", max_threads=1) == "159"


def test_an_admin_s_query_may_ask_for_more(hasty: Warehouse) -> None:
    slow = "SELECT sleepEachRow(0.5) FROM numbers(4)"
    assert code(hasty, slow, max_block_size=1) == "159"
    assert code(hasty, slow, max_block_size=1, max_execution_time=30) == "0"
    assert code(hasty, slow, max_block_size=1, max_execution_time=0) == "0"
    assert code(hasty, f"{slow} SETTINGS max_execution_time = 30, max_block_size = 1") == "0"


def test_a_session_s_own_limit_goes_before(hasty: Warehouse) -> None:
    session = {"session_id": "patient"}
    limit = "SELECT getSetting('max_execution_time')"
    for _ in range(2):
        assert hasty.value(limit, **session) == "1"
    assert code(hasty, "SET max_execution_time = 30", **session) == "0"
    for _ in range(2):
        assert hasty.value(limit, **session) == "30"
        assert hasty.value(limit, max_execution_time=7, **session) == "7"
    assert hasty.value(limit) == "1"


def test_what_writes_is_never_ended_half_way(hasty: Warehouse) -> None:
    hasty.value("CREATE TABLE slow (n UInt64) ENGINE = MergeTree ORDER BY n")
    hasty.value("INSERT INTO slow SELECT number + sleepEachRow(0.5) FROM numbers(4)", max_block_size=1)
    hasty.value("CREATE TABLE copied ENGINE = MergeTree ORDER BY n AS SELECT n + sleepEachRow(0.5) AS n FROM slow")
    assert hasty.value("SELECT count(), (SELECT count() FROM copied) FROM slow") == "4\t4"


@pytest.mark.parametrize("wrong", [("--body-seconds", "0"), ("--body-seconds", "nan"), ("--max-seconds", "-1")])
def test_limits_that_are_none_are_refused(wrong: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--path", str(tmp_path / "db"), "--port", "1", *wrong])
    assert raised.value.code == 2
    assert not (tmp_path / "db").exists()

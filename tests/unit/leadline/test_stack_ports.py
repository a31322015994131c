import socket
import subprocess
import sys

import pytest

from leadline.stack.ports import HOST, PortLeases, is_free


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server


def test_the_first_choice_is_kept_when_it_is_free(listener):
    port = listener.getsockname()[1]
    listener.close()
    with PortLeases() as ports:
        assert ports.lease(port) == port


def test_a_taken_port_is_replaced_by_a_free_one(listener):
    taken = listener.getsockname()[1]
    with PortLeases() as ports:
        other = ports.lease(taken)
        assert other != taken
        assert is_free(other)


def test_a_port_is_leased_once_until_closed(listener):
    port = listener.getsockname()[1]
    listener.close()
    with PortLeases() as ports, PortLeases() as others:
        assert ports.lease(port) == port
        assert ports.lease(port) != port
        assert others.lease(port) != port
    with PortLeases() as ports:
        assert ports.lease(port) == port


@pytest.mark.skipif(sys.platform != "linux", reason="leases hold across processes on Linux only")
def test_a_lease_holds_across_processes(listener):
    port = listener.getsockname()[1]
    listener.close()
    program = f"from leadline.stack.ports import PortLeases; print(PortLeases().lease({port}))"
    with PortLeases() as ports:
        ports.lease(port)
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(answer.stdout) != port


def test_a_port_past_the_last_one_is_replaced():
    with PortLeases() as ports:
        assert ports.lease(65_536) <= 65_535

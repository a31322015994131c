"""`leadline demo`, and the commands around a running stack, as a user types them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kit.full_stack import noon_configuration, share_jars, wait_until

from leadline.stack.state import process_started, read_state

pytestmark = pytest.mark.stack


def leadline(home: Path, *arguments: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run the command in a home."""
    environment = {**os.environ, "LEADLINE_HOME": str(home), "LEADLINE_CONFIG": str(home / "config.yaml")}
    return subprocess.run(
        [sys.executable, "-m", "leadline", *arguments],
        env=environment | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    share_jars(tmp_path)
    noon_configuration(tmp_path)
    return tmp_path


def test_demo_fills_the_funnel_and_stops_what_it_started(home: Path) -> None:
    done = leadline(home, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every lead came to the end it was made for." in done.stdout
    for row in (r"raw\s+1,000", r"delivered\s+790", r"rejected\s+60", r"dead\s+10", r"all\s+│\s+790"):
        assert re.search(row, done.stdout), row
    assert "received" in done.stdout
    assert "accepted" in done.stdout
    assert read_state(home) is None


def test_up_detached_is_found_by_every_command_and_down_stops_it(home: Path) -> None:
    started = leadline(home, "up", "--detach")
    assert started.returncode == 0, started.stdout + started.stderr
    state = read_state(home)
    assert state is not None
    assert state.ready
    try:
        again = leadline(home, "up")
        assert again.returncode == 0
        assert f"process {state.pid}" in again.stdout
        assert leadline(home, "topics", "diff").returncode == 0
        sent = subprocess.run(
            f"{sys.executable} -m leadline generate -n 50 --seed 3 | {sys.executable} -m leadline send --as-is -",
            shell=True,
            env={**os.environ, "LEADLINE_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Sent 50 leads" in sent.stdout, sent.stderr
    finally:
        stopped = leadline(home, "down")
    assert "Stopped" in stopped.stdout
    assert read_state(home) is None
    assert leadline(home, "down").returncode == 0


def test_killing_the_supervisor_leaves_no_process(home: Path) -> None:
    assert leadline(home, "up", "--detach").returncode == 0
    state = read_state(home)
    assert state is not None
    pids = {name: service.pid for name, service in state.services.items()}
    assert all(pids.values())
    started = {pid: process_started(pid) for pid in pids.values() if pid}
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: not [p for p, s in started.items() if process_started(p) == s], "no child is left", 20)

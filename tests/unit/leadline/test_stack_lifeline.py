import os
import signal
import subprocess
import sys
import time

import pytest

from leadline.stack import lifeline
from leadline.stack.state import process_started

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tie is Linux's")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]

PARENT = """
import subprocess, sys, time
from leadline.stack import lifeline
command = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
child = subprocess.Popen(lifeline.wrap([sys.executable, "-c", command]))
time.sleep(600)
"""
WATCHING_PARENT = """
import subprocess, sys, time, os
watcher = "import sys; from leadline.stack import lifeline; sys.exit(lifeline._watch({}, sys.argv[1:]))"
command = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", watcher.format(os.getpid()), sys.executable, "-c", command])
time.sleep(600)
"""


def wait_until_gone(pid, seconds=10):
    deadline = time.monotonic() + seconds
    while process_started(pid) is not None:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@LINUX
def test_the_command_takes_over_the_process():
    with subprocess.Popen(
        lifeline.wrap([sys.executable, "-c", "import os; print(os.getpid())"]), stdout=subprocess.PIPE, text=True
    ) as process:
        assert int(process.stdout.read()) == process.pid


@pytest.mark.parametrize("program", [pytest.param(PARENT, marks=LINUX), WATCHING_PARENT], ids=["kernel", "watcher"])
def test_kill_9_of_the_parent_ends_the_child(program):
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert process_started(child) is not None
        parent.kill()
        wait_until_gone(child)


@LINUX
def test_nothing_is_run_for_a_parent_that_is_gone():
    command = lifeline.wrap(["echo", "ran"])
    command[4] = "999999999"
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (1, "")


def test_a_command_that_does_not_exist_is_named():
    finished = subprocess.run(lifeline.wrap(["/no/such/program"]), capture_output=True, text=True, check=False)
    assert finished.returncode == 127
    assert "/no/such/program" in finished.stderr


def test_the_watcher_passes_on_sigterm_and_the_exit_code():
    program = (
        "import sys; from leadline.stack import lifeline; "
        f"print('up', flush=True); sys.exit(lifeline._watch({os.getpid()}, sys.argv[1:]))"
    )
    with subprocess.Popen([sys.executable, "-c", program, sys.executable, "-c", "raise SystemExit(7)"]) as watcher:
        assert watcher.wait(20) == 7
    child = "import time; print('child', flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", program, sys.executable, "-c", child], stdout=subprocess.PIPE, text=True
    ) as watcher:
        assert watcher.stdout.readline() == "up\n"
        assert watcher.stdout.readline() == "child\n"
        watcher.terminate()
        assert watcher.wait(20) == 128 + signal.SIGTERM

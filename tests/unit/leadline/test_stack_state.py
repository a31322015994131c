import os
import subprocess
import sys

import pytest

from leadline.stack.errors import StackError
from leadline.stack.local import down
from leadline.stack.state import (
    ServiceState,
    only_stack,
    own_state,
    process_started,
    read_state,
    state_file,
    write_state,
)


def test_what_is_written_is_read(tmp_path):
    state = own_state(kafka_bootstrap="127.0.0.1:9092").model_copy(
        update={"services": {"kafka": ServiceState(pid=1, restarts=2, log=tmp_path / "kafka.log")}}
    )
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state


def test_nothing_or_rubbish_is_no_stack(tmp_path):
    assert read_state(tmp_path) is None
    state_file(tmp_path).parent.mkdir()
    state_file(tmp_path).write_text("{")
    assert read_state(tmp_path) is None
    assert down(tmp_path) is False


def test_a_dead_supervisor_is_no_stack(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = process_started(process.pid)
        write_state(tmp_path, own_state().model_copy(update={"pid": process.pid, "started": started}))
        assert read_state(tmp_path) is not None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert read_state(tmp_path) is None, "a zombie does not run"
    assert read_state(tmp_path) is None


def test_a_reused_process_id_is_no_stack(tmp_path):
    write_state(tmp_path, own_state().model_copy(update={"started": "12"}))
    assert read_state(tmp_path) is None


def test_a_second_stack_in_one_home_is_refused(tmp_path):
    with only_stack(tmp_path):
        write_state(tmp_path, own_state())
        with pytest.raises(StackError, match=str(os.getpid())) as caught, only_stack(tmp_path):
            pass
        assert "leadline down" in caught.value.hint
    with only_stack(tmp_path):
        pass

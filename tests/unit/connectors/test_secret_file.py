"""The pseudonym key: one for all, whoever comes first, and for nobody else's eyes."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.secret_file import SecretError, pseudonym_key

PROGRAM = """
import sys
from pathlib import Path
from connectors.secret_file import pseudonym_key
print("ready", flush=True)
sys.stdin.readline()
print(pseudonym_key(None, Path(sys.argv[1])).hex())
"""


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    key = pseudonym_key(None, tmp_path / "home")
    assert len(key) >= 32
    assert pseudonym_key(None, tmp_path / "home") == key
    assert pseudonym_key(None, tmp_path / "other") != key
    (file,) = (tmp_path / "home" / "secrets").iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("pseudonym.key", 0o600)


def test_eight_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 8
    (file,) = (tmp_path / "secrets").iterdir()
    assert keys == {file.read_bytes().hex()}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_setting_comes_first(tmp_path: Path) -> None:
    assert pseudonym_key(SecretStr("sixteen bytes at"), tmp_path) == b"sixteen bytes at"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("short", ["", "x" * 15])
def test_a_short_key_is_refused_without_showing_it(tmp_path: Path, short: str) -> None:
    with pytest.raises(SecretError, match="at least 16 bytes") as raised:
        pseudonym_key(SecretStr(short), tmp_path)
    assert not short or short not in str(raised.value)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "pseudonym.key").write_text(short)
    with pytest.raises(SecretError):
        pseudonym_key(None, tmp_path)


def test_a_mounted_key_needs_no_folder_to_write_to(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "pseudonym.key").write_text("x" * 32)
    before = secrets.stat().st_mtime_ns
    assert pseudonym_key(None, tmp_path) == b"x" * 32
    assert secrets.stat().st_mtime_ns == before

"""The door as Go meets it: clickhouse-go over HTTP, which is in Grafana's data source, in ``tests/conformance/go``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kit.door import sample

MODULE = Path(__file__).parents[1] / "conformance" / "go"
CHECKS = ("types", "parameters", "inserts", "counts", "stream", "errors")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled. Its modules come from the module cache, or from the network."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no `go` in PATH")
    fetched = subprocess.run([go, "mod", "download"], cwd=MODULE, capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"no modules: {fetched.stderr.strip()}")
    built = tmp_path_factory.mktemp("go") / "door"
    subprocess.run([go, "build", "-o", built, "."], cwd=MODULE, check=True)
    return built


@pytest.mark.timeout(300)
def test_clickhouse_go(program: Path, tmp_path: Path) -> None:
    with sample(tmp_path) as (server, admin, analyst):
        command = [program, f"127.0.0.1:{server.port}", admin, analyst]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    ways = ("", ", gzip", ", lz4", ", zstd")
    expected = ["tokens", *(f"{check}{way}" for way in ways for check in CHECKS), "analyst"]
    assert done.stdout.splitlines() == [f"ok {check}" for check in expected], done.stdout + done.stderr
    assert done.returncode == 0

"""The door as Java meets it: clickhouse-jdbc, the driver of DBeaver and Metabase, in ``tests/conformance/jdbc``."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit.door import sample

from leadline.stack.artifacts import install
from leadline.stack.kafka_lock import Artifact

PROGRAM = Path(__file__).parents[1] / "conformance" / "jdbc" / "Door.java"
CHECKS = ("metadata", "types", "parameters", "inserts", "stream", "errors")


@dataclass(frozen=True, slots=True)
class Classified(Artifact):
    """One of an artifact's other jars: coordinate ``group:artifact:jar:classifier:version``."""

    @property
    def path(self) -> Path:
        group, artifact, _, classifier, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}-{classifier}.jar")


JARS = (
    Classified(
        "com.clickhouse:clickhouse-jdbc:jar:all:0.9.8",
        12250391,
        "9dbe9fd70388b67429be7942f53b7984a4b71fd0f2f727f17339f20e27ecf564",
    ),
    Artifact("org.slf4j:slf4j-api:2.0.17", 69908, "7b751d952061954d5abfed7181c1f645d336091b679891591d63329c622eb832"),
    Artifact("org.slf4j:slf4j-nop:2.0.17", 4982, "3716f83649ec66161a2edefd4f49df34d1dd1c51cdcf941996c6987260f0a829"),
)


@pytest.fixture(scope="module")
def java() -> str:
    """A Java that compiles: the stack's own only runs what is compiled."""
    found = shutil.which("java")
    if found is None:
        pytest.skip("there is no `java` in PATH")
    modules = subprocess.run([found, "--list-modules"], capture_output=True, text=True, check=False).stdout
    if "jdk.compiler" not in modules:
        pytest.skip(f"{found} is no JDK: it cannot compile")
    return found


@pytest.mark.timeout(240)
def test_clickhouse_jdbc(java: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    jars = install(JARS, pytestconfig.cache.mkdir("jdbc"))
    with sample(tmp_path) as (server, admin, analyst):
        url = f"jdbc:clickhouse://127.0.0.1:{server.port}/leadline"
        command = [java, "-Xmx256m", "-cp", os.pathsep.join(map(str, jars)), str(PROGRAM), url, admin, analyst]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    expected = ["tokens", *CHECKS, *(f"{check}, uncompressed" for check in CHECKS), "analyst"]
    assert done.stdout.splitlines() == [f"ok {check}" for check in expected], done.stdout + done.stderr
    assert done.returncode == 0

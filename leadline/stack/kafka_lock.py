"""Kafka's runtime artifacts, pinned: ``deploy/local/kafka.lock`` and how it is made.

python -m leadline.stack.kafka_lock 4.2.2 deploy/local/kafka.lock
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leadline.stack.errors import StackError

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64}) +(?P<size>\d+) +(?P<coordinate>[^\s:]+:[^\s:]+:[^\s:]+)")
_RUNTIME_SCOPES = (None, "compile", "runtime")
_LOGGING = ("org.apache.logging.log4j", "log4j-core")
_LOGGING_BINDING = (
    "org.apache.logging.log4j:log4j-slf4j-impl"  # Kafka's jars log through slf4j 1.7 and bring no binding
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One jar: Maven coordinate ``group:artifact:version``, size in bytes, sha256 in hex."""

    coordinate: str
    size: int
    sha256: str

    @property
    def path(self) -> Path:
        """Where a Maven repository keeps it, relative to the repository."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def parse(text: str) -> tuple[Artifact, ...]:
    """The artifacts of a lock file's text, in its order.

    Raises:
        StackError: A line is neither a comment nor ``sha256 size coordinate``.
    """
    artifacts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise StackError(
                f"kafka.lock, line {number}: {line!r} is not `sha256 size coordinate`.",
                "Restore the file, or make it again with `python -m leadline.stack.kafka_lock`.",
            )
        artifacts.append(Artifact(match["coordinate"], int(match["size"]), match["sha256"]))
    return tuple(artifacts)


def render(version: str, artifacts: Iterable[Artifact]) -> str:
    """The lock file's text; `parse` reads it back."""
    head = (
        f"# Apache Kafka {version}: sha256, bytes, coordinate. Made by `python -m leadline.stack.kafka_lock {version}`."
    )
    return "\n".join([head, *(f"{a.sha256} {a.size:>8} {a.coordinate}" for a in artifacts)]) + "\n"


def resolve(version: str) -> tuple[Artifact, ...]:
    """Ask the Maven repository what Kafka needs at run time, download all of it once and hash it."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder))
        kafka = maven.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")
        # The binding is added after the resolution: as a second input its own dependency management would
        # reach Kafka's dependencies and replace their versions.
        inputs, transitive = maven.resolver.resolve([kafka])
        needed = [d.artifact for d in (*inputs, *transitive) if d.scope in _RUNTIME_SCOPES]
        logging = next(a.version for a in needed if (a.groupId, a.artifactId) == _LOGGING)
        needed.append(maven.create_dependency(f"{_LOGGING_BINDING}:{logging}").artifact)
        found = []
        for artifact in needed:
            content = artifact.resolve().read_bytes()
            coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            found.append(Artifact(coordinate, len(content), hashlib.sha256(content).hexdigest()))
        return tuple(sorted(found, key=lambda a: a.coordinate))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the lock file of one Kafka version."""
    parser = argparse.ArgumentParser(prog="python -m leadline.stack.kafka_lock", description=main.__doc__)
    parser.add_argument("version")
    parser.add_argument("lock", type=Path, nargs="?", default=Path("deploy/local/kafka.lock"))
    options = parser.parse_args(arguments)
    options.lock.write_text(render(options.version, resolve(options.version)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

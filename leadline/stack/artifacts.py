"""Kafka's jars on disk, each one verified against the lock file."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from leadline.stack.errors import StackError
from leadline.stack.kafka_lock import Artifact

OnProgress = Callable[[int, int, str], None]
"""Called as ``(done, total, label)``, in bytes, from several threads but one call at a time."""

_DOWNLOADS = 8
_ATTEMPTS = 4
_TIMEOUT_SECONDS = 20


def is_intact(path: Path, artifact: Artifact) -> bool:
    """Whether the file is there with exactly the pinned content."""
    if not path.is_file() or path.stat().st_size != artifact.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256


class _Progress:
    def __init__(self, artifacts: Sequence[Artifact], report: OnProgress | None, cancelled: threading.Event) -> None:
        self._total = sum(a.size for a in artifacts)
        self._done: dict[str, int] = {}
        self._report = report
        self._cancelled = cancelled
        self._lock = threading.Lock()

    def cancel(self) -> None:
        self._cancelled.set()

    def set(self, artifact: Artifact, size: int) -> None:
        if self._cancelled.is_set():
            raise StackError("The download was stopped.", "Run `leadline up` again.")
        with self._lock:
            self._done[artifact.coordinate] = size
            if self._report is not None:
                self._report(sum(self._done.values()), self._total, artifact.path.name)

    @contextmanager
    def follow(self, artifact: Artifact) -> Iterator[Callable[[int], None]]:
        size = 0

        def more(count: int) -> None:
            nonlocal size
            size += count
            self.set(artifact, size)

        yield more


def _download(artifact: Artifact, into: Path, progress: _Progress) -> Path:
    import truststore
    from jgo.maven import MavenContext, PythonResolver

    # The system decides whom to trust, as for every other program: companies have certificate authorities of their own.
    truststore.inject_into_ssl()
    resolver = PythonResolver(progress_callback=lambda _name, _size: progress.follow(artifact))
    maven = MavenContext(repo_cache=into, resolver=resolver, timeout=_TIMEOUT_SECONDS)
    return Path(maven.create_dependency(artifact.coordinate).artifact.resolve())


def _fetch(artifact: Artifact, repository: Path, progress: _Progress) -> Path:
    """Bring one artifact in. It gets its final name only once verified, so a crash leaves no half of a jar."""
    path = repository / artifact.path
    if is_intact(path, artifact):
        progress.set(artifact, artifact.size)
        return path
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        with tempfile.TemporaryDirectory(dir=repository, prefix=".incoming-") as incoming:
            try:
                draft = _download(artifact, Path(incoming), progress)
            except (
                OSError,
                RuntimeError,
            ) as error:  # requests' errors are OSErrors; a non-200 answer is a RuntimeError
                reason = str(error)
                continue
            if is_intact(draft, artifact):
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(draft, path)
                return path
            reason = f"its sha256 is not {artifact.sha256}, the one in kafka.lock"
    raise StackError(
        f"{artifact.coordinate} could not be downloaded: {reason}.",
        "Check the network and run `leadline up` again, or set LEADLINE_KAFKA_BOOTSTRAP to a Kafka you already have.",
    )


def install(
    artifacts: Sequence[Artifact],
    repository: Path,
    on_progress: OnProgress | None = None,
    cancelled: threading.Event | None = None,
) -> list[Path]:
    """Every artifact's path under `repository`, in order; what is missing or damaged is downloaded, eight at a time.

    All of them are hashed on every call: 45 jars take about 30 ms.

    Raises:
        StackError: An artifact cannot be had with the pinned content, or `cancelled` was set.
    """
    repository.mkdir(parents=True, exist_ok=True)
    for leftover in repository.glob(".incoming-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    progress = _Progress(artifacts, on_progress, cancelled or threading.Event())
    with ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="download") as threads:
        futures = [threads.submit(_fetch, artifact, repository, progress) for artifact in artifacts]
        try:
            return [future.result() for future in futures]
        except BaseException:
            progress.cancel()
            threads.shutdown(wait=False, cancel_futures=True)
            raise

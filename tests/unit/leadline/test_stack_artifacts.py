import hashlib
import threading
from pathlib import Path

import pytest

from leadline.stack import artifacts, kafka_lock
from leadline.stack.errors import StackError
from leadline.stack.files import local_file
from leadline.stack.kafka_lock import Artifact

CONTENT = b"a jar"
JAR = Artifact("org.example:tool:1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def downloads(monkeypatch):
    """What the repository answers, one item a download; an exception is raised."""
    answers = []

    def download(artifact, into, progress):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        path = into / artifact.path
        path.parent.mkdir(parents=True)
        path.write_bytes(answer)
        with progress.follow(artifact) as more:
            more(len(answer))
        return path

    monkeypatch.setattr(artifacts, "_download", download)
    monkeypatch.setattr(artifacts.time, "sleep", lambda _seconds: None)
    return answers


def test_a_jar_is_downloaded_once(tmp_path, downloads):
    downloads.append(CONTENT)
    progress = []
    (path,) = artifacts.install([JAR], tmp_path, lambda *call: progress.append(call))
    assert path == tmp_path / "org/example/tool/1.0/tool-1.0.jar"
    assert path.read_bytes() == CONTENT
    assert progress[-1] == (len(CONTENT), len(CONTENT), "tool-1.0.jar")
    assert artifacts.install([JAR], tmp_path) == [path]
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_damaged_jar_is_downloaded_again(tmp_path, downloads):
    path = tmp_path / JAR.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a jaR")
    downloads.append(CONTENT)
    artifacts.install([JAR], tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_wrong_download_is_tried_again_then_refused(tmp_path, downloads):
    downloads.extend([b"wrong", CONTENT])
    artifacts.install([JAR], tmp_path)

    downloads.extend([b"wrong"] * 4)
    other = tmp_path / "other"
    with pytest.raises(StackError, match=rf"org\.example:tool:1\.0.*sha256 is not {JAR.sha256}") as caught:
        artifacts.install([JAR], other)
    assert "LEADLINE_KAFKA_BOOTSTRAP" in caught.value.hint
    assert not (other / JAR.path).exists()


def test_network_failures_are_tried_again(tmp_path, downloads):
    downloads.extend([ConnectionError("reset"), RuntimeError("not found in remote repositories"), CONTENT])
    artifacts.install([JAR], tmp_path)
    downloads.extend([ConnectionError("reset")] * 4)
    with pytest.raises(StackError, match="reset"):
        artifacts.install([JAR], tmp_path / "other")


def test_a_download_can_be_stopped(tmp_path, downloads):
    cancelled = threading.Event()
    cancelled.set()
    downloads.append(CONTENT)
    with pytest.raises(StackError, match="stopped"):
        artifacts.install([JAR], tmp_path, cancelled=cancelled)
    assert not (tmp_path / JAR.path).exists()


def test_the_lock_reads_back_what_it_wrote():
    assert kafka_lock.parse(kafka_lock.render("1.0", [JAR])) == (JAR,)


def test_a_broken_lock_line_is_named():
    with pytest.raises(StackError, match="line 2"):
        kafka_lock.parse("# comment\nabc 1 org.example:tool:1.0\n")


def test_the_committed_lock_holds_one_kafka_and_one_version_of_each_jar():
    locked = kafka_lock.parse(local_file("kafka.lock").read_text())
    names = [a.coordinate.rsplit(":", 1)[0] for a in locked]
    assert len(names) == len(set(names)) > 40
    versions = {a.coordinate.rsplit(":", 1)[1] for a in locked if a.coordinate.startswith("org.apache.kafka:")}
    assert len(versions) == 1
    assert "org.apache.logging.log4j:log4j-slf4j-impl" in names
    assert all(isinstance(a.path, Path) and a.size > 0 for a in locked)

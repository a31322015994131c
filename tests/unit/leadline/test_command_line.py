"""The command without a stack: what it explains, how it fails, and how it behaves in a pipe."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.config_file import ConfigurationError
from connectors.inbound.lead_file import LeadFileError
from connectors.kafka.producer import DeliveryFailedError
from connectors.secret_file import SecretError
from leadline import main as command
from leadline.errors import CommandError
from leadline.stack.errors import StackError
from warehouse.errors import WarehouseError

# In a process of its own the command reads sys.argv too.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

LEAD_ID = "8c7e6d5f-0b1a-4c2d-9e3f-5a6b7c8d9e0f"
COMMANDS = (
    "up", "down", "status", "demo", "send", "generate", "journey", "explain", "replay", "erase", "topics",
    "topics diff", "topics apply",
    "worker", "sink", "intake", "suppression", "suppression import", "suppression list", "suppression check",
    "source", "source key",
    "explain", "simulate", "query", "watch", "warehouse", "warehouse status", "warehouse migrate",
    "warehouse dictionary", "warehouse dashboards", "warehouse settle", "warehouse rebuild",
    "config", "config check", "config show", "config diff", "config schema", "config example",
    "config apply", "config history",
)  # fmt: skip


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Both streams in one line: where they are broken depends on the terminal."""
        return " ".join(f"{self.out} {self.err}".split())


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command in this process, in an empty home."""
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def leadline(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["leadline", *arguments])
        code: object = 0
        try:
            command.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Done(code, captured.out, captured.err)

    return leadline


def started(*arguments: str, home: Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "leadline", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LEADLINE_HOME": str(home)},
    )


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    done = run(*name.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: leadline {name}")
    described = done.out.split("\n\n")[1]
    assert len(described.split()) >= 5


def test_the_first_page_says_where_to_start(run: Run) -> None:
    page = run("--help").words
    for words in ("leadline up", "leadline send FILE", "leadline journey", "leadline demo", "LEADLINE_KAFKA_BOOTSTRAP"):
        assert words in page
    assert {name.split()[0] for name in COMMANDS} <= set(page.split())
    assert run().words == page


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("generate", "leadline send --as-is -"),
        ("send", "- reads standard input"),
        ("up", "leadline down"),
        ("up", "LEADLINE_CLICKHOUSE_URL"),
        ("replay", "2026-11-20T10:00"),
        ("journey", "leadline send"),
        ("topics diff", "exit code 3"),
        ("erase", "--dry-run"),
        ("erase", "4 when nobody is known"),
        ("erase", "leadline suppression"),
    ],
)
def test_help_shows_what_to_type(run: Run, name: str, words: str) -> None:
    assert words.lower() in run(*name.split(), "--help").words.lower()


def test_every_command_of_the_app_is_tested_here(run: Run) -> None:
    page = run("--help").out
    listed = set(re.findall(r"^[│|] (\w+)", page, re.MULTILINE))
    assert listed == {name.split()[0] for name in COMMANDS}


def test_the_version(run: Run) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", run("--version").out.strip())


# Errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "leads.jsonl"),
        ("journey", LEAD_ID),
        ("explain", LEAD_ID),
        ("erase", "--lead", LEAD_ID),
        ("topics", "diff"),
        ("topics", "apply"),
        ("replay", "--from", "2026-01-01"),
        ("worker", "validation"),
        ("sink",),
        ("intake",),
        ("config", "apply"),
        ("config", "history"),
        ("config", "show", "--in-force"),
    ],
)
def test_without_a_stack_the_error_names_the_next_command(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (1, "")
    assert "`leadline up`" in done.words
    assert "LEADLINE_KAFKA_BOOTSTRAP=" in done.words or "LEADLINE_CLICKHOUSE_URL=" in done.words


def test_no_stack_is_no_error_to_ask_about(run: Run) -> None:
    assert (run("down").code, run("status").code) == (0, 0)
    assert "`leadline up`" in run("status").words
    status = json.loads(run("status", "--json").out)
    assert (status["stack"], status["lag_records"], status["problem"]) == (None, {}, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARTITIONS", "x"),
        ("PARTITIONS", "0"),
        ("KAFKA_PORT", "99999"),
        ("LOG_LEVEL", "loud"),
        ("CLICKHOUSE_DATABASE", "a; DROP"),
    ],
)
def test_a_bad_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LEADLINE_{name}", value)
    done = run("status")
    assert (done.code, done.out) == (78, "")
    assert done.err.startswith(f"LEADLINE_{name}: ")


def test_every_bad_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_PARTITIONS", "x")
    monkeypatch.setenv("LEADLINE_INTAKE_PORT", "-1")
    done = run("topics", "diff")
    assert done.code == 78
    assert "LEADLINE_PARTITIONS" in done.err
    assert "LEADLINE_INTAKE_PORT" in done.err


@pytest.mark.parametrize(
    "arguments",
    [("frobnicate",), ("worker", "nope"), ("journey", "no-uuid"), ("send",), ("replay",), ("send", "a", "--form", "x")],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.code not in (0, 78)
    assert "Traceback" not in done.words


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CommandError("file [/red].csv: gone", "type [bold]this"), 1, ["[/red].csv", "type [bold]this"]),
        (StackError("[main] INFO [/x]", "`leadline status`"), 1, ["[main] INFO [/x]", "`leadline status`"]),
        (ConfigurationError("c.yaml [/a]"), 78, ["c.yaml [/a]"]),
        (SecretError("too short"), 78, ["too short"]),
        (WarehouseError("no ClickHouse [/b]"), 1, ["no ClickHouse [/b]"]),
        (LeadFileError("f.csv: --form"), 1, ["--form"]),
        (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), 1, ["Kafka: ", "`leadline status`"]),
        (DeliveryFailedError("timed out [/c]"), 1, ["Kafka: timed out [/c]", "`leadline status`"]),
    ],
)
def test_every_failure_is_a_message_as_it_was_written(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: list[str]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(command, "app", fails)
    done = run()
    assert (done.code, done.out) == (code, "")
    assert all(text in done.words for text in words), done.words


# Generated leads, and pipes


def generated(home: Path, *arguments: str) -> bytes:
    process = started("generate", *arguments, home=home)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in err) == (0, False)
    return out


def test_the_same_seed_gives_the_same_leads(tmp_path: Path) -> None:
    first = generated(tmp_path, "-n", "300", "--seed", "7")
    assert first == generated(tmp_path, "--count", "300", "--seed", "7")
    assert first != generated(tmp_path, "-n", "300", "--seed", "8")
    assert first.count(b"\n") == 300


@pytest.mark.parametrize("count", ["20", "20000"])
def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path, count: str) -> None:
    process = started("generate", "-n", count, home=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    if count != "20":
        assert process.stdout.read(1) == b"{"
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) in (0, 1)
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


def test_help_loads_neither_an_engine_nor_a_driver(tmp_path: Path) -> None:
    program = """
import sys
sys.argv = ["leadline", "--help"]
from leadline.main import main
try:
    main()
except SystemExit:
    pass
heavy = {"faust", "chdb", "clickhouse_connect", "fastapi", "uvicorn", "aiohttp", "pandas"} & set(sys.modules)
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

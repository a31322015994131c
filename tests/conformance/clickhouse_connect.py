"""Run clickhouse-connect's own integration tests against the door of the embedded warehouse, and count.

``python tests/conformance/clickhouse_connect.py --source DIR`` where DIR is a check-out of the client's repository: the
tests come from there, the client from this environment. They want pytest-mock too, and polars, sqlalchemy and alembic
for the files on those; what is not installed is said and left out. Exit code 1 when the share that passes is below
``--least``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path

STARTS_WITHIN = 60.0
# They test what is between a client and a server (proxies, TLS) or the cloud.
APART = ("test_proxy.py", "test_tls.py", "test_jwt_auth.py")
# What they want besides: module, and which tests do.
WANTED = {"pytest_mock": "test_error_handling.py", "polars": "test_polars.py", "alembic": "test_sqlalchemy"}


def main() -> int:
    """Count outcomes by file of tests."""
    parser = argparse.ArgumentParser(description="clickhouse-connect's integration tests against the door")
    parser.add_argument("--source", type=Path, required=True, help="a check-out of the client's repository")
    parser.add_argument("--least", type=float, default=0.0, help="share that must pass, 0 to 1")
    parser.add_argument("--seconds", type=int, default=600, help="how long all of it may take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        outcomes, messages = run(options.source.resolve(), Path(folder), options.seconds)
    total: Counter[str] = Counter()
    for file in sorted(outcomes):
        total += outcomes[file]
        print(f"{file:45} " + " ".join(f"{kind} {count}" for kind, count in sorted(outcomes[file].items())))
    for module in missing():
        print(f"{module} is not installed: without {WANTED[module]}")
    print("\nwhy they fail:")
    for message, count in messages.most_common(60):
        print(f"{count:5} {message}")
    ran = total["passed"] + total["failed"]
    share = total["passed"] / ran if ran else 0.0
    print(f"\n{total['passed']} of {ran} pass: {share:.1%} ({total['skipped']} skipped)")
    return int(share < options.least)


def missing() -> list[str]:
    """The modules that some of the tests want and that are not installed."""
    return [module for module in WANTED if importlib.util.find_spec(module) is None]


def run(source: Path, folder: Path, seconds: int) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """Outcomes by file, and the reasons of failures, of a run against a door of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    ready = folder / "ready"
    door = subprocess.Popen(
        [sys.executable, "-m", "warehouse.embedded", "--path", str(folder / "db"), "--port", str(port)],
        env=os.environ | {"LEADLINE_READY_FILE": str(ready), "LEADLINE_LOG_LEVEL": "ERROR"},
    )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not ready.exists():
            if door.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("error: the door does not start")
            time.sleep(0.05)
        # Without the client that lies beside them, which is not built.
        shutil.copytree(source / "tests", folder / "client" / "tests")
        shutil.copy(source / "pyproject.toml", folder / "client")
        tests(folder / "client", folder / "report.xml", port, seconds)
        return counted(folder / "report.xml")
    finally:
        door.terminate()
        door.wait(timeout=30)


def tests(source: Path, report: Path, port: int, seconds: int) -> None:
    """Run the client's tests; they end after so many seconds, and what ran is in the report."""
    # One by one: a folder's own conftest may want what is not installed here.
    folder = source / "tests" / "integration_tests"
    apart = {*APART, *(WANTED[module] for module in missing())}
    files = [str(file) for file in sorted(folder.glob("test_*")) if file.name not in apart]
    command = [sys.executable, "-m", "pytest", *files, "-q", "--continue-on-collection-errors"]
    command += ["-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", "--timeout", "60", "--tb", "line"]
    command += ["--no-header", f"--junit-xml={report}"]
    environment = os.environ | {
        "CLICKHOUSE_CONNECT_TEST_HOST": "127.0.0.1",
        "CLICKHOUSE_CONNECT_TEST_PORT": str(port),
        "PYTHONPATH": os.pathsep.join((str(source), os.environ.get("PYTHONPATH", ""))),
    }
    running = subprocess.Popen(command, cwd=source, env=environment, stdout=subprocess.DEVNULL)
    try:
        running.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        running.send_signal(2)
        running.wait(timeout=60)


def counted(report: Path) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """Outcomes by file and reasons, from JUnit's XML."""
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    messages: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        parts = [*case.get("classname", "").split("."), case.get("name", "")]
        file = next((part for part in reversed(parts) if part.startswith("test_")), parts[0])
        module = next((part for part in parts[2:] if part.startswith("test_") and part != "test_sqlalchemy"), file)
        kinds = {child.tag: child for child in case if child.tag in ("failure", "error", "skipped")}
        if "skipped" in kinds:
            outcomes[module]["skipped"] += 1
        elif kinds:
            outcomes[module]["failed"] += 1
            text = next(iter(kinds.values())).get("message") or ""
            messages[
                f"{module}: {re.sub(r'[0-9a-f]{6,}|[0-9]{3,}', '#', text.splitlines()[0] if text else '')[:150]}"
            ] += 1
        else:
            outcomes[module]["passed"] += 1
    return outcomes, messages


if __name__ == "__main__":
    sys.exit(main())

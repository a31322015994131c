"""What keeps the repository as it is meant to be: its names, its layers, its wheel and what its pages promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

from leadline.main import app
from schemas.topics import BY_NAME, CATALOGUE, Cleanup, Key
from streams.stage import Stage
from streams.topology import PIPELINE, STAGES, all_topics

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "connectors", "streams", "warehouse", "leadline")
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "managers", "misc", "core", "shared"}
PURE = (
    "schemas.codec",
    "schemas.events",
    "schemas.config.release",
    "schemas.topics",
    "connectors.outbound.contract",
    "warehouse.sinking.tables",
    "warehouse.tables.statement",
    "streams.topology",
    "streams.execution",
    "streams.validation.stage",
    "streams.dedup.stage",
    "streams.routing.stage",
    "streams.delivery.stage",
    "streams.delivery.ledger",
)
ENGINES = (
    "faust",
    "mode",
    "aiokafka",
    "confluent_kafka",
    "aiohttp",
    "clickhouse_connect",
    "chdb",
    "uvicorn",
    "fastapi",
)


def tracked() -> list[Path]:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    return [REPOSITORY / name for name in listed.decode().split("\0") if name and (REPOSITORY / name).is_file()]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


# Names


def test_nobody_else_owns_a_name_of_ours() -> None:
    """The packages are top-level: another distribution with one of these names would shadow it or be shadowed."""
    owners = metadata.packages_distributions()
    assert {name: set(owners.get(name, ())) - {"leadline"} for name in PACKAGES} == {name: set() for name in PACKAGES}
    for entry in map(Path, sys.path):
        if entry.name == "site-packages":
            ours = [place for name in PACKAGES for place in (entry / name / "__init__.py", entry / f"{name}.py")]
            assert not [place for place in ours if place.exists()]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_modules_name_says_what_it_is(path: Path) -> None:
    names = path.relative_to(REPOSITORY).with_suffix("").parts
    assert not EMPTY_NAMES & set(names)
    if names[-1] not in ("__init__", "__main__"):
        assert names[-1] not in sys.stdlib_module_names
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed_and_empty_at_the_top(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").is_file()
    # An import of one module must not load its neighbours.
    for path in (REPOSITORY / package).rglob("__init__.py"):
        imports = re.findall(r"^\s*(?:from|import)\s.*", path.read_text(), re.MULTILINE)
        assert not imports, path
    for folder in {path.parent for path in (REPOSITORY / package).rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder


def test_no_file_names_a_machine_or_a_registry() -> None:
    hosts = "|".join(
        (r"pypi\.org", r"pythonhosted\.org", r"repo1?\.maven", r"maven\.org", r"maven\.apache\.org/maven2")
    )
    folders = "|".join((r"/work/", r"/home/[a-z]", r"/Users/[A-Za-z]", re.escape(str(REPOSITORY))))
    found = {}
    for path in tracked():
        if path.name == "uv.lock" or path.name.endswith(".py.lock") or path == Path(__file__):
            continue
        if hits := re.findall(f"{hosts}|{folders}", path.read_bytes().decode("utf-8", "replace")):
            found[str(path.relative_to(REPOSITORY))] = hits
    assert not found


# Layers


@pytest.mark.parametrize("module", PURE)
def test_what_is_pure_loads_no_engine(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({set(ENGINES)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.split() == []


# Topology


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda stage: stage.name)
def test_a_stage_reads_and_writes_the_catalogue(stage: Stage[object]) -> None:
    assert set(stage.reads) | set(stage.writes) <= set(CATALOGUE)
    # One partition number is one lane with its own tables, so all that a stage reads is partitioned alike.
    assert {spec.single for spec in stage.reads} == {False}
    if stage.tables and stage.name != "validation":  # which counts a partition's own share of a source's cap
        # A key set of dedup has its own entries in the tables, whose key is its fingerprint, as the topic's is.
        assert len({spec.key for spec in stage.reads} - {Key.FINGERPRINT}) == 1
        assert Key.ANY not in {spec.key for spec in stage.reads}
    assert len({spec.name for spec in stage.tables}) == len(stage.tables)


def test_the_pipeline_is_closed() -> None:
    assert list(STAGES) == [stage.name for stage in PIPELINE]
    readers = [spec.name for stage in PIPELINE for spec in stage.reads]
    assert len(readers) == len(set(readers)), "two stages read one topic"
    writes = {spec for stage in PIPELINE for spec in stage.writes}
    from_outside = {"leads", "feedback", "config", "dead-letters"}
    assert {spec.name for spec in writes} == set(BY_NAME) - from_outside
    read = {spec for stage in PIPELINE for spec in stage.reads}
    assert read <= writes | {BY_NAME["leads"], BY_NAME["feedback"]}


def test_every_topic_has_one_name_and_changelogs_are_kept() -> None:
    topics = all_topics()
    assert len({spec.name for spec in topics}) == len(topics)
    assert all(re.fullmatch(r"[a-z][a-z0-9.-]{0,200}", spec.name) for spec in topics)
    changelogs = topics[len(CATALOGUE) :]
    assert {(spec.cleanup, spec.retention_days, spec.single) for spec in changelogs} == {(Cleanup.COMPACT, None, False)}
    stages = [stage.name for stage in PIPELINE]
    assert [spec.name for spec in changelogs] == [f"leadline-{name}-changelog" for name in stages]


# Pages

PAGES = sorted(REPOSITORY.glob("*.md")) + sorted((REPOSITORY / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_promises_only_what_is_there(page: Path) -> None:
    text = page.read_text()
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```|`([^`\n]+)`", text, re.DOTALL)
    code = "\n".join(block or span for block, span in blocks)
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|[;&|]\s*)make ([a-z0-9-]+)", code, re.MULTILINE)) <= targets
    commands = {name for name in app if not name.startswith("-")}
    named = re.findall(r"(?:^|[;&|(]\s*)(?:uv run |python -m |\.venv/bin/)?leadline ([a-z]+)", code, re.MULTILINE)
    assert set(named) <= commands
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert "://" in target or (page.parent / target).exists(), target


def test_make_lists_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    listed = set(re.sub(r"\x1b\[\d*m", "", done.stdout).split())
    assert {"setup", "up", "down", "demo", "test", "lint", "types", "unit", "integration", "e2e"} <= listed


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    uv = os.environ.get("UV") or shutil.which("uv", path=f"{os.environ['PATH']}:{REPOSITORY / '.tools' / 'bin'}")
    if uv is None:
        pytest.skip("uv builds the wheel, and is neither on the path nor in .tools")
    folder = tmp_path_factory.mktemp("wheel")
    command = [uv, "build", "--wheel", "--quiet", "--out-dir", str(folder), str(REPOSITORY)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_packages_and_their_data(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(REPOSITORY)) in names
    local = {f"leadline/local/{path.name}" for path in (REPOSITORY / "deploy" / "local").iterdir()}
    assert local <= names
    assert any(name.endswith("LICENSE") for name in names)


def test_the_installed_wheel_runs_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """With the dependencies of this environment, but nothing of the checkout on the path."""
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site = Path(found.stdout.strip())
    ZipFile(wheel).extractall(site)  # a pure wheel is installed by unpacking it
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    program = """
import leadline.main, schemas.codec, warehouse.migrate, streams.topology
from pathlib import Path
from leadline.stack.files import local_file
files = [local_file(name) for name in ("kafka.lock", "config.yaml", "sandbox.yaml", "server.properties")]
schemas.codec.warm_up()
assert warehouse.migrate.migrations()
print(*{str(Path(module.__file__).parents[1]) for module in (leadline.main, schemas.codec, warehouse.migrate)})
print(*{str(file.parent) for file in files})
"""
    done = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(site), str(site / "leadline" / "local")]
    for command in ("--version", "--help"):
        ran = subprocess.run(
            [python, "-m", "leadline", command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert metadata.version("leadline") in ran.stdout or "Usage: leadline" in ran.stdout

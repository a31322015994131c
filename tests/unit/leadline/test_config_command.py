"""`leadline config`: what is printed, and the exit codes that scripts go by."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from leadline import main as command
from schemas.config.release import IDENTITY, Configuration

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

CONFIG = Path(__file__).parents[3] / "deploy" / "config"
MINIMAL = (CONFIG / "minimal.yaml").read_text()


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command in this process, in an empty folder that has minimal.yaml."""
    for name in ("LEADLINE_CONFIG", "LEADLINE_SANDBOX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minimal.yaml").write_text(MINIMAL)

    def leadline(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["leadline", "config", *arguments])
        code: object = 0
        try:
            command.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Done(code, captured.out, captured.err)

    return leadline


def changed(*replacements: tuple[str, str]) -> str:
    """minimal.yaml with something else in it; the new file's name."""
    text = MINIMAL
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after)
    Path("changed.yaml").write_text(text)
    return "changed.yaml"


# Help


@pytest.mark.parametrize("name", ["check", "show", "diff", "schema", "example"])
def test_help_teaches_by_an_example(run: Run, name: str) -> None:
    page = " ".join(run(name, "--help").out.split())
    assert page.startswith(f"Usage: leadline config {name}")
    assert re.search(rf"For example `?leadline config {name}", page)


def test_the_first_page_says_where_to_start(run: Run) -> None:
    page = " ".join(run("--help").out.split())
    assert "leadline config example > config.yaml" in page
    assert "leadline config apply config.yaml" in page


# check


def test_check_passes_what_can_be_used(run: Run) -> None:
    done = run("check", "minimal.yaml")
    assert (done.code, done.err) == (0, "")
    summary = r"minimal\.yaml: 1 vertical, 1 buyer, 1 campaign; release [0-9a-f]{16}; no warnings"
    assert re.fullmatch(summary, done.out.splitlines()[-1])
    assert run("check", "--strict", "minimal.yaml").code == 0


def test_check_tells_every_fault_a_line_each(run: Run) -> None:
    done = run("check", changed(("[AZ, CA, NV]", "[AZ, ca]"), ("price", "prise")))
    assert (done.code, done.out) == (1, "")
    first, *faults = done.err.splitlines()
    assert first == "changed.yaml has 2 faults:"
    assert [fault.strip().split(": ")[0] for fault in faults] == ["changed.yaml:19:18", "changed.yaml:20:5"]
    assert "(did you mean price?)" in faults[1]


def test_check_warns_and_is_strict_on_demand(run: Run) -> None:
    name = changed(("https:", "http:"))
    done = run("check", name)
    assert done.code == 0
    assert (
        "changed.yaml:21:5: warning campaign.plain_http: campaign sunpath-west: leads go to buyer.example" in done.out
    )
    assert done.out.endswith("1 warning\n")
    assert run("check", "--strict", name).code == 1


def test_check_as_json(run: Run) -> None:
    fault = json.loads(run("check", "--json", changed(("price", "prise"))).out)["errors"][0]
    assert fault == {
        "file": "changed.yaml",
        "line": 20,
        "column": 5,
        "field": 'campaigns[0] "sunpath-west".prise',
        "message": "unknown setting",
        "hint": "did you mean price?",
    }
    document = json.loads(run("check", "--json", changed(("https:", "http:"))).out)
    assert (document["errors"], len(document["release"])) == ([], 16)
    finding = document["findings"][0]
    assert (finding["code"], finding["severity"], finding["line"]) == ("campaign.plain_http", "warning", 21)


def test_check_of_what_is_not_there(run: Run) -> None:
    done = run("check", "none.yaml")
    assert (done.code, "none.yaml: No such file" in done.err) == (1, True)
    assert json.loads(run("check", "none.yaml", "--json").out)["errors"][0]["message"].startswith("none.yaml")


def test_check_takes_what_is_in_force(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "17 campaigns" in run("check").out  # the demonstration's, before its stack runs
    monkeypatch.setenv("LEADLINE_CONFIG", "minimal.yaml")
    assert "1 campaign;" in run("check").out


# show


def test_show_is_a_configuration_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICE", "46")
    shown = run("show", changed(("45.00", "${PRICE}"))).out
    release = re.match(r"# release ([0-9a-f]{16})\n", shown)
    assert release is not None
    assert yaml.safe_load(shown)["campaigns"][0]["price"] == "46.0000"
    Path("shown.yaml").write_text(shown)
    assert release[1] in run("check", "shown.yaml").out


@pytest.mark.parametrize("name", ["minimal", "reference"])
def test_show_loses_nothing(run: Run, name: str) -> None:
    Path("shown.yaml").write_text(run("show", str(CONFIG / f"{name}.yaml")).out)
    assert run("diff", str(CONFIG / f"{name}.yaml"), "shown.yaml").code == 0


def test_show_of_a_kind_and_of_one(run: Run) -> None:
    assert list(yaml.safe_load(run("show", "minimal.yaml", "buyers").out)) == ["buyers"]
    document = json.loads(run("show", "minimal.yaml", "campaigns", "sunpath-west", "--json").out)
    assert [campaign["id"] for campaign in document["campaigns"]] == ["sunpath-west"]
    assert len(document["release"]) == 16
    done = run("show", "minimal.yaml", "campaigns", "sunpath-east")
    assert (done.code, "Known campaigns: sunpath-west." in done.err) == (1, True)


def test_show_of_what_cannot_be_used(run: Run) -> None:
    assert run("show", changed(("solar", "Solar"))).code == 78


def test_every_kind_can_be_shown() -> None:
    assert tuple(IDENTITY) == tuple(Configuration.model_fields)


# diff


def test_diff_of_the_same_is_0(run: Run) -> None:
    Path("folder").mkdir()
    for kind, entities in yaml.safe_load(MINIMAL).items():
        Path("folder", f"{kind}.yaml").write_text(yaml.safe_dump(entities))
    done = run("diff", "minimal.yaml", "folder")
    assert done.code == 0
    assert done.out.startswith("No difference: both are release ")
    assert json.loads(run("diff", "--json", "minimal.yaml", "folder").out)["changes"] == []


def test_diff_shows_fields_before_and_after(run: Run) -> None:
    new = changed(("45.00", "46.5"), ("NV]", "TX, UT]"), ("Sunpath Energy", "Sunpath\n  - {id: aurora, name: Aurora}"))
    done = run("diff", "minimal.yaml", new)
    assert done.code == 1
    assert done.out.splitlines()[1:] == [
        "added buyer aurora",
        "changed buyer sunpath",
        "  name: Sunpath Energy → Sunpath",
        "changed campaign sunpath-west",
        "  states: +TX +UT -NV",
        "  price: 45.0000 → 46.5000",
    ]


def test_diff_as_json(run: Run) -> None:
    done = run("diff", "--json", "minimal.yaml", changed(("price:", "status: paused\n    price:")))
    assert done.code == 1
    document = json.loads(done.out)
    (change,) = document["changes"]
    assert (change["kind"], change["id"], change["change"]) == ("campaigns", "sunpath-west", "changed")
    assert change["fields"] == [{"field": "status", "after": "paused"}]
    assert change["hash"]["before"] != change["hash"]["after"]
    assert document["release"]["before"] != document["release"]["after"]


def test_diff_with_what_is_in_force_needs_a_cluster(run: Run) -> None:
    for arguments in ((), ("minimal.yaml",), ("0123456789abcdef", "minimal.yaml")):
        done = run("diff", *arguments)
        assert (done.code, done.out) == (2, "")
        assert "`leadline up`" in done.err


def test_diff_of_what_cannot_be_used_is_2(run: Run) -> None:
    done = run("diff", "minimal.yaml", "none.yaml")
    assert (done.code, done.out) == (2, "")
    assert "none.yaml" in done.err


# schema and example


def test_the_schema_stands_where_the_first_line_says(run: Run) -> None:
    assert MINIMAL.splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    assert run("schema", "--output", "schema.json").code == 0
    assert json.loads(Path("schema.json").read_text()) == json.loads(run("schema").out)


def test_an_example_is_a_start(run: Run) -> None:
    assert run("example").out == MINIMAL
    Path("config.yaml").write_text(run("example", "reference").out)
    assert run("check", "--strict", "config.yaml").code == 0

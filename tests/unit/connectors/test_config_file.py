"""The configuration file: every fault at once, each with its place, and no secret in any message."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.config_file import ConfigurationError, load_configuration

GOOD = """
verticals: [{name: solar}]
buyers: [{id: sunpath, name: Sunpath Energy}]
campaigns:
  - id: west
    buyer: sunpath
    vertical: solar
    states: [CA, NV]
    price: "${PRICE}"
    caps: [{window: day, limit: "${CAP}"}]
    delivery: {url: "${BASE}/leads?token=${TOKEN}"}
# ${IN_A_COMMENT} is no variable
"""
ENVIRONMENT = {"PRICE": "12.5", "CAP": "7", "BASE": "https://buyer.example", "TOKEN": "hunter2"}


def fault(tmp_path: Path, content: str | bytes, **environment: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(path, environment)
    message = str(raised.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_variables_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(GOOD)
    configuration = load_configuration(tmp_path / "c.yaml", ENVIRONMENT)
    (campaign,) = configuration.campaigns
    assert campaign.delivery.url == "https://buyer.example/leads?token=hunter2"
    assert (str(campaign.price), campaign.caps[0].limit) == ("12.5000", 7)


def test_a_value_is_text_and_never_structure(tmp_path: Path) -> None:
    sly = ENVIRONMENT | {"TOKEN": '"}, x: ${PRICE} # \n- !!python/object'}
    (tmp_path / "c.yaml").write_text(GOOD)
    (campaign,) = load_configuration(tmp_path / "c.yaml", sly).campaigns
    assert campaign.delivery.url.endswith(sly["TOKEN"])


def test_every_missing_variable_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    lines = fault(tmp_path, GOOD, BASE="https://buyer.example", CAP="1").splitlines()
    assert lines == [
        " has 2 faults:",
        f'  {path}:9:12: campaigns[0] "west".price: set PRICE in the environment',
        f'  {path}:11:21: campaigns[0] "west".delivery.url: set TOKEN in the environment',
    ]


def test_every_fault_stands_with_its_place(tmp_path: Path) -> None:
    message = fault(
        tmp_path,
        """
verticals: [{name: Solar}]
buyers: [{id: sunpath, name: Sunpath, colour: red}]
campaigns:
  - {id: a, buyer: sunpath, vertical: solar, states: [Georgia], delivery: {url: "ftp://x", timeout_seconds: 0}}
  - {id: b, buyer: sunpath, vertical: solar, states: [CA], time_zone: Mars, }
""",
    )
    lines = message.splitlines()
    assert lines[0] == " has 9 faults:"
    start = f"  {tmp_path / 'config.yaml'}:"
    assert [line.removeprefix(start).split(": ")[:2] for line in lines[1:]] == [
        ["2:14", 'verticals[0] "Solar".name'],
        ["3:40", 'buyers[0] "sunpath".colour'],
        ["5:29", 'campaigns[0] "a".vertical'],
        ["5:54", 'campaigns[0] "a".states[0]'],
        ["5:75", 'campaigns[0] "a".delivery.url'],
        ["5:91", 'campaigns[0] "a".delivery.timeout_seconds'],
        ["6:5", 'campaigns[1] "b".delivery'],
        ["6:29", 'campaigns[1] "b".vertical'],
        ["6:60", 'campaigns[1] "b".time_zone'],
    ] or lines


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("buyer: sunpath", "buyer: nobody"), "no buyer 'nobody' is configured"),
        (("vertical: solar", "vertical: roofing"), "no vertical 'roofing' is configured"),
        (("[{name: solar}]", "[{name: solar}, {name: solar}]"), "vertical named twice: solar, first at "),
    ],
)
def test_what_does_not_fit_together(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert words in fault(tmp_path, GOOD.replace(*change), **ENVIRONMENT)


@pytest.mark.parametrize(
    "content",
    [
        "verticals: [",
        "a: b: c",
        "\tverticals: []",
        "a: 2026-13-45",
        "a: \x00",
        "? [a]\n: b",
        "!!python/object/apply:os.system [ls]",
        "[" * 3000,
        b"a: \xff\xfe",
        "",
        "[]",
        "solar",
        "{}",
    ],
)
def test_no_configuration_at_all(tmp_path: Path, content: str | bytes) -> None:
    assert fault(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("campaigns:", "campaigns: ["),
        GOOD.replace("id: west", "id: ${TOKEN} X"),
        GOOD.replace("url:", "timeout_seconds: ${TOKEN}, url:"),
        GOOD.replace("https", "ftp").replace("${BASE}", "ftp:"),
        GOOD.replace('"${PRICE}"', '"${TOKEN}"'),
    ],
)
def test_no_message_shows_a_variable(tmp_path: Path, content: str) -> None:
    assert "hunter2" not in fault(tmp_path, content, **ENVIRONMENT)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(ConfigurationError, match=r"set LEADLINE_CONFIG"):
            load_configuration(path, {})

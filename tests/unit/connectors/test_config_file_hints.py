"""A fault in the configuration says what to write instead, and never more than one fault hides behind another."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.config_file import ConfigurationError, Fault, load

CAMPAIGN = """
  - id: west
    buyer: sunpath
    vertical: solar
    states: [CA]
    price: 12.50
    delivery: {url: https://buyer.example/leads}
"""
GOOD = f"""
verticals: [{{name: solar}}]
buyers: [{{id: sunpath, name: Sunpath}}]
campaigns:{CAMPAIGN}"""


def faults(tmp_path: Path, text: str, **environment: str) -> tuple[Fault, ...]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load(file, environment)
    assert raised.value.faults == tuple(sorted(raised.value.faults))
    return raised.value.faults


@pytest.mark.parametrize(
    ("written", "instead", "field", "hint"),
    [
        ("price: 12.50", "prise: 12.50", 'campaigns[0] "west".prise', "did you mean price?"),
        ("buyer: sunpath", "buyer: sunpth", 'campaigns[0] "west".buyer', "did you mean sunpath?"),
        ("vertical: solar", "vertical: hvac", 'campaigns[0] "west".vertical', "known: solar"),
        ("id: west", "id: West Coast", 'campaigns[0] "West Coast".id', "did you mean west-coast?"),
        ("[CA]", "[CA, ca]", 'campaigns[0] "west".states[1]', "did you mean CA?"),
        ("[CA]", "[California]", 'campaigns[0] "west".states[0]', "two capital letters, such as CA"),
        ("[CA]", "[ON]", 'campaigns[0] "west".states[0]', 'write "ON" with quotes'),
        ("https:", "htps:", 'campaigns[0] "west".delivery.url', "such as https://buyer.example/leads"),
        ("{url", "{timeout: 3, url", 'campaigns[0] "west".delivery.timeout', "did you mean timeout_seconds?"),
        ("{url", "{kind: direct-post, url", 'campaigns[0] "west".delivery.kind', "did you mean direct_post?"),
        ("price:", "time_zone: america/new_york\n    price:", 'campaigns[0] "west".time_zone', "America/New_York?"),
        ("campaigns:", "campains: []\ncampaigns:", "campains", "did you mean campaigns?"),
        ("price:", "price: 1\n    price:", "price", "keep one"),
        (
            "price:",
            "filters: [{name: a, requires: x}]\n    price:",
            'campaigns[0] "west".filters[0].requires',
            "require?",
        ),
        (
            "price:",
            "schedule: {open: [{form: '09:00'}]}\n    price:",
            'campaigns[0] "west".schedule.open[0].form',
            "from?",
        ),
    ],
)
def test_a_fault_has_a_hint(tmp_path: Path, written: str, instead: str, field: str, hint: str) -> None:
    assert written in GOOD
    found = {fault.field: fault.hint for fault in faults(tmp_path, GOOD.replace(written, instead, 1))}
    assert hint in found[field]


def test_a_fault_stands_at_its_line_and_column(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("[CA]", "\n      - CA\n      - Nevada"))
    assert (fault.place.file.name, fault.place.line, fault.place.column) == ("config.yaml", 10, 9)
    assert str(fault).startswith(f'{tmp_path}/config.yaml:10:9: campaigns[0] "west".states[1]: should match pattern')


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: [1,\nb: 2\n", 3, 1, "flow sequence"),
        ("verticals: []\n\tbuyers: []\n", 2, 1, "'\\t'"),
        ("verticals: []\nbuyers: \x07\n", 2, 9, "special characters"),
        ("verticals: []\n---\nbuyers: []\n", 2, 1, "another document"),
        ("verticals: !!python/name:os.system []\n", 1, 12, "python/name"),
        ("verticals: *solar\n", 1, 12, "undefined alias"),
        ("verticals: &a [*a]\n", 1, 12, "contains itself"),
        ("solar\n", 1, 1, "a mapping is expected"),
        ("# nothing\n", 1, 1, "nothing is written here"),
        ("verticals: {name: solar}\n", 1, 12, "a list of verticals is expected, not a mapping"),
    ],
)
def test_what_is_no_configuration_has_a_place(tmp_path: Path, text: str, line: int, column: int, words: str) -> None:
    fault = next(fault for fault in faults(tmp_path, text) if words in fault.message)
    assert (fault.place.line, fault.place.column) == (line, column)


def test_a_repeated_key_is_found_anywhere(tmp_path: Path) -> None:
    text = GOOD.replace("{url", "{idempotent: true, idempotent: false, url") + "buyers: []\n"
    messages = [fault.message for fault in faults(tmp_path, text)]
    assert messages == ["written twice, first in line 10", "written twice, first in line 3", *messages[2:]]


def test_a_merged_key_may_be_written_again(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    twin = "  - {<<: *west, id: east, states: [NY]}\n"
    file.write_text(GOOD.replace("- id: west", "- &west\n    id: west") + twin)
    east = load(file, {}).configuration.campaign_by_id["east"]
    assert (sorted(east.states), str(east.price)) == (["NY"], "12.5000")


def test_faults_between_entities_are_told_with_their_own(tmp_path: Path) -> None:
    text = GOOD.replace("12.50", "free").replace("buyer: sunpath", "buyer: nobody") + CAMPAIGN.lstrip("\n")
    assert [(fault.place.line, fault.field) for fault in faults(tmp_path, text)] == [
        (6, 'campaigns[0] "west".buyer'),
        (9, 'campaigns[0] "west".price'),
        (11, 'campaigns[1] "west".id'),
    ]


def test_a_hint_never_shows_a_variable(tmp_path: Path) -> None:
    text = GOOD.replace("buyer: sunpath", "buyer: ${SECRET}").replace("[CA]", "['${STATE}']")
    found = faults(tmp_path, text, SECRET="Sunpath-hunter2", STATE="hunter2")
    assert [fault.field for fault in found] == ['campaigns[0] "west".buyer', 'campaigns[0] "west".states[0]']
    assert not any("hunter2" in str(fault) for fault in found)
    (unknown,) = faults(tmp_path, text.replace("['${STATE}']", "[CA]"), SECRET="hunter2")
    assert unknown.message == "no buyer '${SECRET}' is configured"

"""A configuration in a folder: a file per kind, or a file per entity."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.config_file import ConfigurationError, load

WEST = "id: west\nbuyer: sunpath\nvertical: solar\nstates: [CA]\nprice: 5\ndelivery: {url: https://b.example}\n"
EAST = WEST.replace("west", "east").replace("CA", "NY")


def as_list(*entities: str) -> str:
    return "".join("- " + entity.strip().replace("\n", "\n  ") + "\n" for entity in entities)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with a list, a mapping of one key, and a folder with a file for each entity."""
    folder = tmp_path / "config"
    (folder / "campaigns").mkdir(parents=True)
    (folder / "verticals.yaml").write_text("- {name: solar}\n")
    (folder / "buyers.yml").write_text("buyers:\n  - {id: sunpath, name: Sunpath}\n")
    (folder / "campaigns" / "west.yaml").write_text(WEST)
    (folder / "campaigns" / "east.yaml").write_text(EAST)
    return folder


def fault(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, {})
    (found,) = raised.value.faults
    return str(found).replace(f"{folder}/", "")


def test_one_file_and_a_folder_are_one_release(folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "config.yaml"
    rest = "verticals: [{name: solar}]\nbuyers: [{id: sunpath, name: Sunpath}]\n"
    whole.write_text(rest + "campaigns:\n" + as_list(WEST, EAST))
    assert load(folder, {}).configuration.release == load(whole, {}).configuration.release


def test_what_is_no_yaml_is_left_alone(folder: Path) -> None:
    release = load(folder, {}).configuration.release
    (folder / "README.md").write_text("# Ours")
    (folder / "..data").mkdir()
    (folder / "..data" / "campaigns.yaml").write_text("[")
    (folder / ".campaigns.yaml.swp").write_text("[")
    (folder / "lists").mkdir()
    (folder / "lists" / "do-not-contact.csv").write_text("phone\n")
    assert load(folder, {}).configuration.release == release


def test_a_fault_is_told_in_its_file(folder: Path) -> None:
    (folder / "campaigns" / "west.yaml").write_text(WEST.replace("CA", "ca"))
    assert fault(folder).startswith('campaigns/west.yaml:4:10: campaign "west".states[0]: should match pattern')
    (folder / "campaigns" / "west.yaml").unlink()
    (folder / "campaigns.yaml").write_text(as_list(WEST.replace("west", "north"), WEST.replace("price", "prise")))
    assert fault(folder) == 'campaigns.yaml:11:3: campaigns[1] "west".prise: unknown setting (did you mean price?)'


def test_a_duplicate_names_both_places(folder: Path) -> None:
    (folder / "campaigns.yaml").write_text(as_list(WEST))
    message = fault(folder)
    assert "campaign named twice: west, first at " in message
    assert "campaigns/west.yaml:1:1" in message
    assert "campaigns.yaml:1:3" in message


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "campagnes.yaml",
            "[]",
            "campagnes.yaml:1:1: no kind of entity is called 'campagnes' (did you mean campaigns.yaml?)",
        ),
        ("campagnes/a.yaml", "{}", "(did you mean campaigns/?)"),
        ("config.yaml", "{}", "(known: verticals.yaml, "),
        (
            "campaigns.yaml",
            "{verticals: []}",
            "a list of campaigns is expected, or a mapping with the one key campaigns",
        ),
        ("campaigns.yaml", "west", "a list of campaigns is expected, not a single value"),
        (
            "campaigns/north.yaml",
            "[]",
            "one campaign is expected, a mapping, not a list (a list goes into campaigns.yaml)",
        ),
        ("campaigns/north.yaml", "", "campaigns/north.yaml:1:1: nothing is written here"),
        ("campaigns/north.yaml", "a: [", "campaigns/north.yaml:1:5: not YAML"),
    ],
)
def test_a_file_in_the_wrong_place(folder: Path, name: str, text: str, words: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    assert words in fault(folder)


def test_every_file_is_read_before_the_faults_are_told(folder: Path) -> None:
    (folder / "verticals.yaml").write_text("- {name: [")
    (folder / "campaigns" / "east.yaml").write_text(EAST.replace("price", "prise"))
    (folder / "campaigns" / "west.yaml").write_text(WEST.replace("states", "stats").replace("vertical: solar\n", ""))
    (folder / "buyers.yml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError) as raised:
        load(folder, {})
    assert [(f.place.file.name, f.message.split(":")[0]) for f in raised.value.faults] == [
        ("buyers.yml", "not UTF-8 at byte 1"),
        ("east.yaml", "unknown setting"),
        ("west.yaml", "this setting is missing"),
        ("west.yaml", "unknown setting"),
        ("verticals.yaml", "not YAML"),
    ]


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no YAML file .* set LEADLINE_CONFIG"):
        load(tmp_path, {})


def test_where_a_field_is_written(folder: Path) -> None:
    loaded = load(folder, {})
    assert str(loaded.place_of("campaigns", "east", "price")) == f"{folder}/campaigns/east.yaml:5:1"
    assert str(loaded.place_of("campaigns", "east", "caps")) == f"{folder}/campaigns/east.yaml:1:1"

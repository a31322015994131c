"""The configurations that are shipped: the smallest one works, and the reference has every setting there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from connectors.config_file import load
from schemas.config.lint import Severity, lint
from schemas.config.release import Configuration

CONFIG = Path(__file__).parents[3] / "deploy" / "config"


@pytest.mark.parametrize("name", ["minimal", "reference"])
def test_it_is_sound(name: str) -> None:
    findings = lint(load(CONFIG / f"{name}.yaml", {}).configuration)
    assert [finding for finding in findings if finding.severity is Severity.WARNING] == []


def test_the_minimal_one_cannot_be_smaller() -> None:
    configuration = load(CONFIG / "minimal.yaml", {}).configuration
    (campaign,) = configuration.campaigns
    required = {name for name, info in type(campaign).model_fields.items() if info.is_required()}
    assert campaign.model_fields_set - required == {"states", "price"}  # without them leads are given away, everywhere
    assert (len(configuration.verticals), len(configuration.buyers)) == (1, 1)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation, and those in their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for info in annotation.model_fields.values():
            yield from models(info.annotation)
    for argument in get_args(annotation):
        yield from models(argument)


def instances(value: object) -> Iterator[BaseModel]:
    """A value's entities, and those in them."""
    if isinstance(value, BaseModel):
        yield value
        yield from instances([content for _, content in value])
    elif isinstance(value, dict):
        yield from instances(list(value.values()))
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for item in value:
            yield from instances(item)


def test_the_reference_has_every_setting() -> None:
    written: defaultdict[type[BaseModel], set[str]] = defaultdict(set)
    for instance in instances(load(CONFIG / "reference.yaml", {}).configuration):
        written[type(instance)] |= instance.model_fields_set
    missing = [
        f"{model.__module__.removeprefix('schemas.config.')}.{model.__name__}.{info.alias or name}"
        for model in sorted(set(models(Configuration)), key=lambda model: model.__name__)
        for name, info in model.model_fields.items()
        if name not in written[model]
    ]
    assert not missing, (
        "deploy/config/reference.yaml documents every setting: write these there, each with a value and a comment of "
        f"what it means and what its default is: {', '.join(missing)}"
    )


def test_every_setting_of_the_reference_has_a_comment_near_it() -> None:
    bare, run = [], 0
    for number, line in enumerate((CONFIG / "reference.yaml").read_text().splitlines(), 1):
        run = 0 if "#" in line else run + bool(line.strip())
        if run > 6:
            bare.append(number)
    assert not bare, f"deploy/config/reference.yaml: say what the settings around line {bare[:1]} mean"

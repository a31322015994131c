"""What pydantic finds wrong, in the file's terms: the place, the field, and a hint at what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_args
from zoneinfo import available_timezones

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from connectors.config_files.document import Document
from connectors.config_files.fault import Fault, Place
from schemas.config.placeholders import Location
from schemas.config.release import IDENTITY, Configuration

FORMS: Final = {
    r"^[a-z0-9][a-z0-9_-]{0,62}$": "small letters, digits, - and _, such as sunpath-west",
    r"^[A-Z]{2}$": "two capital letters, such as CA",
    r"^[0-9]{5}$": 'five digits in quotes, such as "30303"',
    r"^[2-9][0-9]{2}$": 'three digits in quotes, such as "404"',
    r"^https?://": "such as https://buyer.example/leads",
}
"""Accepted forms in words, by their pattern."""
OWNER: Final = re.compile(r"^(vertical|buyer|campaign) ([a-z0-9_-]+): ")


def explain(document: Document, errors: Iterable[ErrorDetails], path: Path) -> Iterator[Fault]:
    """Faults of the errors of a validation of ``document``; ``path`` is told where nothing more is known."""
    for error in errors:
        at = _path(document, error["loc"], error["type"])
        if at in document.unset:  # told already
            continue
        message, owner = _message(document, error), at
        if not at and (found := OWNER.match(message)):  # a rule of the whole, which names whom it is about
            owner = _owner(document, found[1] + "s", found[2])
        yield Fault(
            document.place_of(owner) or Place(path),
            document.without_secrets(document.name_of(owner), owner),
            document.without_secrets(message, at),
            "" if at in document.raw else _hint(document, error, at),
        )


def _path(document: Document, location: tuple[int | str, ...], problem: str) -> Location:
    """A location without what pydantic adds to it, such as the chosen member of a union."""
    at: Location = ()
    value: Any = document.data
    for position, step in enumerate(location):
        last = position == len(location) - 1
        written = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        if step in written:
            value = value[step]
        elif not (last and problem == "missing"):
            continue
        at = (*at, step)
    return at


def _owner(document: Document, kind: str, name: str) -> Location:
    for index, entity in enumerate(document.data.get(kind, ())):
        if isinstance(entity, dict) and entity.get(IDENTITY[kind]) == name:
            return (kind, index)
    return ()


def _message(document: Document, error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "this setting is missing"
        case "extra_forbidden":
            return "unknown setting"
        case "unknown_reference" | "other_vertical":
            return error["msg"].split(": ", 1)[1]
        case "named_twice":
            kind = str(error["loc"][0])
            first = document.place_of((kind, error["ctx"]["first"]))
            return f"{error['msg']}, first at {first}" if first is not None else error["msg"]
    message = error["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String) should ", "should ", message)


def _hint(document: Document, error: ErrorDetails, at: Location) -> str:
    context, value = error.get("ctx", {}), error["input"]
    if error["type"] == "extra_forbidden":
        known = _settings_at(error["loc"][:-1])
        return _closest(str(error["loc"][-1]), known)
    if error["type"] == "unknown_reference":
        return _closest(str(value), context["known"]) or "none is configured"
    if error["type"] == "named_twice":
        return "give one of them another name"
    if error["type"] == "missing":
        return ""
    if not isinstance(value, (str, dict, list, float)) and (plain := document.plain.get(at)) and "str" in error["type"]:
        return f'write "{plain}" with quotes: without them YAML takes it for {_kind_of(value)}'
    if isinstance(value, str):
        return _for_text(value, context)
    return ""


def _for_text(value: str, context: dict[str, Any]) -> str:
    if (pattern := context.get("pattern")) is not None:
        for other in (value.upper(), value.lower(), re.sub(r"[^a-z0-9_]+", "-", value.lower()).strip("-")):
            if other != value and re.match(pattern, other):
                return f"did you mean {other}?"
        return FORMS.get(pattern, "")
    if (expected := context.get("expected") or context.get("expected_tags")) is not None:
        return _closest(value, re.findall(r"'([^']+)'", str(expected)))
    if "time zone" in str(context.get("error", "")):
        return _closest(value, available_timezones())
    return ""


def _closest(word: str, known: Iterable[str]) -> str:
    by_small = {name.lower(): name for name in sorted(known)}
    if close := difflib.get_close_matches(word.lower(), by_small, 1):
        return f"did you mean {by_small[close[0]]}?"
    return f"known: {', '.join(by_small.values())}" if 0 < len(by_small) <= 20 else ""


def _settings_at(location: tuple[int | str, ...]) -> set[str]:
    """The settings there are at a location."""
    annotations: list[Any] = [Configuration]
    for step in location:
        found = [field.annotation for name, field in _fields(annotations) if name == step]
        annotations = found or annotations  # an index, or the chosen member of a union
    return {name for name, _ in _fields(annotations)}


def _fields(annotations: Iterable[Any]) -> Iterator[tuple[str, FieldInfo]]:
    for annotation in annotations:
        for model in _models(annotation):
            yield from ((field.alias or name, field) for name, field in model.model_fields.items())


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "yes or no"
    return "a number" if isinstance(value, int) else "a date"

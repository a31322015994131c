"""A vertical's fields, computed fields and filters: a mistake is named when the configuration is read."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from typing import Any

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.config.vertical import Vertical
from schemas.expressions import FUNCTIONS, ExpressionError, compile_condition
from schemas.transformers import TemplateError, compile_template

ON = date(2026, 3, 4)


def field(**options: Any) -> dict[str, Any]:
    return {"fields": [{"name": "bill", "type": "number"} | options]}


def computed(value: str, **options: Any) -> dict[str, Any]:
    return {"computed": [{"name": "made", "type": "text", "value": value} | options]}


def only_if(expression: str) -> dict[str, Any]:
    return field() | {"filters": [{"name": "f", "reject_unless": expression}]}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (field(choices=["a"]), "field bill: choices is for choice, not for number"),
        (field(pattern="x"), "pattern is for text"),
        (field(type="text", pattern="["), "no regular expression"),
        (field(type="text", minimum=1), "minimum is for"),
        (field(formats=["%d"]), "formats is for date"),
        (field(type="date", formats=["%Q"]), "%Q is no part of a date"),
        (field(type="date", formats=["%Y-%d-%m"]), "would read the ISO date"),
        (field(type="date", formats=["%-d.%m.%Y"]), "write '%d.%m.%Y'"),
        (field(type="date", minimum=3), "minimum must be a date"),
        (field(minimum="2001-02-03"), "minimum must be a number"),
        (field(minimum=3, maximum=2), "the minimum is above the maximum"),
        (field(type="choice"), "a choice needs choices"),
        (field(type="choice", choices={"own": ["yes"], "rent": ["Yes"]}), "'Yes' stands for both 'own' and 'rent'"),
        (field(name="in"), "word of the expression language"),
        (field(name="test"), "read from every lead already"),
        (field(name="Bill"), "should match pattern"),
        (field(name="phone"), "field phone is of type phone in every lead"),
        (field(name="zip", type="us_zip", required=False), "field zip is required of every lead"),
        (field(name="phone_line"), "that is the line of phone"),
        ({"fields": field()["fields"] * 2}, "field named twice: bill"),
        (computed("{{ phnoe }}"), "computed field made: no field 'phnoe'; did you mean 'phone'"),
        (computed("{{ made }}"), "no field 'made'"),
        (computed("x", name="zip"), "stands in every lead"),
        (only_if("bil > 3"), "filter f: 'bil > 3': no field 'bil'; did you mean 'bill'"),
        (only_if("bill >"), "no CEL expression"),
        (only_if("bill > '3'"), "types that do not go together"),
        (only_if("bill + 1.0"), "neither true nor false"),
        (only_if("email.matches('[')"), "not a valid regex"),
        (only_if("email.startWith('a')"), "no function 'startWith'; did you mean 'startsWith'"),
        ({"test_zips": ["1234"]}, "should match pattern"),
        ({"consent": {"required": []}}, "at least 1 item"),
    ],
)
def test_a_mistake_in_a_vertical_is_named(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Vertical.model_validate({"name": "solar"} | changes)
    assert fault in str(caught.value)


def test_what_a_filter_may_read() -> None:
    for expression in (
        "bill > 100 && phone_area_code in ['404', '770']",
        "bill == null || bill < 3.5",
        "!test && source == 'quoteharbor'",
        "[1, 2].exists(x, x == bill)",
        "zip_latitude > 30.0 && zip_time_zone.startsWith('America/')",
    ):
        Vertical.model_validate({"name": "solar"} | only_if(expression))


def test_a_vertical_reads_as_it_was_written() -> None:
    full = field(minimum=1, maximum="2.5") | {
        "computed": [{"name": "age", "type": "age", "value": "{{ born | age }}"}],
        "filters": [{"name": "f", "reject_unless": "bill > 1", "detail": "more"}],
        "consent": {"required": ["text", "certificate"], "maximum_age_hours": 72},
        "test_zips": ["99999", "00000"],
    }
    full["fields"] += [{"name": "born", "type": "date", "minimum": "1900-01-01"}]
    full["fields"] += [{"name": "owner", "type": "choice", "choices": {"own": ["yes"], "rent": []}}]
    vertical = Vertical.model_validate({"name": "solar"} | full)
    assert Vertical.model_validate_json(vertical.model_dump_json()) == vertical
    assert Vertical.model_validate(vertical.model_dump()) == vertical


def test_a_plain_vertical_has_nothing_of_it_in_its_content() -> None:
    assert not {"fields", "computed", "filters", "consent", "test_zips"} & Vertical(name="solar").model_dump().keys()


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_that_is_known_is_there(name: str) -> None:
    values = cel.Context(variables={"text": "1", "number": 1, "day": datetime(2001, 2, 3, tzinfo=UTC)})
    calls = ("{}(text)", "{}(number)", "{}(number, number)", "text.{}(text)", "day.{}()")
    answers = []
    for call in calls:
        try:
            answers.append(str(cel.compile(call.format(name)).execute(values)))
        except (RuntimeError, TypeError, ValueError) as error:
            answers.append(str(error))
    assert any("Undefined variable or function" not in answer for answer in answers)


def test_an_expression_over_samples() -> None:
    with pytest.raises(ExpressionError, match="no field 'y'"):
        compile_condition("x == y", {"x": 1})


# Transformers

VALUES = {"name": "Ada Lovelace", "phone": "+14045550123", "bill": "1234.5", "born": "1980-02-03", "odd": "31.12.1980"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{ name }}", "Ada Lovelace"),
        ("{{name|upper}}!", "ADA LOVELACE!"),
        ("{{ name | lower | title }}", "Ada Lovelace"),
        ("{{ name | replace:'a','4' }}", "Ad4 Lovel4ce"),
        ("{{ name | replace:' Lovelace','' }}", "Ada"),
        ("{{ name | substring:0,3 }}-{{ name | substring:-4,2 }}", "Ada-la"),
        ("{{ name | substring:99,3 }}", ""),
        ("{{ missing | upper | default:'it\\'s \"none\"' }}", 'it\'s "none"'),
        ('{{ missing | default:"}}" }}', "}}"),
        ("{{ name | md5 }}", hashlib.md5(b"Ada Lovelace").hexdigest()),
        ("{{ missing | sha256 }}", ""),
        ("{{ phone | phone:'national10' }}", "4045550123"),
        ("{{ phone | phone:'e164' }}", "+14045550123"),
        ("{{ phone | phone:'national' }}", "(404) 555-0123"),
        ("{{ phone | phone:'international' }}", "+1 404-555-0123"),
        ("{{ name | phone:'national10' | default:'none' }}", "none"),
        ("{{ phone | digits }}", "14045550123"),
        ("{{ bill | number:'0' }}", "1234"),
        ("{{ bill | number:'0.00' }}", "1234.50"),
        ("${{ bill | number:'#,##0.00' }}", "$1,234.50"),
        ("{{ born | date:'%m/%d/%Y' }}", "02/03/1980"),
        ("{{ odd | parse_date:'%d.%m.%Y' }}", "1980-12-31"),
        ("{{ odd | parse_date:'%d.%m.%Y' | age }}", "45"),
        ("{{ name | age | default:'?' }}", "?"),
    ],
)
def test_transformers(source: str, text: str) -> None:
    assert compile_template(source).render(VALUES, ON) == text


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{{ }}", "expected the name of a field at position 3"),
        ("x {{ name", "expected '|' or '}}' at position 10"),
        ("{{ nmae }}", "no field 'nmae'; did you mean 'name'? at position 4"),
        ("{{ name | uper }}", "no function 'uper'; did you mean 'upper'? at position 11"),
        ("{{ name | upper:'x' }}", "upper takes no argument at position 11"),
        ("{{ name | replace:'a' }}", "replace takes a text, a text at position 11"),
        ("{{ name | substring:'a',3 }}", "substring takes an integer, an integer"),
        ("{{ name | substring:0,-3 }}", "a length cannot be negative"),
        ("{{ name | replace:'','x' }}", "what is replaced cannot be empty"),
        ("{{ name | replace:a,b }}", "expected a quoted text or an integer at position 19"),
        ("{{ phone | phone:'dots' }}", "is none of 'national10', 'e164'"),
        ("{{ bill | number:'0.0#' }}", "a number is written as"),
        ("{{ born | date:'%H' }}", "%H is no part of a date"),
    ],
)
def test_a_template_with_a_mistake_names_its_position(source: str, fault: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(source, VALUES)
    assert fault in str(caught.value)


CHAINS = [
    "upper", "lower", "title", "trim", "digits", "replace:'a','b'", "substring:-2,5", "md5", "sha1", "sha256", "age",
    "phone:'national10'", "phone:'international'", "number:'#,##0.00'", "date:'%j %A'", "parse_date:'%d %b %y'",
]  # fmt: skip


@given(st.lists(st.sampled_from(CHAINS), max_size=4), st.text(max_size=20) | st.text("0123456789-/.+", max_size=12))
def test_rendering_raises_nothing(chain: list[str], typed: str) -> None:
    template = compile_template(" | ".join(["{{ x", *chain]) + " }}")
    assert isinstance(template.render({"x": typed}, ON), str)


@given(st.text("{}|:'\",\\ abc01", max_size=30))
def test_any_text_is_a_template_or_a_named_mistake(source: str) -> None:
    try:
        template = compile_template(source)
    except TemplateError as error:
        message = str(error)
    else:
        message = f"{template.render({}, ON)} at position"
    assert "at position" in message

"""Transformers: ``{{ field | upper | substring:0,3 }}``, compiled once, rendered for every lead.

    template    = { text | placeholder }
    placeholder = "{{" name { "|" function [ ":" argument { "," argument } ] } "}}"
    argument    = "'" text "'" | '"' text '"' | integer          (a backslash keeps the next character of a text)

Every function takes a text and gives one. What is missing is the empty text; a function that cannot do its work (a date
that is none) gives it too, so ``default`` at the end of a chain answers for both. Rendering raises nothing.

    upper lower title trim digits     case, outer spaces, digits only
    replace:'from','to'               every occurrence
    substring:start,length            from a position counted from 0, negative from the end
    md5 sha1 sha256                   hex digest of the UTF-8 text
    phone:'national10'                or 'e164', 'national', 'international'
    number:'0.00'                     or '0', '#,##0', '#,##0.00'
    parse_date:'%d/%m/%Y'             read so, to ISO
    date:'%m/%d/%Y'                   written so, from ISO or month/day/year
    age                               whole years at the time of rendering
    default:'text'                    instead of what is missing
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import phonenumbers

from schemas import dates
from schemas.amounts import check_pattern, parse_number, written

Transformer = Callable[[str, date], str]
"""A text and the date of rendering to a text."""

NAME: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*")
ARGUMENT: Final = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(-?[0-9]{1,6}))\s*", re.DOTALL)
AMERICAN: Final = re.compile(r"\+1[2-9][0-9]{9}")
PHONE_FORMATS: Final = {
    "e164": phonenumbers.PhoneNumberFormat.E164,
    "national": phonenumbers.PhoneNumberFormat.NATIONAL,
    "international": phonenumbers.PhoneNumberFormat.INTERNATIONAL,
}


class TemplateError(ValueError):
    """A template that cannot be compiled; the message ends with the position, counted from 1."""


@dataclass(frozen=True, slots=True)
class _Placeholder:
    name: str
    chain: tuple[Transformer, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; ``names`` are the fields it reads."""

    source: str
    parts: tuple[str | _Placeholder, ...]
    names: frozenset[str]

    def render(self, values: Mapping[str, str | None], on: date) -> str:
        """The text for a lead's values; a missing value is the empty text. ``on`` is the day that ages are taken at."""
        texts = []
        for part in self.parts:
            if isinstance(part, _Placeholder):
                text = values.get(part.name) or ""
                for transform in part.chain:
                    text = transform(text, on)
                texts.append(text)
            else:
                texts.append(part)
        return "".join(texts)


def compile_template(source: str, known: Collection[str] | None = None) -> Template:
    """Compile a template, whose fields must be among ``known`` unless that is None.

    Raises:
        TemplateError: a syntax error, an unknown function or field, or arguments that a function does not take.
    """
    parts: list[str | _Placeholder] = []
    at = 0
    while (start := source.find("{{", at)) >= 0:
        parts += [source[at:start]] if start > at else []
        placeholder, at = _placeholder(source, start + 2, known)
        parts.append(placeholder)
    parts += [source[at:]] if at < len(source) else []
    return Template(source, tuple(parts), frozenset(p.name for p in parts if isinstance(p, _Placeholder)))


def hint(name: str, known: Collection[str]) -> str:
    """``; did you mean 'bill'?`` where something known is close to a name, else nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fault(message: str, position: int) -> TemplateError:
    return TemplateError(f"{message} at position {position + 1}")


def _placeholder(source: str, at: int, known: Collection[str] | None) -> tuple[_Placeholder, int]:
    match = NAME.match(source, at)
    if match is None:
        raise _fault("expected the name of a field", at)
    name, at = match[1], match.end()
    if known is not None and name not in known:
        raise _fault(f"no field {name!r}{hint(name, known)}", match.start(1))
    chain = []
    while source.startswith("|", at):
        transform, at = _function(source, at + 1)
        chain.append(transform)
    if not source.startswith("}}", at):
        raise _fault("expected '|' or '}}'", at)
    return _Placeholder(name, tuple(chain)), at + 2


def _function(source: str, at: int) -> tuple[Transformer, int]:
    match = NAME.match(source, at)
    if match is None:
        raise _fault("expected the name of a function", at)
    name, at = match[1], match.end()
    arguments: list[str | int] = []
    separator = ":"
    while source.startswith(separator, at):
        given = ARGUMENT.match(source, at + 1)
        if given is None:
            raise _fault(f"{name}: expected a quoted text or an integer", at + 1)
        quoted = given[1] if given[1] is not None else given[2]
        arguments.append(int(given[3]) if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        at, separator = given.end(), ","
    if name not in FUNCTIONS:
        raise _fault(f"no function {name!r}{hint(name, FUNCTIONS)}", match.start(1))
    takes, build = FUNCTIONS[name]
    if tuple(map(type, arguments)) != takes:
        wanted = ", ".join("a text" if kind is str else "an integer" for kind in takes) or "no argument"
        raise _fault(f"{name} takes {wanted}", match.start(1))
    try:
        return build(*arguments), at
    except ValueError as error:
        raise _fault(f"{name}: {error}", match.start(1)) from None


def _always(transform: Callable[[str], str]) -> Callable[[], Transformer]:
    return lambda: lambda text, on: transform(text)


def _hash(name: str) -> Callable[[], Transformer]:
    return _always(lambda text: text and hashlib.new(name, text.encode("utf-8", "replace")).hexdigest())


def _replace(old: str, new: str) -> Transformer:
    if not old:
        raise ValueError("what is replaced cannot be empty")
    return lambda text, on: text.replace(old, new)


def _substring(start: int, length: int) -> Transformer:
    if length < 0:
        raise ValueError("a length cannot be negative")
    return lambda text, on: text[start:][:length]


def _phone(form: str) -> Transformer:
    if form != "national10" and form not in PHONE_FORMATS:
        raise ValueError(f"{form!r} is none of 'national10', {', '.join(map(repr, PHONE_FORMATS))}")

    def transform(text: str, on: date) -> str:
        if AMERICAN.fullmatch(text) and form in ("national10", "e164"):
            return text if form == "e164" else text[2:]
        try:
            number = phonenumbers.parse(text, "US")
        except phonenumbers.NumberParseException:
            return ""
        if form == "national10":
            return str(phonenumbers.national_significant_number(number)) if number.country_code == 1 else ""
        return str(phonenumbers.format_number(number, PHONE_FORMATS[form]))

    return transform


def _number(pattern: str) -> Transformer:
    check_pattern(pattern)

    def transform(text: str, on: date) -> str:
        number = parse_number(text)
        return "" if number is None else written(number, pattern)

    return transform


def _date(form: str) -> Transformer:
    dates.check_format(form)

    def transform(text: str, on: date) -> str:
        found = dates.parse_date(text)
        return "" if found is None else found.strftime(form)

    return transform


def _parse_date(form: str) -> Transformer:
    dates.check_format(form)

    def transform(text: str, on: date) -> str:
        found = dates.parse_date(text, (form,))
        return "" if found is None else found.isoformat()

    return transform


def _age(text: str, on: date) -> str:
    born = dates.parse_date(text)
    years = None if born is None else dates.age(born, on)
    return "" if years is None else str(years)


def _default(instead: str) -> Transformer:
    return lambda text, on: text or instead


FUNCTIONS: Final[dict[str, tuple[tuple[type, ...], Callable[..., Transformer]]]] = {
    "upper": ((), _always(str.upper)),
    "lower": ((), _always(str.lower)),
    "title": ((), _always(str.title)),
    "trim": ((), _always(str.strip)),
    "digits": ((), _always(lambda text: "".join(c for c in text if c in "0123456789"))),
    "replace": ((str, str), _replace),
    "substring": ((int, int), _substring),
    "md5": ((), _hash("md5")),
    "sha1": ((), _hash("sha1")),
    "sha256": ((), _hash("sha256")),
    "phone": ((str,), _phone),
    "number": ((str,), _number),
    "parse_date": ((str,), _parse_date),
    "date": ((str,), _date),
    "age": ((), lambda: _age),
    "default": ((str,), _default),
}
"""Each function: the kinds of its arguments, and what builds it from them."""

"""SQL that writes JSON of an event's parts."""

from __future__ import annotations


def json_object(**values: str) -> str:
    """The SQL of a JSON object with these members.

    >>> json_object(http_status="e.http_status")
    'concat(\\'{"http_status":\\', ifNull(toJSONString(e.http_status), \\'null\\'), \\'}\\')'
    """
    members = ", ',".join(f'"{name}":\', {_json(value)}' for name, value in values.items())
    return f"concat('{{{members}, '}}')"


def json_array(element: str, of: str, name: str) -> str:
    """The SQL of a JSON array: an element for each of an array, called ``name`` in the element's SQL."""
    return f"concat('[', arrayStringConcat(arrayMap({name} -> {element}, {of}), ','), ']')"


def _json(value: str) -> str:
    # Of NULL it is NULL, and so would be all of the object.
    return value if value.startswith("concat(") else f"ifNull(toJSONString({value}), 'null')"

"""One raw lead as JSON: reading it strictly, finding its id, writing it with its id.

Fields are not looked at here: validation reports what is wrong with them, with every reason at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from uuid import UUID

LEAD_ID: Final = "lead_id"

# Lead ids that are derived from an idempotency key, or from a place in a file, live in these namespaces.
REQUEST_NAMESPACE: Final = UUID("5a0b2f52-1a9e-5d6b-8f4e-2f9a3f6f1c01")
FILE_NAMESPACE: Final = UUID("5a0b2f52-1a9e-5d6b-8f4e-2f9a3f6f1c02")


class InvalidLeadError(ValueError):
    """Not a lead. ``reason`` names the rule and the place, never a value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(raw: bytes) -> object:
    """The JSON document in ``raw`` (UTF-8, a byte order mark is tolerated).

    Raises:
        InvalidLeadError: not UTF-8, not JSON, or nested too deeply.
    """
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidLeadError(f"not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise InvalidLeadError(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidLeadError("not accepted: the JSON is nested too deeply") from None
    except InvalidLeadError:
        raise
    except ValueError:
        raise InvalidLeadError("not accepted: a number is too long") from None


def as_object(document: object) -> dict[str, object]:
    """The document when it is a JSON object.

    Raises:
        InvalidLeadError: it is something else.
    """
    if not isinstance(document, dict):
        raise InvalidLeadError("not a JSON object")
    return document


def own_lead_id(fields: Mapping[str, object]) -> str | None:
    """The lead's own ``lead_id`` in canonical form, or None when it is absent, null or empty.

    Raises:
        InvalidLeadError: it is no UUID.
    """
    value = fields.get(LEAD_ID)
    if value is None or value == "":
        return None
    try:
        canonical = str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        canonical = None
    # UUID() also takes braces, urn: and hyphens anywhere: other readers of the topic would not.
    if canonical is None or not isinstance(value, str) or value.strip().lower() != canonical:
        raise InvalidLeadError("lead_id is no UUID such as 8c7e6d5f-0b1a-4c2d-9e3f-5a6b7c8d9e0f")
    return canonical


def encode(fields: Mapping[str, object], lead_id: str) -> bytes:
    """The record value: the fields with ``lead_id`` first, as UTF-8 JSON.

    Raises:
        InvalidLeadError: a field holds what JSON in UTF-8 cannot (a lone surrogate, a number beyond a double).
    """
    document = {LEAD_ID: lead_id, **{name: value for name, value in fields.items() if name != LEAD_ID}}
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise InvalidLeadError("not accepted: a text holds half a character (a lone surrogate)") from None
    except RecursionError:
        raise InvalidLeadError("not accepted: the JSON is nested too deeply") from None
    except ValueError:
        raise InvalidLeadError("not accepted: a number is too large") from None


def _refuse_constant(name: str) -> object:
    raise InvalidLeadError(f"not JSON: {name} is no JSON number")

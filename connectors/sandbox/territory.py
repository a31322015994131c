"""Where the demonstration's buyers buy (deploy/local/config.yaml), and the places there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import phonenumbers
import zipcodes

WEST: Final = ("CA", "NV", "AZ", "OR", "WA", "UT", "ID", "MT", "CO", "NM")
SOUTH: Final = ("TX", "OK", "AR", "LA", "MS", "AL", "GA", "FL", "SC", "NC", "TN", "KY", "VA")
MIDWEST: Final = ("MN", "IA", "MO", "KS", "NE", "WI", "IL", "IN", "MI", "OH")
NORTHEAST: Final = ("NY", "NJ", "PA", "CT", "MA", "RI", "NH", "DE", "MD", "DC")

SERVED: Final[Mapping[str, tuple[str, ...]]] = {
    "solar": (*WEST, *SOUTH, *NORTHEAST),
    "auto_insurance": (*WEST, *SOUTH, *MIDWEST, *NORTHEAST),
    "roofing": (*SOUTH, *MIDWEST, *NORTHEAST),
}
"""States of each vertical in which every lead finds a buyer."""

OUT_OF_AREA: Final = ("WY", "VT", "ND", "SD", "ME", "WV")
"""States in which nobody buys anything."""

CAPPED: Final = ("solar", "AK")
DAILY_CAP: Final = 10
DECLINED: Final = ("roofing", "HI")

STATE_NAMES: Final[Mapping[str, str]] = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "DC": "District of Columbia", "FL": "Florida", "GA": "Georgia",
    "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky",
    "LA": "Louisiana", "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota",
    "MS": "Mississippi", "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire",
    "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York", "NC": "North Carolina", "ND": "North Dakota",
    "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania", "RI": "Rhode Island",
    "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont",
    "VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A ZIP code with its city, its state, and area codes of that state."""

    zip: str
    city: str
    state: str
    area_codes: tuple[str, ...]


@cache
def places() -> Mapping[str, tuple[Place, ...]]:
    """Every place where people live, by state code. The first call takes about half a second."""
    rows = [
        row
        for row in zipcodes.list_all()  # type: ignore[no-untyped-call]
        if row["active"] and row["zip_code_type"] == "STANDARD" and row["state"] in STATE_NAMES
    ]
    # A ZIP row also lists its neighbours' area codes, Canadian ones included: the state with the most rows owns a code.
    uses: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for code in row["area_codes"]:
            uses[code][row["state"]] += 1
    owners = {code: states.most_common(1)[0][0] for code, states in uses.items() if _in_the_us(code)}
    found: defaultdict[str, list[Place]] = defaultdict(list)
    for row in rows:
        if codes := tuple(code for code in row["area_codes"] if owners.get(code) == row["state"]):
            found[row["state"]].append(Place(row["zip_code"], row["city"], row["state"], codes))
    return {state: tuple(there) for state, there in found.items()}


def state_of(zip_code: str) -> str | None:
    """The state of a five-digit ZIP code, or None when there is no such code."""
    rows = zipcodes.matching(zip_code)  # type: ignore[no-untyped-call]
    return str(rows[0]["state"]) if rows else None


def _in_the_us(area_code: str) -> bool:
    number = phonenumbers.PhoneNumber(country_code=1, national_number=int(f"{area_code}2345678"))
    return phonenumbers.region_code_for_number(number) == "US"

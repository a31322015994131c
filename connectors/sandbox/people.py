"""Invented people, each with a phone number and an email address of their own."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from typing import Final

import phonenumbers

from connectors.sandbox.territory import Place

_FIRST_NAMES: Final = (
    "James", "Maria", "Robert", "Linda", "Michael", "Patricia", "David", "Jennifer", "José", "Mary-Jane", "Carlos",
    "Aaliyah", "Wei", "Priya", "Dmitri", "Chloé", "Ángel", "Siobhán", "Jean-Luc", "Zoë", "D'Andre", "Noor", "Grace",
    "Ethan", "Olivia", "Liam", "Sofía", "Noah", "Emma", "Lucas", "Mei", "Kwame", "Ines", "Tomás", "Hannah", "Björn",
    "Anna-Lena", "Omar", "Fatima", "Renée", "Peter", "Susan", "Kevin", "Nancy", "Luis", "Karen", "Andre", "Joy",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Smith", "Johnson", "García", "O'Neil", "Nguyen", "Williams", "Martínez", "Brown", "Kowalski", "O'Brien", "Lee",
    "Patel", "Smith-Jones", "Müller", "Rodríguez", "Davis", "Hernández", "D'Angelo", "McDonald", "Kim", "Okafor",
    "Ivanov", "St. Clair", "Van Dyke", "Núñez", "Miller", "Wilson", "Anderson", "Thomas", "Taylor", "Moore", "Jackson",
    "Martin", "Thompson", "White", "López", "Gonzales-Ruiz", "Haddad", "Larsen", "Østergård", "Clark", "Lewis",
    "Walker", "Young", "Allen", "King", "Wright", "Scott", "De la Cruz", "Fitzgerald",
)  # fmt: skip
_STREETS: Final = (
    "Maple St", "Oak Avenue", "N Main St", "Washington Blvd", "Lakeview Dr", "Cedar Ln", "Sunset Blvd", "2nd Ave",
    "Hillcrest Road", "Park Pl", "Old Mill Rd", "Magnolia Ct",
)  # fmt: skip
# Reserved for documentation: no mail to these ever reaches anybody.
_MAIL_DOMAINS: Final = ("example.com", "example.org", "example.net", "mail.example.com")
_TAGS: Final = ("solar", "quotes", "home", "news")
_WITHOUT_DECOMPOSITION: Final = str.maketrans({"ø": "o", "Ø": "O"})


@dataclass(frozen=True, slots=True)
class Person:
    """A person as they are. ``phone`` has ten digits; at least one of ``phone`` and ``email`` is given."""

    first_name: str
    last_name: str
    phone: str | None
    email: str | None
    address: str
    place: Place


class People:
    """Makes people of whom no two share a phone number or a mailbox."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._phones: set[str] = set()
        self._mailboxes: set[str] = set()

    def person(self, place: Place) -> Person:
        """A new person who lives in ``place``. About 8 % give no phone, a quarter of the others no email."""
        rng = self._rng
        first_name, last_name = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
        with_phone = rng.random() >= 0.08
        with_email = not with_phone or rng.random() < 0.75
        return Person(
            first_name,
            last_name,
            self.phone(place) if with_phone else None,
            self.email(first_name, last_name) if with_email else None,
            f"{rng.randrange(1, 9999)} {rng.choice(_STREETS)}",
            place,
        )

    def phone(self, place: Place) -> str:
        """A new number in one of the place's area codes, ten digits."""
        # Not only the fictional 555-01xx: Alaska has 100 of those, and two runs would share people.
        while True:
            exchange = self._rng.randrange(200, 1000)
            number = f"{self._rng.choice(place.area_codes)}{exchange}{self._rng.randrange(10_000):04}"
            if exchange % 100 != 11 and number not in self._phones and _is_valid(number):
                self._phones.add(number)
                return number

    def email(self, first_name: str, last_name: str) -> str:
        """A new lower-case address, at times with a plus tag."""
        rng = self._rng
        first, last = _plain(first_name), _plain(last_name)
        while True:
            local = rng.choice((f"{first}.{last}", f"{first}{last}", f"{first[0]}{last}", f"{last}.{first}"))
            local += str(rng.randrange(10, 1_000_000))
            domain = rng.choice(_MAIL_DOMAINS)
            # Dots and tags do not make another mailbox for every reader of the address.
            mailbox = f"{local.replace('.', '')}@{domain}"
            if mailbox not in self._mailboxes:
                self._mailboxes.add(mailbox)
                tag = f"+{rng.choice(_TAGS)}" if rng.random() < 0.12 else ""
                return f"{local}{tag}@{domain}"


def _is_valid(digits: str) -> bool:
    # Of an area code in preparation, only some exchanges are in use.
    return phonenumbers.is_valid_number(phonenumbers.PhoneNumber(country_code=1, national_number=int(digits)))


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.translate(_WITHOUT_DECOMPOSITION))
    return "".join(letter for letter in letters.lower() if letter.isascii() and letter.isalpha())

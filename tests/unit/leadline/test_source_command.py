"""``leadline source``: a key that the intake takes, and the hash that the configuration does."""

from __future__ import annotations

import json
import re

import pytest

from connectors.inbound.keys import Keyring
from leadline.commands.source import key
from schemas.config.source import Source


def test_a_key_and_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    key(as_json=True)
    made = json.loads(capsys.readouterr().out)
    assert Keyring([Source(id="acme", keys=(made["hash"],))]).source_of(made["key"]) == "acme"
    key()
    page = capsys.readouterr().out
    assert re.search(r"X-Api-Key: [A-Za-z0-9_-]{43}\n", page)
    assert re.search(r'keys: \["[0-9a-f]{64}"\]', page)
    assert made["key"] not in page

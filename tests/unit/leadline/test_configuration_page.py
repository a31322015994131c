"""docs/configuration.md says what the linter does."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.config.lint import RULES

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()


def test_every_rule_is_on_the_page_with_its_severity() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert rows == {code: severity.value for code, (severity, _) in RULES.items()}

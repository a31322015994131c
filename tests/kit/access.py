"""The statements of ``warehouse/access``, and what they give to a role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import warehouse

FOLDER = Path(warehouse.__file__).parent / "access"
_GRANT = re.compile(r"(GRANT\s.+?)\s+TO (\w+)", re.DOTALL)
_POLICY = re.compile(r"CREATE ROW POLICY IF NOT EXISTS \w+ ON\s+(.+?)\s+FOR SELECT USING (.+) TO (\w+)", re.DOTALL)


def statements() -> Iterator[tuple[str, str]]:
    """Each statement and the name of its file, in order."""
    for file in sorted(FOLDER.glob("*.sql")):
        for sql in re.split(r"^-- @stmt$", file.read_text(), flags=re.MULTILINE):
            yield file.name, sql.strip().removesuffix(";")


def grants(role: str) -> list[str]:
    """What is granted to a role, as ``GRANT … ON …``."""
    found = (_GRANT.fullmatch(_bare(sql)) for _, sql in statements())
    return [" ".join(one[1].split()) for one in found if one is not None and one[2] == role]


def filters(role: str) -> dict[str, str]:
    """Of each table, ``database.table``, that has a row policy for just this role: which rows it reads."""
    found = (_POLICY.fullmatch(_bare(sql)) for _, sql in statements())
    return {table: one[2] for one in found if one is not None and one[3] == role for table in re.split(r",\s*", one[1])}


def _bare(sql: str) -> str:
    return re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE)

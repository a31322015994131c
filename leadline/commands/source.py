"""``leadline source``: what a publisher needs to send leads."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Final

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from schemas.config.source import key_hash

KEY_BYTES: Final = 32

source_app = cyclopts.App(name="source", help="Sources of leads: the keys that their posts to the intake show.")


@source_app.command
def key(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Make a key for a source, and the hash of it that the configuration keeps.

    Give the key to whoever posts the leads, and add the hash to the source's `keys`. The key is written nowhere: if it
    is lost, make another. A source may have several, so that an old one works until everybody has the new one.

    Parameters
    ----------
    as_json:
        Print JSON for scripts.
    """
    made = secrets.token_urlsafe(KEY_BYTES)
    digest = key_hash(made)
    if as_json:
        print(json.dumps({"key": made, "hash": digest}))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print("For the publisher, who sends it with each post; it is shown once and kept nowhere:")
    console.print(f"  X-Api-Key: {made}", markup=False)
    console.print("For the source in the configuration:")
    console.print(f'  keys: ["{digest}"]', markup=False)

"""``python -m kit.sink_crashes``: the long run. Ends with 1 when anything is there twice or not at all."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from kit.full_stack import share_jars
from kit.sink_crashes.faults import FAULTS, planned
from kit.sink_crashes.run import Crashes
from leadline.stack.background import running_stack

LONG: Final = 4 * len(FAULTS)
LEAST: Final = 50
"""How many of these are kills and freezes, at least."""


def main() -> int:
    """Run as the options say."""
    parser = argparse.ArgumentParser(prog="python -m kit.sink_crashes", description=__doc__)
    parser.add_argument("--faults", type=int, default=LONG, help=f"how many ({LONG})")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the faults (a random one)")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="leadline-sink-"))
    share_jars(home)
    print(f"seed {options.seed}; logs in {home}", flush=True)
    with running_stack(home, {"kafka"}) as endpoints:
        assert endpoints.kafka_bootstrap is not None
        crashes = Crashes(endpoints.kafka_bootstrap, home / "sink", options.seed)
        outcome = crashes.run(planned(options.seed, options.faults))
    if options.faults >= len(FAULTS):
        outcome.problems += [f"never: {fault}" for fault in FAULTS if not outcome.faults[fault]]
    if options.faults >= LONG and outcome.kills_and_freezes < LEAST:
        outcome.problems.append(f"fewer than {LEAST} kills and freezes")
    print("\n".join(outcome.lines()))
    if outcome.problems:
        print(f"again: make chaos-sink SEED={options.seed}")
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())

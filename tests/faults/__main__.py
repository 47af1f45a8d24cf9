"""`python -m tests.faults --tier quick|nightly|release`: run the drills, a JSON line each; 0 when all of them hold."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from tests.conftest import POSTGRES_DEFAULT
from tests.faults.tiers import DRILLS, STORES, TIERS, run_drill


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--tier", choices=TIERS, default="quick", help="how much of each drill")
    parser.add_argument("--drill", action="append", choices=tuple(DRILLS), help="only this one; repeat it for more")
    parser.add_argument("--store", action="append", choices=STORES, help="only on this store; repeat it for more")
    parser.add_argument("--size", type=int, help="instead of the tier's own size")
    parser.add_argument("--seconds", type=float, help="no new round of a drill begins after this; its report says so")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 when a drill does not hold."""
    given = _arguments(words)
    server = os.environ.get("ACCORDANT_TEST_POSTGRES") or POSTGRES_DEFAULT
    failed = 0
    for name in given.drill or DRILLS:
        drill = DRILLS[name]
        size = given.size or drill.sizes[given.tier]
        for store in (one for one in drill.stores if one in (given.store or STORES)):
            report = asyncio.run(run_drill(name, store, size, server=server, seconds_max=given.seconds))
            print(report.line(), flush=True)
            for problem in report.problems:
                failed = 1
                sys.stderr.write(f"{name} on {store}: {problem}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())

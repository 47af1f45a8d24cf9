"""`python -m tests.connectors.tryton`: the company's year against a running Tryton, a JSON line each month.

0 when all of them agree to the cent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import POSTGRES_DEFAULT
from tests.connectors.tryton.server import a_tryton
from tests.connectors.tryton.test_story import the_erp
from tests.connectors.tryton.year import MONTHS, Month, a_year


def main(words: Sequence[str] | None = None) -> int:
    """Run it; 1 when a month differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.connectors.tryton", description=__doc__)
    parser.add_argument("--months", type=int, default=MONTHS, choices=range(1, MONTHS + 1))
    given = parser.parse_args(words)
    server = os.environ.get("ACCORDANT_TEST_POSTGRES") or POSTGRES_DEFAULT

    def tell(month: Month) -> None:
        print(month.line(), flush=True)

    with a_tryton(server) as tryton, tempfile.TemporaryDirectory(prefix="accordant-year-") as folder:
        months = asyncio.run(a_year(tryton, the_erp(tryton), Path(folder), months=given.months, told=tell))
    return int(any(month.differences for month in months))


if __name__ == "__main__":
    sys.exit(main())

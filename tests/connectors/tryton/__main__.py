"""`python -m tests.connectors.tryton`: the company's year against a running Tryton, a row for each month and company.

0 when all agree to the cent, two strangers come to Tryton's balances, and lines of each kind lead to both their ends.
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
from tests.connectors.tryton.year import MONTHS, Month, Outcome, a_year

_ROW = "{:<8} {:<13} {:>7} {:>9} {:>13} {:>13} {:>12}  {}"
_HEAD = ("Month", "Company", "Entries", "Documents", "Receivable", "In Tryton", "Tax of year", "Differences")


def main(words: Sequence[str] | None = None) -> int:
    """Run it; 1 when something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.connectors.tryton", description=__doc__)
    parser.add_argument("--months", type=int, default=MONTHS, choices=range(1, MONTHS + 1))
    given = parser.parse_args(words)
    server = os.environ.get("ACCORDANT_TEST_POSTGRES") or POSTGRES_DEFAULT
    print(_ROW.format(*_HEAD), flush=True)
    with a_tryton(server) as tryton, tempfile.TemporaryDirectory(prefix="accordant-year-") as folder:
        done = asyncio.run(a_year(tryton, the_erp(tryton), Path(folder), months=given.months, told=_tell))
    _tell_the_rest(done)
    return int(not done.agrees)


def _tell(month: Month) -> None:
    amounts = (month.receivable_minor, month.receivable_in_tryton_minor, month.tax_minor)
    said = "; ".join(month.differences) or "none"
    print(
        _ROW.format(
            month.month, month.company, month.entries, month.documents, *(f"{one / 100:,.2f}" for one in amounts), said
        ),
        flush=True,
    )


def _tell_the_rest(done: Outcome) -> None:
    told = "; ".join(done.strangers) or "both accept it and come to Tryton's balances"
    print(f"\nbeancount and hledger: {told}.\n")
    row = "{:<34} {:<34} {:<12} {}"
    print(row.format("A line of", "leads to the event", "opportunity", "lost"))
    for one in done.trails:
        deal = "yes" if one.opportunity else "-"
        print(row.format(one.rule, one.event_type or "(month's end)", deal, ", ".join(one.lost) or "nothing"))


if __name__ == "__main__":
    sys.exit(main())

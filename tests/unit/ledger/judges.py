"""Two strangers who read an export of the books, each in a process of its own: beancount and hledger."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from tests.conftest import missing

#: (account, currency) -> balance; accounts at zero are left out.
Balances = dict[tuple[str, str], Decimal]

# A program under another license: never imported.
_BEANCOUNT = """
import collections, json, sys
from decimal import Decimal
from beancount import loader
from beancount.core import data
entries, errors, options = loader.load_file(sys.argv[1])
print(*[error.message for error in errors], sep='\\n', file=sys.stderr)
sums, originals = collections.Counter(), collections.Counter()
for entry in data.filter_txns(entries):
    for one in entry.postings:
        sums[one.account, one.units.currency] += one.units.number
        if "original" in one.meta:
            currency, number = one.meta["original"].split()
            originals[one.account, currency] += Decimal(number)
print(json.dumps([[[*key, str(value)] for key, value in kept.items()] for kept in (sums, originals)]))
sys.exit(bool(errors))
"""


def written(path: Path, text: Sequence[str]) -> Path:
    path.write_text("\n".join(text) + "\n")
    return path


def beancount_says(path: Path) -> tuple[Balances, Balances]:
    """The balances it comes to, of the books and of what was agreed in another currency; it has to accept all."""
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _BEANCOUNT, str(path)], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr.strip()) == (0, "")
    sums, originals = json.loads(told.stdout)
    return _kept(sums), _kept(originals)


def hledger_says(path: Path) -> Balances:
    """The balances it comes to; it has to accept all of it, strictly."""
    program = shutil.which("hledger")
    if program is None:
        missing("hledger", "Install it (Debian: apt-get install hledger).")
    strict = subprocess.run(
        [program, "-f", str(path), "check", "--strict"], check=False, capture_output=True, text=True
    )
    assert strict.stderr == ""
    told = subprocess.run(
        [program, "-f", str(path), "balance", "--flat", "--no-total", "--layout", "bare", "-O", "csv"],
        capture_output=True,
        text=True,
        check=True,
    )
    return _kept(list(csv.reader(told.stdout.splitlines()))[1:])


def _kept(rows: Sequence[Sequence[str]]) -> Balances:
    return {(account, currency): Decimal(number) for account, currency, number in rows if Decimal(number)}

"""MO3: workers are killed while they post; at every moment the trial balance is zero, in the end it is the whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from accordant.ledger.balances import trial_balance as drafted_balance
from accordant.store.engine import Database
from accordant.views.books import draft_books
from accordant.views.journal import trial_balance
from tests.integration.operations.bookkit import LEDGER, balances, counted_anew, counted_on, held, live_half_a_year
from tests.integration.operations.kit import an_installation

KILLS = 4
WORKER = """
import sys
from pathlib import Path
from accordant.bootstrap import Hub, checked_charter
from accordant.settings import Settings
from tests.integration.operations.kit import environment
home, charter, store = sys.argv[1:]
settings = Settings(home=Path(home), charter=Path(charter), store=store)
hub = Hub(settings, checked_charter(settings), environment=environment())
print("ready", flush=True)
while hub.process_round():
    pass
print("done", flush=True)
"""


def strike_down(command: list[str], database: Database, seconds: float) -> None:
    """A worker that posts, watched all the while, and killed after so long."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and process.poll() is None:
            assert sum(row.balance_minor for row in trial_balance(database)) == 0
            assert sum(balances(database).values()) == 0
        process.kill()


async def test_killed_anywhere_the_trial_balance_is_zero_at_every_snapshot(store_url: str, tmp_path: Path) -> None:
    dice = random.Random(7)
    async with an_installation(store_url, tmp_path, more=LEDGER) as one:
        for _ in range(3):
            live_half_a_year(one)
        one.take_in()
        command = [
            sys.executable, "-c", WORKER, str(one.settings.home), str(one.settings.charter), one.settings.store,
        ]  # fmt: skip
        for strike in range(KILLS + 1):
            strike_down(command, one.hub.database, dice.uniform(0.02, 0.4) if strike < KILLS else 30)
        # Workers lived by the clock of this machine: what they put off, to be read again, is due by that one.
        one.clock.at = datetime.now(UTC) + timedelta(seconds=600)
        await one.settle()
        one.hub.bookkeeper.catch_up()
        made = draft_books(one.hub.database, one.hub.charter, before_on=date(2031, 1, 1), now=one.clock())
        posted = [entry for entry in made.entries if entry.cause.rule != "revenue_recognised"]
        whole = {row.account: row.balance_minor for row in drafted_balance(posted) if row.balance_minor}
        assert balances(one.hub.database) == whole
        assert held(one.hub.database) == []
        assert counted_on(one.hub.database) == counted_anew(one.hub.database)

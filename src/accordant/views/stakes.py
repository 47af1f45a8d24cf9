"""What is at stake: the customers behind what did not go through, or waits, and what they pay a month.

Alerts, figures and the first page say it in the same words. Next: `worth.py`, which prices an account.
"""

from datetime import UTC, datetime, tzinfo

import msgspec
from sqlalchemy import Connection, Select, select, text

from accordant.kernel.money import Money
from accordant.store.engine import Database
from accordant.store.schema import inbox_work, parked_lane, write_intent
from accordant.views.status import OPEN_INTENT, TROUBLED_EVENT, TROUBLED_INTENT
from accordant.views.worth import accounts_of_lanes, accounts_of_records, parties, total

#: Writes, and events, whose money is summed; of more than these it is said that there are more.
SUMMED_MAX = 2_000
_UNSEEN = text("inbox_work.state = 'received'")
_Names = Select[str]


class Stake(msgspec.Struct, frozen=True, kw_only=True):
    """Recurring revenue a month of some accounts, one amount a currency. ``partial`` says that there are more."""

    accounts: int
    worth: tuple[Money, ...]
    partial: bool

    @property
    def sentence(self) -> str:
        """For an alert; empty where nobody is affected."""
        if not self.accounts:
            return ""
        at_least = "at least " if self.partial else ""
        amounts = " and ".join(str(money) for money in self.worth) or "nothing"
        return f"Customers affected: {at_least}{self.accounts:,}, who pay {at_least}{amounts} a month."


def troubled(connection: Connection, *, now: datetime, zone: tzinfo = UTC) -> Stake:
    """Behind writes that wait for a person or whose outcome is unknown, and events that were given up."""
    records = select(write_intent.c.record).where(TROUBLED_INTENT)
    dead = select(inbox_work.c.lane).where(TROUBLED_EVENT, inbox_work.c.state == "dead")
    return _stake(connection, records, dead, now=now, zone=zone)


def waiting(database: Database, *, flow: str, source: str, now: datetime, zone: tzinfo = UTC) -> Stake:
    """Behind a flow's writes that are not confirmed yet, and its source's events that nobody looked at.

    What stands behind a parked lane waits for a person and is left out, as in `ports.lag.LagBook`.
    """
    parked = select(parked_lane.c.lane)
    writes = (OPEN_INTENT, ~write_intent.c.shadow, write_intent.c.flow == flow, write_intent.c.lane.not_in(parked))
    events = (_UNSEEN, inbox_work.c.connection == source, inbox_work.c.lane.not_in(parked))
    with database.read() as connection:
        records, lanes = select(write_intent.c.record).where(*writes), select(inbox_work.c.lane).where(*events)
        return _stake(connection, records, lanes, now=now, zone=zone)


def _stake(connection: Connection, records: _Names, lanes: _Names, *, now: datetime, zone: tzinfo) -> Stake:
    named, on_lanes = _first(connection, records), _first(connection, lanes)
    accounts = {
        *accounts_of_records(connection, named[:SUMMED_MAX]).values(),
        *accounts_of_lanes(connection, on_lanes[:SUMMED_MAX]).values(),
    }
    found = parties(connection, accounts, as_of=now, zone=zone)
    return Stake(
        accounts=len(accounts),
        worth=total(amount for party in found.values() for amount in party.mrr),
        partial=len(named) > SUMMED_MAX or len(on_lanes) > SUMMED_MAX,
    )


def _first(connection: Connection, query: _Names) -> list[str]:
    return list(connection.execute(query.distinct().limit(SUMMED_MAX + 1)).scalars())

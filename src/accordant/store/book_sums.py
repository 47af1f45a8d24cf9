"""What the lines of a month come to, counted on with every entry in the commit that stores it.

Several processes post at once, and all of them the same few sums: each connection counts on rows of its own, which are
added up when they are read, so that nobody waits for another's commit. Next: `views/journal.py`, which reads them.
"""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection

from accordant.ledger.entries import JournalEntry
from accordant.ports.books import BookChanges
from accordant.store import bulk
from accordant.store.schema import journal_entry, period_balance, recognised_month

_BALANCE = ("legal_entity", "month", "account", "currency", "role", "rule", "part", "debit_minor", "credit_minor")
_RECOGNISED = ("legal_entity", "booked_month", "month", "part", "books_minor")
#: Rows that a sum is spread over, at most.
_PARTS = 16


def count_on(connection: Connection, changes: BookChanges) -> None:
    """Add what is posted and recognised to the sums of their months."""
    part = _part(connection)
    entries = [kept.entry for kept in changes.entries]
    if entries:
        balances = _balances(connection, entries)
        rows = [(*key, part, debit, credit) for key, (debit, credit) in sorted(balances.items())]
        bulk.add_to(connection, period_balance, _BALANCE, rows, sums=("debit_minor", "credit_minor"))
    if changes.recognitions:
        earned: Counter[tuple[str, str, str]] = Counter()
        for one in changes.recognitions:
            earned[one.legal_entity, f"{one.booked_on:%Y-%m}", f"{one.month_on:%Y-%m}"] += one.books_minor
        rows_earned = [(*key, part, minor) for key, minor in sorted(earned.items())]
        bulk.add_to(connection, recognised_month, _RECOGNISED, rows_earned, sums=("books_minor",))


def _balances(
    connection: Connection, entries: Sequence[JournalEntry]
) -> dict[tuple[str, str, str, str, str, str], tuple[int, int]]:
    """Debits and credits by what `period_balance` has for a key, without its part."""
    rules = {one.id: one.cause.rule for one in entries}
    elsewhere = {one.reverses for one in entries if one.reverses is not None} - rules.keys()
    rules |= dict(bulk.select_by_keys(connection, journal_entry, ("id", "rule"), "id", sorted(elsewhere)))
    sums: dict[tuple[str, str, str, str, str, str], tuple[int, int]] = {}
    for one in entries:
        rule = one.cause.rule if one.reverses is None else rules.get(one.reverses, one.cause.rule)
        month = f"{one.posted_on:%Y-%m}"
        for line in one.postings:
            role = "" if line.role is None else line.role.value
            key = (one.legal_entity, month, line.account, line.amount.currency, role, rule)
            debit, credit = sums.get(key, (0, 0))
            sums[key] = debit + line.debit_minor, credit + line.credit_minor
    return sums


def _part(connection: Connection) -> int:
    """Which rows this connection counts on. SQLite has one writer, and one part."""
    if connection.dialect.name == "sqlite":
        return 0
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  an open connection has one
    return int(driver.info.backend_pid) % _PARTS

"""Clearances on SQL: insert-only rows, of which the last of a customer and check counts."""

from collections.abc import Iterable

from sqlalchemy import Connection

from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.owed import owe
from accordant.store.schema import clearance

_COLUMNS = ("account_id", "kind", "status", "evidence", "reason", "checked_at", "recorded_by", "recorded_at")


class SqlClearanceBook:
    """`ports.clearances.ClearanceBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, found: Clearance, *, entry: AuditEntry) -> None:
        """See the port."""
        row = (
            found.account_id,
            found.check.value,
            found.status.value,
            found.evidence,
            found.reason,
            to_micros(found.checked_at),
            found.recorded_by,
            to_micros(found.recorded_at),
        )
        with self._database.write() as connection:
            bulk.insert(connection, clearance, _COLUMNS, [row])
            owe(connection, [found.account_id], now=entry.at)
            audit.append(connection, [entry], now=entry.at)

    def of(self, account_ids: Iterable[str]) -> dict[str, dict[CheckKind, Clearance]]:
        """See the port."""
        with self._database.read() as connection:
            return read_clearances(connection, account_ids)


def read_clearances(connection: Connection, account_ids: Iterable[str]) -> dict[str, dict[CheckKind, Clearance]]:
    """The newest finding of each check, by customer. Raises: nothing; customers without any are left out."""
    rows = bulk.select_by_keys(connection, clearance, ("id", *_COLUMNS), "account_id", account_ids)
    newest: dict[str, dict[CheckKind, Clearance]] = {}
    for _, *row in sorted(rows):
        found = _clearance(tuple(row))
        newest.setdefault(found.account_id, {})[found.check] = found
    return newest


def _clearance(row: bulk.Row) -> Clearance:
    account_id, kind, status, evidence, reason, checked_at, recorded_by, recorded_at = row
    return Clearance(
        account_id=account_id,
        check=CheckKind(kind),
        status=CheckStatus(status),
        evidence=evidence,
        reason=reason,
        checked_at=from_micros(checked_at),
        recorded_by=recorded_by,
        recorded_at=from_micros(recorded_at),
    )

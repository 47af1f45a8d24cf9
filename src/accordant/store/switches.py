"""Switches on SQL: the row is the switch, and throwing it is one transaction with its line in the trail."""

from sqlalchemy import delete

from accordant.kernel.clock import to_micros
from accordant.ports.audit import AuditEntry
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.schema import switch


class SqlSwitchboard:
    """`ports.switches.Switchboard` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def throw(self, name: str, *, reason: str, entry: AuditEntry) -> bool:
        """See the port."""
        row = (name, reason, entry.actor, to_micros(entry.at))
        with self._database.write() as connection:
            if not bulk.insert_new(connection, switch, ("name", "reason", "thrown_by", "thrown_at"), [row]):
                return False
            audit.append(connection, [entry], now=entry.at)
        return True

    def release(self, name: str, *, entry: AuditEntry) -> bool:
        """See the port."""
        with self._database.write() as connection:
            if not connection.execute(delete(switch).where(switch.c.name == name)).rowcount:
                return False
            audit.append(connection, [entry], now=entry.at)
        return True

"""The JSON of QuickBooks Online and ours: amounts are decimals, never floats; instants carry an offset.
Guarantees that a body of somebody else is told apart. Source: Intuit's own XSDs, whose element names are the members.
Next: api.py, which sends them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from accordant.connectors.sdk.plain_json import Row


def moment(text: str | None) -> datetime | None:
    """An instant such as ``2026-03-14T01:26:00-08:00``, in UTC. None where there is none."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def changed_at(row: Row) -> datetime | None:
    """When a record was changed last."""
    return moment((row.get("MetaData") or {}).get("LastUpdatedTime"))


def day(text: str | None) -> date | None:
    """A day such as ``2026-01-31``. None where there is none."""
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def quoted(text: str) -> str:
    """A text inside a query, with what would end it escaped."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def listed(values: list[str]) -> str:
    """Texts as a query lists them."""
    return "(" + ", ".join(map(quoted, values)) + ")"

"""Xero's JSON and ours: amounts are decimals, never floats; instants come as milliseconds in .NET's spelling, in UTC.
Guarantees that a body of somebody else is told apart. Source: Xero's own OpenAPI, version 16.1.0 (``x-is-msdate``).
Next: api.py, which sends them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DOT_NET = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str | None) -> datetime | None:
    """An instant: ``/Date(1439434356790)/`` is UTC whatever offset stands behind it. None where there is none."""
    found = _DOT_NET.fullmatch(text or "")
    return None if found is None else _EPOCH + timedelta(milliseconds=int(found[1]))


def day(text: str | None) -> date | None:
    """A day, in .NET's spelling or as ``2026-01-31``. None where there is none."""
    at = moment(text)
    if at is not None:
        return at.date()
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def quoted(text: str) -> str:
    """A text inside a filter. Xero knows no escape, so that what would end it is left out: it then finds nothing."""
    return '"' + text.replace('"', "").replace("\\", "") + '"'

"""Reads from Tryton what customers owe: who owes another amount than before, and who has become overdue since.
Guarantees that one state of a customer is one event, however often it is asked for.
Next: inbound.py, which says what it means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.receivables import CHANGED, RECEIVABLE, Told, debts, spell
from accordant.connectors.tryton.rpc import Rpc
from accordant.connectors.tryton.wire import Json
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import Page

_LINE = "account.move.line"
_FIELDS = (
    "debit", "credit", "maturity_date", "date", "party", "reconciliation", "create_date", "write_date",
    "move.company", "move.company.currency.code",
)  # fmt: skip
_DAY = timedelta(days=1)
#: A customer at one company.
Owing = tuple[int, int]


class TrytonReader:
    """Implements ``ports.connector.Reader`` and ``EventLister`` for what customers owe."""

    def __init__(self, rpc: Rpc, *, system: str, clock: Clock) -> None:
        self._rpc = rpc
        self._system = system
        self._clock = clock

    async def read(self, ref: ExternalRef) -> tuple[bytes, datetime]:
        """See the port. Raises RejectedError for an object that is not read."""
        asked_at = self._clock()
        party, _, company = ref.id.partition("@")
        if ref.object_type != RECEIVABLE or not (party.isdecimal() and company.isdecimal()):
            raise RejectedError(f"Of Tryton only what customers owe is read, not {ref}.")
        owing = (int(party), int(company))
        rows = (await self._lines([["party", "=", owing[0]]])).get(owing, [])
        return (spell(_told(owing, rows, asked_at)) if rows else b""), asked_at

    async def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """See the port. Everybody with something open, in one page; none of any other type."""
        if object_type != RECEIVABLE:
            return
        asked_at = self._clock()
        groups = await self._lines([["reconciliation", "=", None]])
        stamped = {
            owing: rows for owing, rows in groups.items() if created_since is None or _last(rows) >= created_since
        }
        yield Page(
            objects=tuple(
                (ExternalRef(self._system, RECEIVABLE, _name(owing)), spell(_told(owing, rows, asked_at)))
                for owing, rows in stamped.items()
            ),
            read_at=asked_at,
        )

    async def events(
        self, *, since: datetime, until: datetime, event_type: str | None = None, undelivered: bool = False
    ) -> AsyncIterator[tuple[bytes, ...]]:
        """See the port. A change is of the moment of the last one, becoming overdue of the first moment of that day."""
        if undelivered or event_type not in {None, CHANGED}:
            return
        changed: list[Json] = ["OR", ["create_date", ">=", since], ["write_date", ">=", since]]
        late: list[Json] = [
            ["reconciliation", "=", None],
            ["maturity_date", ">=", since.date() - _DAY],
            ["maturity_date", "<", until.date()],
        ]
        touched = await self._rpc.find(
            _LINE, [_OWED, ["party", "!=", None], ["OR", changed, late]], ["party"], context=_CONTEXT, limit=None
        )
        parties = sorted({row["party"] for row in touched})
        groups = await self._lines([["party", "in", parties]]) if parties else {}
        found = []
        for owing, rows in groups.items():
            at = _last(rows, by=until)
            if since <= at < until:
                found.append((at, spell(_told(owing, rows, at))))
        if found:
            yield tuple(body for _, body in sorted(found, reverse=True))

    async def close(self) -> None:
        """Release connections."""
        await self._rpc.close()

    async def _lines(self, domain: list[Json]) -> dict[Owing, list[dict[str, Json]]]:
        """Every posted line on what customers owe, by customer and company."""
        rows = await self._rpc.find(
            _LINE, [_OWED, ["party", "!=", None], *domain], _FIELDS, context=_CONTEXT, limit=None
        )
        groups: dict[Owing, list[dict[str, Json]]] = defaultdict(list)
        for row in rows:
            groups[row["party"], row["move."]["company"]].append(row)
        return groups


_OWED = [["account.type.receivable", "=", True], ["move.state", "=", "posted"]]
_CONTEXT = {"language": "en"}


def _last(rows: Iterable[Mapping[str, Json]], *, by: datetime | None = None) -> datetime:
    """When what a customer owes last changed, or became overdue; a change after ``by`` counts, being a later one."""
    moments: list[datetime] = [row["write_date"] or row["create_date"] for row in rows]
    turned = [datetime.combine(_due(row) + _DAY, time(), UTC) for row in rows if row["reconciliation"] is None]
    return max([*moments, *(moment for moment in turned if by is not None and moment < by)])


def _due(row: Mapping[str, Json]) -> date:
    due: date = row["maturity_date"] or row["date"]
    return due


def _told(owing: Owing, rows: Iterable[Mapping[str, Json]], at: datetime) -> Told:
    listed = list(rows)
    currency: str = listed[0]["move."]["company."]["currency."]["code"]
    open_lines = [row for row in listed if row["reconciliation"] is None]
    owed = sum((row["debit"] - row["credit"] for row in open_lines), Decimal(0))
    late = [(row["debit"], _due(row)) for row in open_lines if row["debit"] > 0 and _due(row) < at.date()]
    return debts(_name(owing), str(owing[0]), at=at, currency=currency, owed=owed, late=late)


def _name(owing: Owing) -> str:
    return f"{owing[0]}@{owing[1]}"

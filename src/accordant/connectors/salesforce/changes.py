"""Reads from Salesforce what changed of its own: by the stamp of every change and the id, the recycle bin included.
Guarantees that one state of a record is one event however often it is asked for, and that some of the org's daily
allowance of calls is left to everybody else. Next: inbound.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from heapq import merge

from accordant.canonical.refs import ExternalRef
from accordant.connectors.salesforce import soql
from accordant.connectors.salesforce.calls import Calls
from accordant.connectors.salesforce.inbound import (
    ACCOUNT,
    CHANGED,
    CONTACT,
    LINE,
    OPPORTUNITY,
    READ,
    Scope,
    Told,
    spell,
)
from accordant.connectors.salesforce.wire import Json
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import Page, RateLimited, TargetUnavailable

PAGE_ROWS = 500
#: Of the org's daily allowance of calls, what reading may not touch: writes and people need it.
SPARED = 0.1
#: How long to wait when only that is left, in seconds: the allowance is one of the last 24 hours.
SPARED_PAUSE_S = 900.0
_STAMP = "SystemModstamp"
_FIELDS: dict[str, tuple[str, ...]] = {
    ACCOUNT: (
        "Name", "Phone", "Website", "Industry", "ParentId", "BillingStreet", "BillingCity", "BillingState",
        "BillingPostalCode", "BillingCountry", "MasterRecordId", "OwnerId",
    ),
    CONTACT: ("AccountId", "Name", "Email", "Phone", "MasterRecordId"),
    OPPORTUNITY: ("AccountId", "Name", "StageName", "IsWon", "IsClosed", "CloseDate", "Amount", "OwnerId"),
    LINE: ("OpportunityId", "Product2Id", "ProductCode", "Name", "Quantity", "UnitPrice"),
}  # fmt: skip
_ALWAYS = ("Id", "IsDeleted", _STAMP, "LastModifiedById")
_OBJECT_OF = {name: object_name for object_name, name in READ.items()}


class SalesforceReader:
    """Implements ``ports.connector.Reader`` and ``EventLister`` for what is the CRM's own."""

    def __init__(self, calls: Calls, scope: Scope, *, system: str, clock: Clock) -> None:
        """``system`` is the connection's name in the charter. Use it inside one event loop; ``close`` it there."""
        self._calls = calls
        self._scope = scope
        self._system = system
        self._clock = clock

    async def read(self, ref: ExternalRef) -> tuple[bytes, datetime]:
        """See the port. A record in the recycle bin is there, as deleted. Raises RejectedError for what is not read."""
        asked_at = self._clock()
        object_name = _OBJECT_OF.get(ref.object_type)
        if object_name is None or object_name not in self._scope.objects:
            listed = ", ".join(READ[name] for name in self._scope.objects)
            raise RejectedError(f"Of {self._system} only these are read: {listed}; not {ref}.")
        question = f"{self._select(object_name)} WHERE Id = {soql.quoted(ref.id)}"
        rows = [row async for row in self._rows(object_name, question)]
        for told in await self._told(object_name, rows):
            return spell(told), asked_at
        return b"", asked_at

    async def pages(self, object_type: str, *, created_since: datetime | None = None) -> AsyncIterator[Page]:
        """See the port. Nothing of a type that is not read."""
        object_name = _OBJECT_OF.get(object_type)
        if object_name is None or object_name not in self._scope.objects:
            return
        since = "" if created_since is None else f"CreatedDate >= {_spelled(created_since)}"
        asked_at = self._clock()
        async for rows in self._walk(object_name, since, stamp="CreatedDate"):
            live = [row for row in rows if row.get("IsDeleted") is not True]
            told = await self._told(object_name, live)
            objects = tuple((ExternalRef(self._system, object_type, one.row["Id"]), spell(one)) for one in told)
            yield Page(objects=objects, read_at=asked_at)

    async def events(
        self, *, since: datetime, until: datetime, event_type: str | None = None, undelivered: bool = False
    ) -> AsyncIterator[tuple[bytes, ...]]:
        """See the port. A change is of the moment of the last one: what changed since is told as it is now."""
        if undelivered:
            return
        found: list[list[tuple[datetime, str, bytes]]] = []
        for object_name in self._scope.objects:
            if event_type not in {None, CHANGED[object_name]}:
                continue
            told = await self._changed(object_name, since, until)
            stamped = [
                (one.at, f"{object_name}/{one.row['Id']}", spell(one)) for one in told if since <= one.at < until
            ]
            found.append(sorted(stamped, reverse=True))
        bodies = [body for _, _, body in merge(*found, reverse=True)]
        for start in range(0, len(bodies), PAGE_ROWS):
            yield tuple(bodies[start : start + PAGE_ROWS])

    async def close(self) -> None:
        """Release connections."""
        await self._calls.close()

    # -- what changed -------------------------------------------------------------------------------------------------

    async def _changed(self, object_name: str, since: datetime, until: datetime) -> list[Told]:
        """Records of one object with a change in a span; an opportunity also for a change of one of its lines."""
        span = f"{_STAMP} >= {_spelled(since)} AND {_STAMP} < {_spelled(until)}"
        rows = {row["Id"]: row async for page in self._walk(object_name, span) for row in page}
        stamps: dict[str, list[datetime]] = {}
        if object_name == OPPORTUNITY:
            async for page in self._walk(LINE, span):
                for line in page:
                    stamps.setdefault(line["OpportunityId"], []).append(_stamp(line))
            question = f"{self._select(OPPORTUNITY)} WHERE Id"
            for one in soql.any_of(question, sorted(stamps.keys() - rows.keys())):
                async for row in self._rows(OPPORTUNITY, one):
                    rows[row["Id"]] = row
        return await self._told(object_name, list(rows.values()), stamps)

    async def _told(
        self, object_name: str, rows: Sequence[dict[str, Json]], stamps: dict[str, list[datetime]] | None = None
    ) -> list[Told]:
        """Rows with what belongs to them. ``stamps`` are of lines that are gone: their going is a change too."""
        lines: dict[str, list[dict[str, Json]]] = {}
        if object_name == OPPORTUNITY and rows:
            question = f"{self._select(LINE)} WHERE IsDeleted = false AND OpportunityId"
            for one in soql.any_of(question, sorted(row["Id"] for row in rows)):
                async for line in self._rows(LINE, one):
                    lines.setdefault(line["OpportunityId"], []).append(line)
        found = []
        for row in rows:
            own = lines.get(row["Id"], [])
            moments = [_stamp(row), *map(_stamp, own), *(stamps or {}).get(row["Id"], ())]
            ordered = tuple(sorted(own, key=lambda line: str(line["Id"])))
            found.append(Told(object=object_name, at=max(moments), row=row, lines=ordered))
        return found

    async def _walk(self, object_name: str, where: str, *, stamp: str = _STAMP) -> AsyncIterator[list[dict[str, Json]]]:
        """Rows page by page, newest first, each page from where the last one ended: what changes meanwhile is neither
        told twice nor passed over.
        """
        behind: tuple[str, str] | None = None
        while True:
            conditions = [f"({where})"] if where else []
            if behind is not None:
                at, name = behind
                conditions.append(f"({stamp} < {at} OR ({stamp} = {at} AND Id < {soql.quoted(name)}))")
            head = self._select(object_name, stamp)
            whole = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            question = f"{head}{whole} ORDER BY {stamp} DESC, Id DESC LIMIT {PAGE_ROWS}"
            rows = [row async for row in self._rows(object_name, question)]
            if rows:
                yield rows
            if len(rows) < PAGE_ROWS:
                return
            behind = _spelled(_stamp(rows[-1], stamp)), rows[-1]["Id"]

    def _select(self, object_name: str, *more: str) -> str:
        scope = self._scope
        fields = [*_ALWAYS, *more, *_FIELDS[object_name]]
        if object_name == ACCOUNT:
            fields += [*([scope.email_field] if scope.email_field else []), *scope.company_fields]
        if object_name == OPPORTUNITY:
            named = (scope.starts_on_field, scope.term_months_field)
            fields += [*(name for name in named if name), *scope.opportunity_fields]
            fields += [] if scope.currency else ["CurrencyIsoCode"]
        if object_name == LINE and scope.price_field:
            fields.append(scope.price_field)
        # Every name is ours or went through checked_path, every value goes through quoted.
        return f"SELECT {', '.join(dict.fromkeys(fields))} FROM {object_name}"  # noqa: S608

    async def _rows(self, object_name: str, question: str) -> AsyncIterator[dict[str, Json]]:
        """Every row of an answer, the recycle bin included, without what only says how it was answered."""
        self._spare()
        async for row in self._calls.rows(object_name, question, resource="queryAll"):
            plain = _plain(row)
            if not isinstance(plain, dict) or not isinstance(plain.get("Id"), str):
                raise TargetUnavailable(f"Salesforce answered a question for {object_name} with a row without an Id.")
            yield plain

    def _spare(self) -> None:
        """Raises RateLimited when only the part of the allowance is left that is not for reading."""
        usage = self._calls.usage
        if usage is not None and usage.allowed and usage.used >= usage.allowed * (1 - SPARED):
            said = (
                f"{usage.used} of the {usage.allowed} calls this org may make a day are used; the rest is for writes."
            )
            # One answer in so long is let through: it tells how many are used by then.
            self._calls.usage = None
            raise RateLimited(said, retry_after_s=SPARED_PAUSE_S)


def _plain(row: Json) -> Json:
    if isinstance(row, dict):
        return {name: _plain(value) for name, value in row.items() if name != "attributes"}
    return row


def _stamp(row: dict[str, Json], name: str = _STAMP) -> datetime:
    """A stamp of Salesforce's. Raises TargetUnavailable for one that cannot be read: nothing could be ordered by it."""
    try:
        at = datetime.fromisoformat(str(row.get(name)))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise TargetUnavailable(f"Salesforce answered with a record whose {name} is no moment.")
    return at.astimezone(UTC)


def _spelled(moment: datetime) -> str:
    """A moment as a question takes it, without quotes."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

"""Missed events: a provider's own list of what happened is walked, and what the inbox lacks enters there, in order.

All since the last sweep is asked for: an endpoint that was switched off or narrowed leaves nothing "undelivered". What
lies further back than the provider lists is found by comparing the objects instead, and that is told.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from functools import partial

import msgspec

from accordant.kernel.clock import Clock
from accordant.operations.compare_source import CUSTOMERS, Part, SourceComparison, SourceScope
from accordant.operations.fetched import fetched
from accordant.operations.reconcile import Progress, off_loop
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import Envelope, EventLister, Inbound
from accordant.ports.inbox import Inbox, Reception
from accordant.ports.missed import SweepBook

#: Lists are complete only after a while: each sweep looks back this far behind the end of the last one.
OVERLAP = timedelta(hours=1)
#: What happened just now is left to its delivery, which is on its way.
SETTLING = timedelta(minutes=2)
#: Pages age while they are read, so the oldest hour of the provider's window is not relied on.
WINDOW_MARGIN = timedelta(hours=1)
#: The same of a system that delivers nothing: only its clock and ours may differ.
SETTLING_UNSENT = timedelta(seconds=15)
#: The span that is gathered before it is stored oldest first, and the most events that are held at once.
SLICE = timedelta(hours=6)
#: The same of a system that is asked with few calls, however long the span: a day's allowance may be small.
SLICE_UNSENT = timedelta(days=7)
HELD_MAX = 2_000
_ACCEPT_MAX = 200
#: How often the whole window is asked for what was not delivered: whatever became visible later than the overlap.
UNDELIVERED_EVERY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class SweepCursors(msgspec.Struct, frozen=True, kw_only=True):
    """How far sweeps of a system are: ``done_to`` is swept; ``undelivered_at`` is when the whole window was asked."""

    done_to: datetime | None = None
    undelivered_at: datetime | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is swept: ``event_types`` are those its connector understands, ``window`` how far back it lists.

    ``settling`` is what of the latest past is left alone, ``slice`` the span that is asked for at once.
    """

    system: str
    lister: EventLister
    inbound: Inbound
    event_types: Collection[str]
    window: timedelta
    settling: timedelta = SETTLING
    slice: timedelta = SLICE


class SweepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep came to. ``listed`` events were looked at; ``found`` counts those that were missing, by type.

    ``rescan`` is there when the list did not reach back far enough: ``lost_from`` to ``since`` is not in it.
    ``rescan`` are customers and subscriptions, ``rescan_money`` what was billed and paid.
    """

    system: str
    since: datetime
    until: datetime
    listed: int = 0
    found: dict[str, int] = {}
    lost_from: datetime | None = None
    rescan: SourceComparison | None = None
    rescan_money: SourceComparison | None = None

    @property
    def total(self) -> int:
        """How many events were missing."""
        return sum(self.found.values())


class Sweep:
    """Walks one system's list. ``keep`` remembers the cursors, ``audit`` the lines of the trail."""

    def __init__(
        self,
        source: Source,
        *,
        inbox: Inbox,
        book: SweepBook,
        keep: Callable[[SweepCursors], None],
        audit: Callable[[AuditEntry], None],
        rescan: Callable[[SourceScope], Awaitable[SourceComparison]],
        clock: Clock,
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._inbox = inbox
        self._book = book
        self._keep = keep
        self._audit = audit
        self._rescan = rescan
        self._clock = clock
        self._progress = progress
        self._listed = 0
        self._found: dict[str, int] = {}

    async def run(self, cursors: SweepCursors, *, actor: str, since: datetime | None = None) -> SweepReport:
        """Sweep from where the last one ended, or from ``since``. Events enter the inbox; rooms are not run.

        Raises RateLimited, TargetUnavailable, AuthorizationExpired: what was swept until then is done, and the next
        sweep goes on there.
        """
        now = self._clock()
        until = _whole(now - self._source.settling)
        wanted = await self._start(cursors, since, until)
        reach = _whole(now - self._source.window + WINDOW_MARGIN)
        start = max(wanted, reach)
        report = SweepReport(system=self._source.system, since=start, until=until)
        if wanted < reach:
            report = await self._beyond(report, wanted, actor)
        cursors = SweepCursors(done_to=max(start, cursors.done_to or start), undelivered_at=cursors.undelivered_at)
        await off_loop(partial(self._keep, cursors))
        cursors = await self._undelivered(cursors, reach, start, now)
        await self._walk(cursors, start, until)
        report = msgspec.structs.replace(report, listed=self._listed, found=dict(sorted(self._found.items())))
        if report.total:
            await off_loop(partial(self._audit, self._line("sweep.source.swept", report, actor)))
        return report

    async def _start(self, cursors: SweepCursors, since: datetime | None, until: datetime) -> datetime:
        """A hub that heard nothing yet begins now: a company's past is not its missed events."""
        if since is not None:
            return min(_whole(since), until)
        if cursors.done_to is not None:
            return min(_whole(cursors.done_to - OVERLAP), until)
        first = await off_loop(partial(self._book.first_at, self._source.system))
        return min(_whole(first), until) if first is not None else until

    async def _beyond(self, report: SweepReport, wanted: datetime, actor: str) -> SweepReport:
        """The list no longer reaches back: objects are compared first, so that what is listed comes after them."""
        report = msgspec.structs.replace(report, lost_from=wanted)
        await off_loop(partial(self._audit, self._line("sweep.window.exceeded", report, actor)))
        people = await self._rescan(CUSTOMERS)
        money = await self._rescan(SourceScope(part=Part.MONEY, since=wanted))
        return msgspec.structs.replace(report, rescan=people, rescan_money=money)

    async def _undelivered(
        self, cursors: SweepCursors, reach: datetime, start: datetime, now: datetime
    ) -> SweepCursors:
        last = cursors.undelivered_at
        if last is not None and now - last < UNDELIVERED_EVERY:
            return cursors
        first = await off_loop(partial(self._book.first_at, self._source.system))
        begin = max(reach, _whole(first)) if first is not None else start
        await self._sliced(begin, start, undelivered=True)
        cursors = msgspec.structs.replace(cursors, undelivered_at=now)
        await off_loop(partial(self._keep, cursors))
        return cursors

    async def _walk(self, cursors: SweepCursors, start: datetime, until: datetime) -> None:
        def reached(end: datetime) -> None:
            if cursors.done_to is None or end > cursors.done_to:
                self._keep(msgspec.structs.replace(cursors, done_to=end))

        await self._sliced(start, until, reached=reached)

    async def _sliced(
        self,
        start: datetime,
        until: datetime,
        *,
        undelivered: bool = False,
        reached: Callable[[datetime], None] | None = None,
    ) -> None:
        """Span by span, oldest first, each span narrowed until what it lacks can be held at once."""
        widest = width = self._source.slice
        while start < until:
            end = min(start + width, until)
            missing = await self._missing(start, end, undelivered=undelivered, is_last_word=width <= _SECOND)
            if missing is None:
                width = max(_SECOND, _whole_span(width / 2))
                continue
            await self._take_in(missing)
            if reached is not None:
                await off_loop(partial(reached, end))
            start, width = end, min(widest, width * 2)

    async def _missing(
        self, start: datetime, end: datetime, *, undelivered: bool, is_last_word: bool
    ) -> list[tuple[Envelope, bytes]] | None:
        """What the inbox lacks of a span, newest first; None when that is too much to hold."""
        missing: list[tuple[Envelope, bytes]] = []
        source, seen = self._source, 0
        async for page in source.lister.events(since=start, until=end, undelivered=undelivered):
            seen += len(page)
            told = [(source.inbound.read_envelope(body), body) for body in page]
            understood = [one for one in told if one[0].event_type in source.event_types]
            names = {envelope.external_id for envelope, _ in understood}
            known = await off_loop(partial(self._book.known, source.system, names))
            missing += [one for one in understood if one[0].external_id not in known]
            if len(missing) > HELD_MAX and not is_last_word:
                return None
            if self._progress is not None:
                self._progress(self._listed + seen, 0)
        self._listed += seen
        return missing

    async def _take_in(self, missing: list[tuple[Envelope, bytes]]) -> None:
        """Store them oldest first; of one second, in the order in which the provider listed them."""
        ordered = missing[::-1]
        ordered.sort(key=lambda one: one[0].occurred_at)
        for at in range(0, len(ordered), _ACCEPT_MAX):
            now = self._clock()
            arrivals = [
                fetched(self._source.system, envelope, body, now=now)
                for envelope, body in ordered[at : at + _ACCEPT_MAX]
            ]
            verdicts = await off_loop(partial(self._inbox.accept, arrivals))
            for arrival, verdict in zip(arrivals, verdicts, strict=True):
                if verdict is Reception.NEW:
                    name = arrival.envelope.event_type
                    self._found[name] = self._found.get(name, 0) + 1

    def _line(self, kind: str, report: SweepReport, actor: str) -> AuditEntry:
        return AuditEntry(
            kind=kind,
            actor=actor,
            subject=report.system,
            cause=None,
            at=self._clock(),
            body={
                "since": report.since.isoformat(),
                "until": report.until.isoformat(),
                "lost_from": None if report.lost_from is None else report.lost_from.isoformat(),
                "events": report.total,
                "types": [f"{name} {count}" for name, count in report.found.items()],
            },
        )


def told_of_sweep(report: SweepReport) -> str:
    """What a sweep came to, in a sentence or two."""
    told = f"{report.system}: {report.listed:,} events listed, "
    if report.total:
        kinds = ", ".join(f"{count:,} × {name}" for name, count in report.found.items())
        told += f"{report.total:,} had not arrived and were taken in: {kinds}."
    else:
        told += "all of them had arrived."
    if report.rescan is not None and report.lost_from is not None:
        days = (report.since - report.lost_from) / timedelta(days=1)
        scans = [one for one in (report.rescan, report.rescan_money) if one is not None]
        found = sum(one.reconciliation.run.discrepancies for one in scans)
        fed, records = sum(one.fed for one in scans), sum(one.reconciliation.run.records for one in scans)
        told += (
            f" {days:,.1f} days lie further back than events are listed, so the objects were compared instead: "
            f"{found:,} differences in {records:,}, {fed:,} put right from the owner's own answer."
        )
        if (left := found - fed) > 0:
            told += f" {left:,} belong to customers nobody has told of; see `accordant reconcile --source`."
    return told


def _whole(moment: datetime) -> datetime:
    """Providers list by the second."""
    return moment.replace(microsecond=0)


def _whole_span(span: timedelta) -> timedelta:
    return timedelta(seconds=span // _SECOND)

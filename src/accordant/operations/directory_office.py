"""The records of targets, read whole, and then followed: it is decided again for everybody who has no record yet.

A scan is followed only when that is done, which is kept beside it: a process that died in between is gone on from by
whoever looks next. Next: `scan_directory.py` for the reading.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from accordant.kernel.clock import Clock, to_micros
from accordant.kernel.errors import AccordantError, ConfigurationError
from accordant.operations.scan_directory import Progress, ScanReport, scan_directory
from accordant.pipeline.match import Matcher
from accordant.pipeline.plan import Rulebook
from accordant.ports.connector import Outbound
from accordant.ports.matching import ScanBook

#: A batch that had asked before the scan's end whose record a customer is may still commit after it: so long it is
#: decided once more.
_OVERTAKEN = timedelta(seconds=5)

_log = structlog.get_logger("hub")


class Marks(Protocol):
    """Remembers how far something has come, by name."""

    def read(self, name: str) -> int | None:
        """The position, or None before the first."""
        ...

    def move(self, name: str, position: int, *, now: datetime) -> None:
        """Everything up to ``position`` is done."""
        ...


class DirectoryOffice:
    """Reads the records of one hub's targets. ``unsettled`` are a target's accounts without a record of an object."""

    def __init__(
        self,
        *,
        book: ScanBook,
        marks: Marks,
        outbounds: Mapping[str, Outbound],
        rulebook: Callable[[], Rulebook],
        unsettled: Callable[[str, str], tuple[str, ...]],
        replan: Callable[[tuple[str, ...]], object],
        clock: Clock,
    ) -> None:
        self._book = book
        self._marks = marks
        self._outbounds = outbounds
        self._rulebook = rulebook
        self._unsettled = unsettled
        self._replan = replan
        self._clock = clock

    async def scan(self, system: str, *, progress: Progress | None = None) -> ScanReport:
        """Read the records of a target, then look there for every account that has none yet.

        Raises ConfigurationError where the charter does not look for anybody there, and as the target.
        """
        matchers = self._rulebook().matchers
        matcher = matchers.get(system)
        if matcher is None:
            known = ", ".join(sorted(matchers)) or "none, since the charter has no identity part"
            raise ConfigurationError(
                f"Nobody's record is looked for in {system!r}.", remedy=f"Targets that are searched: {known}."
            )
        report = await scan_directory(
            spec=matcher.spec,
            outbound=self._outbounds[system],
            reader=matcher.ladder.reader,
            book=self._book,
            clock=self._clock,
            progress=progress,
        )
        await asyncio.to_thread(self._follow, matcher)
        return report

    async def round(self) -> int:
        """Read the targets whose records nobody has read whole, follow scans that nobody has followed; how many."""
        done = 0
        for system, matcher in self._rulebook().matchers.items():
            known = await asyncio.to_thread(self._book.scan, system, matcher.spec.object)
            if known is None or known.is_open:
                done += 1
                try:
                    await self.scan(system)
                except AccordantError as error:
                    _log.warning("the records of a target could not be read", target=system, problem=str(error))
            elif await asyncio.to_thread(self._follow, matcher):
                done += 1
        return done

    def _follow(self, matcher: Matcher) -> bool:
        """Decide again for those without a record; False where that was done since the last scan's end."""
        scan = self._book.scan(matcher.system, matcher.object)
        name = f"scan/{matcher.system}/{matcher.object}"
        if scan is None or scan.complete_at is None or scan.is_open:
            return False
        ended = to_micros(scan.complete_at)
        if (self._marks.read(name) or 0) >= ended:
            return False
        self._replan(self._unsettled(matcher.system, matcher.object))
        if (now := self._clock()) >= scan.complete_at + _OVERTAKEN:
            self._marks.move(name, ended, now=now)
        return True

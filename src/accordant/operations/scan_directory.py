"""Read every record of a target that tells whose it is, and keep it in the directory. Nothing is written there.

A scan that broke off goes on where it was; at its end, what it no longer met is forgotten. Next: `identity/ladder.py`.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from accordant.canonical.targets import IdentitySpec
from accordant.identity.keys import Reader
from accordant.kernel.clock import Clock
from accordant.ports.connector import Outbound
from accordant.ports.directory import DirectoryEntry
from accordant.ports.matching import Scan, ScanBook

#: Told page by page: how many records were read, and 0 since nobody knows how many there are.
Progress = Callable[[int, int], None]


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan came to. ``records`` were read, ``forgotten`` are no longer there, ``known`` are in the directory."""

    system: str
    object: str
    resumed: bool
    records: int
    forgotten: int
    known: int


async def scan_directory(
    *,
    spec: IdentitySpec,
    outbound: Outbound,
    reader: Reader,
    book: ScanBook,
    clock: Clock,
    progress: Progress | None = None,
) -> ScanReport:
    """Read one object whole. Raises as ``Outbound.read``: what was read until then is kept, and the next scan goes on.

    Two scans at once read twice and end in the same directory.
    """
    known = await asyncio.to_thread(book.scan, spec.system, spec.object)
    resumed = known is not None and known.is_open
    scan = (
        known
        if known is not None and known.is_open
        else Scan(
            system=spec.system,
            object=spec.object,
            started_at=clock(),
            complete_at=None if known is None else known.complete_at,
        )
    )
    async for page in outbound.census(spec, after=scan.cursor):
        scan = msgspec.structs.replace(scan, cursor=page[-1].id, records=scan.records + len(page))
        entries = [DirectoryEntry(record=record, keys=reader.record(record).keys()) for record in page]
        await asyncio.to_thread(partial(book.keep_page, scan, entries, now=clock()))
        if progress is not None:
            progress(scan.records, 0)
    done = msgspec.structs.replace(scan, cursor="", complete_at=clock())
    forgotten = await asyncio.to_thread(book.finish_scan, done)
    return ScanReport(
        system=spec.system,
        object=spec.object,
        resumed=resumed,
        records=done.records,
        forgotten=forgotten,
        known=await asyncio.to_thread(book.count, spec.system, spec.object),
    )

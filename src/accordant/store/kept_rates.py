"""Lists of reference rates that came out after those that ship, kept as they were published and never changed."""

from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256

import msgspec
from sqlalchemy import func, select

from accordant.kernel.clock import to_micros
from accordant.kernel.errors import RejectedError
from accordant.ledger.rate_lists import RateLists, read_rate_lists
from accordant.ports.audit import AuditEntry
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.rates import last_shipped_on, shipped_rate
from accordant.store.schema_rates import reference_rate

_COLUMNS = ("currency", "published_on", "rate", "digest", "kept_at")


class RatesRefused(RejectedError):
    """The lists do not follow from what is known."""


class KeptRates(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file: how many lists are new, and the day of the newest that is known now."""

    lists: int
    newest_on: date


def keep_rates(database: Database, body: bytes, *, actor: str, now: datetime) -> KeptRates:
    """Keep the lists of a published file that are newer than those known. A second time nothing is new.

    Raises RatesUnreadable, RatesRefused: where the file says otherwise of a day that is known, or leaves a gap.
    """
    lists = read_rate_lists(body)
    digest = sha256(body).hexdigest()
    with database.write() as connection:
        table = reference_rate.c
        told = connection.execute(select(func.max(table.published_on))).scalar()
        newest = last_shipped_on() if told is None else date.fromisoformat(told)
        if newest not in lists:
            raise RatesRefused(
                f"The file has no list of {newest}, the newest that is known: days between would be missing.",
                remedy="Take the file of the whole history.",
            )
        kept = connection.execute(select(table.currency, table.published_on, table.rate)).all()
        _compare(lists, {(row.currency, row.published_on): row.rate for row in kept})
        fresh = {day: rates for day, rates in lists.items() if day > newest}
        if any(day > now.date() for day in fresh):
            raise RatesRefused("The file has a list of a day to come.", remedy="Compare it with the bank's own page.")
        rows = [
            (code, day.isoformat(), rate, digest, to_micros(now))
            for day, rates in fresh.items()
            for code, rate in rates.items()
        ]
        if rows:
            bulk.insert(connection, reference_rate, _COLUMNS, rows)
            audit.append(connection, [_entry(digest, len(fresh), max(fresh), actor, now)], now=now)
    return KeptRates(lists=len(fresh), newest_on=max((*fresh, newest)))


def _compare(lists: RateLists, kept: dict[tuple[str, str], str]) -> None:
    """A published rate never changes: of every day that is known the file has to say the same."""
    shipped_until = last_shipped_on()
    for day, rates in lists.items():
        for code, rate in rates.items():
            known = kept.get((code, day.isoformat()))
            before = Decimal(known) if known is not None else shipped_rate(code, day) if day <= shipped_until else None
            if before is not None and before != Decimal(rate):
                raise RatesRefused(
                    f"The file says {rate} {code} for a euro on {day}, where {before:f} is known.",
                    remedy="Compare both with the bank's own page; nothing of the file was kept.",
                )


def _entry(digest: str, lists: int, newest: date, actor: str, now: datetime) -> AuditEntry:
    return AuditEntry(
        kind="books.rates.kept",
        actor=actor,
        subject=f"rates/{newest.isoformat()}",
        cause=None,
        at=now,
        body={"digest": digest, "lists": lists, "source": "European Central Bank"},
    )

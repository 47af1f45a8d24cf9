"""MO3: eight workers post, are killed and come back, and whoever looks sees books that balance.

Who looks goes to the tables themselves, with no line of the product between: one statement is one moment. Next:
`bank.py` for what is posted, `docs/explanation/reliability.md` for what it says.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import msgspec
import psycopg

from accordant.store.audit import verify_chain
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from tests.faults import bank
from tests.faults.cluster import Cluster, cluster
from tests.faults.drills import report
from tests.faults.report import Report
from tests.faults.strikes import Tally

WORKERS = 8
_SEED = 20
#: So many postings between two strikes, and one of so many strikes is at the database instead of a worker.
_POSTINGS_A_STRIKE = 5_000
_STRIKES_MIN = 8
_OF_DATABASE = 8
#: Events that a worker takes at once; of few postings it takes less, so that there are commits enough to strike at.
_PAGE, _PAGE_OF_FEW, _MANY = 250, 50, 50_000
#: The longest pause between a look at the books and a strike: it may fall anywhere into what a worker does.
_PAUSE_S_MAX = 0.25
#: So many looks at books in which nothing moves. Counted, not timed: a machine may stand still for a while.
_IDLE_LOOKS_MAX = 2_000

_BALANCES = (
    "SELECT legal_entity, currency, sum(amount_minor), count(*) FROM journal_line GROUP BY legal_entity, currency"
)
_BY_ACCOUNT = (
    "SELECT legal_entity, currency, account, sum(amount_minor) FROM journal_line "
    "GROUP BY legal_entity, currency, account"
)
#: What there must be none of, by what it would be.
_NEVER = {
    "entries that do not balance": "SELECT count(*) FROM (SELECT entry_id FROM journal_line GROUP BY entry_id "
    "HAVING sum(amount_minor) <> 0 OR count(*) < 2) AS off",
    "postings without an entry": "SELECT count(*) FROM journal_line WHERE NOT EXISTS "
    "(SELECT 1 FROM journal_entry WHERE journal_entry.id = journal_line.entry_id)",
    "entries without postings": "SELECT count(*) FROM journal_entry WHERE NOT EXISTS "
    "(SELECT 1 FROM journal_line WHERE journal_line.entry_id = journal_entry.id)",
    "entries that nothing came to": "SELECT count(*) FROM journal_entry WHERE NOT EXISTS "
    "(SELECT 1 FROM posting WHERE posting.event = journal_entry.event AND posting.entry_id = journal_entry.id)",
    "events that came to two entries": "SELECT count(*) FROM (SELECT event FROM journal_entry GROUP BY event "
    "HAVING count(*) > 1) AS twice",
    "events that are held": "SELECT count(*) FROM posting WHERE state = 'held'",
}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of the books: debits less credits by company and currency, and how many postings there are."""

    off: dict[str, int]
    postings: int


class Cursor(Protocol):
    """What both drivers answer with."""

    def fetchall(self) -> list[Any]:
        """Every row."""
        ...


class Connection(Protocol):
    """What both drivers can do."""

    def execute(self, query: Any, /) -> Cursor:
        """Ask."""
        ...


@contextmanager
def reader(url: str) -> Iterator[Connection]:
    """A connection that only reads, by the database's own driver."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=30)
        try:
            yield connection
        finally:
            connection.close()
    else:
        with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=on") as opened:
            yield opened


def look(url: str) -> Look | None:
    """The books as they are now; None while the database is down."""
    try:
        with reader(url) as connection:
            rows = connection.execute(_BALANCES).fetchall()
    except psycopg.OperationalError:
        return None
    return Look(
        off={f"{entity} in {currency}": int(minor) for entity, currency, minor, _ in rows if minor},
        postings=sum(int(count) for *_, count in rows),
    )


class Crew:
    """The workers. They are forked from a process that has loaded the product and does nothing else."""

    def __init__(self, url: str, tally: Tally, *, page: int) -> None:
        self._words = (url, page)
        self._tally = tally
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.bank"])
        self._working: list[BaseProcess | None] = [self._begin(number) for number in range(WORKERS)]

    def _begin(self, number: int) -> BaseProcess:
        url, page = self._words
        one = self._context.Process(target=bank.work, args=(url, number, WORKERS, page), daemon=True)
        one.start()
        return one

    @property
    def working(self) -> int:
        """How many have not said that everything is done. One that ended in another way is a fault, and replaced."""
        for number, one in enumerate(self._working):
            if one is None or one.exitcode is None:
                continue
            self._working[number] = None
            if one.exitcode != 0:
                self._tally.faults.append(f"a worker ended by itself with {one.exitcode}")
                self._working[number] = self._begin(number)
        return sum(one is not None for one in self._working)

    def kill(self, dice: random.Random) -> None:
        """SIGKILL of one that works; another begins in its place."""
        alive = [number for number, one in enumerate(self._working) if one is not None and one.exitcode is None]
        if not alive:
            return
        number = dice.choice(alive)
        victim = self._working[number]
        assert victim is not None
        victim.kill()
        victim.join()
        if victim.exitcode != 0:
            self._tally.fired["kill a worker"] += 1
        self._working[number] = self._begin(number)

    def end(self) -> None:
        """Everybody ends, however."""
        for one in self._working:
            if one is not None:
                one.kill()
                one.join()


class Watch:
    """Looks at the books again and again, and strikes each time so many more postings are there."""

    def __init__(self, url: str, crew: Crew, tally: Tally, *, strikes: int, whole: int, server: Cluster | None) -> None:
        self.looks = 0
        self.postings = 0
        self.struck = 0
        self._url = url
        self._crew = crew
        self._tally = tally
        self._strikes = strikes
        self._whole = whole
        self._server = server
        self._dice = random.Random(_SEED)

    def run(self, *, seconds_max: float | None) -> None:
        """Until every worker says that all is posted, or nothing moves any more, or the time is over."""
        began, idle = time.monotonic(), 0
        while self._crew.working:
            before = self.postings
            self._look()
            idle = idle + 1 if self.postings == before else 0
            if idle > _IDLE_LOOKS_MAX:
                self._tally.faults.append(f"nothing was posted for {idle} looks")
                return
            if seconds_max is not None and time.monotonic() - began > seconds_max:
                self._tally.faults.append(f"the time was over at {self.postings} postings of {self._whole}")
                return
            time.sleep(self._dice.uniform(0.0, _PAUSE_S_MAX))
            if self.postings * (self._strikes + 1) >= self._whole * (self.struck + 1) and self.struck < self._strikes:
                self._strike()
        self._look()

    def _look(self) -> None:
        found = look(self._url)
        if found is None:
            return
        self.looks += 1
        for where, minor in found.off.items():
            self._tally.faults.append(f"the trial balance of {where} was off by {minor} at {found.postings} postings")
        if found.postings < self.postings:
            self._tally.faults.append(f"of {self.postings} postings {found.postings} were left")
        self.postings = found.postings

    def _strike(self) -> None:
        self.struck += 1
        if self._server is not None and self.struck % _OF_DATABASE == 0:
            self._server.stop()
            self._tally.took("recovery_s", self._server.start())
            self._tally.fired["crash of the database"] += 1
        else:
            self._crew.kill(self._dice)


async def books(store: str, folder: Path, *, postings: int, seconds_max: float | None = None) -> Report:
    """So many postings by eight workers that are killed again and again; PostgreSQL crashes now and then too."""
    del folder
    is_sqlite = store.startswith("sqlite")
    server: AbstractContextManager[Cluster | None] = nullcontext() if is_sqlite else cluster()
    with server as made:
        return await asyncio.to_thread(_run, store if made is None else made.url, postings, made, seconds_max)


def _run(url: str, postings: int, server: Cluster | None, seconds_max: float | None) -> Report:
    tally = Tally()
    tally.expect("kill a worker", *(() if server is None else ("crash of the database",)))
    database = Database(url)
    migrate(database)
    whole = bank.fill(database, -(-postings // bank.POSTINGS_EACH), seed=_SEED)
    database.close()
    began = time.monotonic()
    crew = Crew(url, tally, page=_PAGE if postings >= _MANY else _PAGE_OF_FEW)
    strikes = max(_STRIKES_MIN, postings // _POSTINGS_A_STRIKE)
    watch = Watch(url, crew, tally, strikes=strikes, whole=whole.postings, server=server)
    try:
        watch.run(seconds_max=seconds_max)
    finally:
        crew.end()
    took = time.monotonic() - began
    compared = {"looks": watch.looks, **_judge(url, whole, tally.faults)}
    figures = {"workers": WORKERS, "postings": watch.postings, "postings_per_s": round(watch.postings / took)}
    return report("books", url, watch.struck, began, tally, compared, (), figures)


def _judge(url: str, whole: bank.Whole, faults: list[str]) -> dict[str, int]:
    """Compare the books with what they have to come to; how much was compared."""
    with reader(url) as connection:
        found = {(*row[:3],): int(row[3]) for row in connection.execute(_BY_ACCOUNT).fetchall()}
        faults += [
            f"{account} holds {found.get(account, 0)} instead of {whole.balances.get(account, 0)}"
            for account in sorted(found.keys() | whole.balances.keys())
            if found.get(account, 0) != whole.balances.get(account, 0)
        ]
        counts = {
            "entries": (_count(connection, "SELECT count(*) FROM journal_entry"), whole.entries),
            "postings": (_count(connection, "SELECT count(*) FROM journal_line"), whole.postings),
        }
        faults += [f"{has} {name} instead of {due}" for name, (has, due) in counts.items() if has != due]
        faults += [f"{count} {what}" for what, query in _NEVER.items() if (count := _count(connection, query))]
    return {"accounts": len(found), **{name: has for name, (has, _) in counts.items()}, "trail": _trail(url, faults)}


def _trail(url: str, faults: list[str]) -> int:
    database = Database(url)
    with database.snapshot() as connection:
        chain = verify_chain(connection)
    database.close()
    faults += [str(fault) for fault in chain.faults]
    return chain.entries


def _count(connection: Connection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])

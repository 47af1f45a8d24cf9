"""The past of the books on SQL: deliveries by when they were settled, the trail's lines of periods, months that ran."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date

from sqlalchemy import Connection, select

from accordant.kernel.clock import from_micros
from accordant.ledger.commissions import CommissionRule
from accordant.ports.inbox import InboxEvent, WorkState
from accordant.ports.rebuild import Act, Moment
from accordant.store.engine import Database
from accordant.store.history import SqlHistory
from accordant.store.schema import audit_entry, inbox_work, journal_entry

_OF_TRAIL = {
    "books.period.closed": Act.CLOSED,
    "books.period.reopen_asked": Act.REOPENED,
    "books.period.reopened": Act.REOPENED,
    "books.recognition.nothing": Act.RECOGNISED,
}
#: How the entries of a month's end name what they are of (`operations/recognise.py`, `operations/revalue.py`).
_OF_MONTH = re.compile(r":(recognition|revaluation)/(\d{4})-(\d{2})$")
_ACTS = {"recognition": Act.RECOGNISED, "revaluation": Act.REVALUED}
_ORDER = {act: place for place, act in enumerate(Act)}


class SqlBooksPast:
    """`ports.rebuild.BooksPast` on a database."""

    def __init__(self, database: Database, history: SqlHistory) -> None:
        self._database = database
        self._history = history

    def moments(self) -> tuple[Moment, ...]:
        """See the port."""
        with self._database.read() as connection:
            found = [*_settled(connection), *_of_trail(connection)]
            found += _of_entries(connection, {one.at for one in found})
        return tuple(sorted(found, key=lambda one: (one.at, _ORDER[one.act], one.legal_entity, one.month_on)))

    def open(self, seqs: Sequence[int]) -> tuple[InboxEvent, ...]:
        """See the port."""
        return self._history.open(seqs)


def _settled(connection: Connection) -> Iterator[Moment]:
    query = (
        select(inbox_work.c.settled_at, inbox_work.c.seq)
        .where(inbox_work.c.settled_at.is_not(None), inbox_work.c.state != WorkState.DEAD.value)
        .order_by(inbox_work.c.seq)
    )
    together: dict[int, list[int]] = defaultdict(list)
    for settled_at, seq in connection.execute(query):
        together[settled_at].append(seq)
    for settled_at, seqs in together.items():
        yield Moment(at=from_micros(settled_at), act=Act.SETTLED, seqs=tuple(seqs))


def _of_trail(connection: Connection) -> Iterator[Moment]:
    line = audit_entry.c
    query = select(line.kind, line.actor, line.subject, line.at).where(line.kind.in_(_OF_TRAIL)).order_by(line.position)
    for kind, actor, subject, at in connection.execute(query):
        company, _, month = subject.rpartition("/")
        month_on = date.fromisoformat(f"{month}-01")
        yield Moment(at=from_micros(at), act=_OF_TRAIL[kind], legal_entity=company, month_on=month_on, by=actor)


def _of_entries(connection: Connection, known: set[object]) -> Iterator[Moment]:
    """The months that were run; and when something was posted though nothing came, since what was held was tried."""
    entry = journal_entry.c
    rows = connection.execute(
        select(entry.recorded_at, entry.legal_entity, entry.subject)
        .where(entry.rule.not_in([rule.value for rule in CommissionRule]))
        .distinct()
        .order_by(entry.recorded_at)
    ).all()
    tried = set()
    for recorded_at, company, subject in rows:
        at, found = from_micros(recorded_at), _OF_MONTH.search(subject)
        if found is not None:
            month_on = date(int(found[2]), int(found[3]), 1)
            yield Moment(at=at, act=_ACTS[found[1]], legal_entity=company, month_on=month_on)
        elif at not in known and at not in tried:
            tried.add(at)
            yield Moment(at=at, act=Act.CAUGHT_UP)

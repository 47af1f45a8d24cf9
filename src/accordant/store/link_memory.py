"""What the courier has to remember of accounts before it creates a record, and what it has learned, on SQL.

Next: `pipeline/recognize.py`, which asks; `review_desk.py` for what a person decides.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, and_, select, update

from accordant.canonical.intents import Applied, WireValue, WriteReceipt
from accordant.canonical.matching import Candidate, RecordLink, ReviewCase, ReviewState, Subject
from accordant.canonical.review import Relink
from accordant.ports.audit import AuditEntry
from accordant.ports.review import Remembered
from accordant.store import audit, bulk
from accordant.store.alerts import raise_alert
from accordant.store.directory import SqlDirectory
from accordant.store.engine import Database
from accordant.store.review import put_cases
from accordant.store.review_desk import put_crosswalk, subjects, written_records
from accordant.store.schema import (
    confirmed_record,
    match_rejection,
    record_link,
    review_case,
    write_intent,
    write_receipt,
)

#: Who links without a person.
_BY_ITSELF = "accordant"
_LINK_DECODER = msgspec.json.Decoder(RecordLink)
_RECEIPT_DECODER = msgspec.json.Decoder(WriteReceipt)
_CASE_DECODER = msgspec.json.Decoder(ReviewCase)


class SqlLinkMemory:
    """`ports.review.LinkMemory` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._directory = SqlDirectory(database)

    def remember(self, system: str, object_name: str, account_ids: Collection[str]) -> dict[str, Remembered]:
        """See the port. What a person decided and what is linked counts before what was once written."""
        here = (system, object_name)
        with self._database.read() as connection:
            linked = ("account_id", "system", "object", "target_id", "body")
            decoded = {
                row[0]: msgspec.structs.replace(_LINK_DECODER.decode(row[4]), target_id=row[3])
                for row in bulk.select_by_keys(connection, record_link, linked, "account_id", account_ids)
                if row[1:3] == here
            }
            links = {account_id: (one.target_id, one.actor) for account_id, one in decoded.items()}
            kin = _kin(connection, decoded, here)
            written = written_records(connection, system, object_name, account_ids)
            rejected: dict[str, set[str]] = {}
            pair = ("account_id", "system", "object", "target_id")
            for row in bulk.select_by_keys(connection, match_rejection, pair, "account_id", account_ids):
                if row[1:3] == here:
                    rejected.setdefault(row[0], set()).add(row[3])
            asked = ("account_id", "system", "state", "waits", "body")
            waiting = {
                row[0]: f"A person has to say whose record it is: {_CASE_DECODER.decode(row[4]).why}"
                for row in bulk.select_by_keys(connection, review_case, asked, "account_id", account_ids)
                if row[1:3] == (system, ReviewState.OPEN.value) and row[3]
            }
        found = {}
        for account_id in {*links, *written, *rejected, *waiting}:
            target_id, actor = links.get(account_id, (None, _BY_ITSELF))
            if account_id not in links or (target_id is None and actor == _BY_ITSELF):
                target_id = next(iter(written.get(account_id, ())), None)
            found[account_id] = Remembered(
                target_id=target_id,
                by_person=actor != _BY_ITSELF,
                rejected=frozenset(rejected.get(account_id, ())),
                kin=kin.get(account_id, frozenset()),
                waiting=waiting.get(account_id),
            )
        return found

    def subjects(self, account_ids: Collection[str], *, reference_key: str | None) -> dict[str, Subject]:
        """See the port."""
        with self._database.read() as connection:
            return subjects(connection, account_ids, reference_key=reference_key)

    def candidates(self, system: str, object_name: str, target_ids: Collection[str]) -> dict[str, Candidate]:
        """See the port."""
        return self._directory.records(system, object_name, target_ids)

    def found_there(self, system: str, object_name: str, key: str, target_id: str) -> dict[str, WireValue]:
        """See the port."""
        query = (
            select(write_receipt.c.body)
            .join(write_intent, write_intent.c.id == write_receipt.c.intent_id)
            .where(
                write_intent.c.record == f"{system}:{object_name}/{key}", write_receipt.c.outcome == Applied.__name__
            )
            .order_by(write_intent.c.revision, write_receipt.c.attempt)
        )
        with self._database.read() as connection:
            for body in connection.execute(query).scalars():
                receipt = _RECEIPT_DECODER.decode(body)
                if isinstance(receipt.outcome, Applied) and receipt.outcome.target_id == target_id:
                    return dict(receipt.before or {})
        return {}

    def confirmed(self, system: str, object_name: str, keys: Collection[str]) -> dict[str, str]:
        """See the port."""
        refs = [f"{system}:{object_name}/{key}" for key in keys]
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, confirmed_record, ("key", "target_id"), "ref", refs)
        return {row[0]: row[1] for row in rows}

    def was_written(self, system: str, target_ids: Collection[str]) -> frozenset[str]:
        """See the port."""
        query = select(confirmed_record.c.target_id).where(
            and_(confirmed_record.c.target == system, confirmed_record.c.target_id.in_(sorted(target_ids)))
        )
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def learn(
        self, relinks: Sequence[Relink], cases: Sequence[ReviewCase], entries: Sequence[AuditEntry], *, now: datetime
    ) -> None:
        """Keep what was learned of where records went, with its trail, in one transaction."""
        with self._database.write() as connection:
            keep_relinks(connection, relinks, now)
            keep_questions(connection, cases, now)
            audit.append(connection, entries, now=now)


def _kin(connection: Connection, links: Mapping[str, RecordLink], here: tuple[str, str]) -> dict[str, frozenset[str]]:
    """The records of the families these customers stand in, by account; asked only where one stands below another."""
    tops = {one.parent for one in links.values() if one.parent is not None}
    if not tops:
        return {}
    columns = ("account_id", "system", "object", "target_id", "key", "parent")
    rows = {
        tuple(row)
        for column in ("key", "parent")
        for row in bulk.select_by_keys(connection, record_link, columns, column, tops)
        if tuple(row[1:3]) == here and row[3] is not None
    }
    return {
        account_id: frozenset(row[3] for row in rows if one.parent in row[4:6] and row[0] != account_id)
        for account_id, one in links.items()
        if one.parent is not None
    }


def keep_relinks(connection: Connection, relinks: Sequence[Relink], now: datetime) -> None:
    """An account is another record from now on. The old id still leads to it, the new one is the latest."""
    put_crosswalk(connection, [(relink.new, relink.entity.id) for relink in relinks], now)
    for relink in relinks:
        connection.execute(
            update(record_link)
            .where(
                record_link.c.system == relink.new.system,
                record_link.c.object == relink.new.object_type,
                record_link.c.target_id == relink.old.id,
            )
            .values(target_id=relink.new.id)
        )


def keep_questions(connection: Connection, cases: Sequence[ReviewCase], now: datetime) -> None:
    """Open what only a person can answer, and tell whoever is on call."""
    put_cases(connection, cases)
    for case in cases:
        subject = f"{case.subject.name or case.subject.external_id} in {case.system}"
        raise_alert(connection, kind="review.opened", subject=subject, body=case.why, at=now)

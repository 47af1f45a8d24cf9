"""The directory on SQL: records of targets, and one row a key. A key is stored as eight bytes of its hash.

Two keys with one hash only bring a record with which the ladder finds nothing in common. Next: `identity/ladder.py`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

import msgspec
from sqlalchemy import Connection, delete, func, select

from accordant.canonical.matching import PENDING_PREFIX, Candidate, MatchKey
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.directory import FANOUT_MAX, DirectoryEntry, Found
from accordant.ports.matching import Scan
from accordant.store import bulk
from accordant.store.directory_draft import draft_keys, is_drafted, publish_keys
from accordant.store.engine import Database
from accordant.store.schema import directory_key, directory_record, directory_scan

_RECORD = ("system", "object", "record_id", "is_live", "body", "seen_at")
_KEY = ("digest", "record")
_SCAN = ("system", "object", "started_at", "cursor", "records", "complete_at")
#: A chain of merges longer than this is a mistake or a circle; the ladder says so.
_MERGES_MAX = 10
_FORGOTTEN_AT_ONCE = 500

#: All keys in one question, one more record of each than are looked at. One text for any number of keys stays prepared.
_MET = f"FROM directory_key m WHERE m.digest = asked.{{}} ORDER BY m.record LIMIT {FANOUT_MAX + 1}"
_SHOWN = "r.id, r.system, r.object, r.body"
_BEHIND_SQLITE = (
    f"SELECT asked.value, {_SHOWN} FROM json_each(?) AS asked JOIN directory_record r "  # noqa: S608  our own names
    f"ON r.id IN (SELECT m.record {_MET.format('value')})"
)
_BEHIND_POSTGRES = (
    f"SELECT asked.digest, {_SHOWN} FROM unnest(%b::bigint[]) AS asked(digest) "  # noqa: S608  our own names
    f"CROSS JOIN LATERAL (SELECT m.record {_MET.format('digest')}) AS k JOIN directory_record r ON r.id = k.record"
)

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Candidate)


class SqlDirectory:
    """`ports.directory.Directory` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lookup(self, system: str, object_name: str, keys: Iterable[MatchKey]) -> Found:
        """See the port."""
        return self.lookup_many(system, object_name, [frozenset(keys)])[0]

    def lookup_many(self, system: str, object_name: str, questions: Sequence[frozenset[MatchKey]]) -> list[Found]:
        """See the port. One statement for all questions, and one more for each hop of a merge."""
        digests = {key: key_digest(system, object_name, key) for keys in questions for key in keys}
        with self._database.read() as connection:
            behind, crowded = _behind(connection, system, object_name, digests)
            known = {record.id: record for records in behind.values() for record in records}
            for _ in range(_MERGES_MAX):
                survivors = {record.merged_into for record in known.values() if record.merged_into}
                fetched = _by_id(connection, system, object_name, survivors - known.keys())
                if not fetched:
                    break
                known |= fetched
        return [
            Found(
                records=_led_to([one for key in keys for one in behind.get(digests[key], ())], known),
                crowded=frozenset(key for key in keys if digests[key] in crowded),
            )
            for keys in questions
        ]

    def records(self, system: str, object_name: str, ids: Iterable[str]) -> dict[str, Candidate]:
        """See the port."""
        with self._database.read() as connection:
            return _by_id(connection, system, object_name, ids)

    def put(self, entries: Sequence[DirectoryEntry], *, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            put_entries(connection, entries, now=now)

    def remove(self, system: str, object_name: str, ids: Iterable[str]) -> int:
        """See the port."""
        with self._database.write() as connection:
            return forget(connection, system, object_name, ids)

    def count(self, system: str, object_name: str) -> int:
        """See the port."""
        query = (
            select(func.count())
            .select_from(directory_record)
            .where(
                directory_record.c.system == system,
                directory_record.c.object == object_name,
                directory_record.c.is_live.is_(True),
            )
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def scan(self, system: str, object_name: str) -> Scan | None:
        """How far the reading of an object has come; None before it was begun."""
        with self._database.read() as connection:
            query = select(*(directory_scan.c[name] for name in _SCAN)).where(
                directory_scan.c.system == system, directory_scan.c.object == object_name
            )
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Scan(
            system=row[0],
            object=row[1],
            started_at=from_micros(row[2]),
            cursor=row[3],
            records=row[4],
            complete_at=None if row[5] is None else from_micros(row[5]),
        )

    def keep_page(self, scan: Scan, entries: Sequence[DirectoryEntry], *, now: datetime) -> None:
        """Add a page of a scan, with how far it has come, in one transaction: a crash loses or keeps both."""
        with self._database.write() as connection:
            if scan.complete_at is None:
                draft_keys(connection, _key_rows(entries, _enter(connection, entries, now=now)))
            else:
                put_entries(connection, entries, now=now)
            _keep_scan(connection, scan)

    def finish_scan(self, scan: Scan) -> int:
        """Forget what this reading did not meet any more, and mark it complete; how many were forgotten.

        A record that is still to be created was not there to be met and stays.
        """
        gone = select(directory_record.c.record_id).where(
            directory_record.c.system == scan.system,
            directory_record.c.object == scan.object,
            directory_record.c.seen_at < to_micros(scan.started_at),
            ~directory_record.c.record_id.startswith(PENDING_PREFIX),
        )
        with self._database.read() as connection:
            is_first = is_drafted(connection)
        if is_first:
            publish_keys(self._database)
        forgotten = 0
        with self._database.write() as connection:
            ids = list(connection.execute(gone).scalars())
            for start in range(0, len(ids), _FORGOTTEN_AT_ONCE):
                forgotten += forget(connection, scan.system, scan.object, ids[start : start + _FORGOTTEN_AT_ONCE])
            _keep_scan(connection, scan)
        return forgotten


def key_digest(system: str, object_name: str, key: MatchKey) -> int:
    """A key as it is stored: a signed number of eight bytes."""
    text = f"{system}\x1f{object_name}\x1f{key.kind.value}\x1f{key.value}"
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True)


def put_entries(connection: Connection, entries: Sequence[DirectoryEntry], *, now: datetime) -> None:
    """Add records with their keys, or replace both. Of one record that comes twice the last counts."""
    known = _numbers(connection, (_name(entry.record) for entry in entries))
    _drop_keys(connection, known.values())
    bulk.insert_new(connection, directory_key, _KEY, _key_rows(entries, _enter(connection, entries, now=now)))


def _name(record: Candidate) -> tuple[str, str, str]:
    return record.system, record.object, record.id


def _enter(
    connection: Connection, entries: Iterable[DirectoryEntry], *, now: datetime
) -> dict[tuple[str, str, str], int]:
    """Add or replace records without their keys; our own number of each."""
    latest = {_name(entry.record): entry.record for entry in entries}
    rows = [
        (*name, not (record.deleted or record.merged_into), _ENCODER.encode(record), to_micros(now))
        for name, record in latest.items()
    ]
    if not rows:
        return {}
    returned = bulk.execute_returning(connection, _entering(connection.dialect.name), rows)
    return {(system, object_name, record_id): number for system, object_name, record_id, number in returned}


def _key_rows(entries: Iterable[DirectoryEntry], numbers: Mapping[tuple[str, str, str], int]) -> list[tuple[int, int]]:
    """The keys of entries as rows, in the order in which an index takes them best."""
    latest = {_name(entry.record): entry for entry in entries}
    return sorted(
        (key_digest(name[0], name[1], key), numbers[name]) for name, entry in latest.items() for key in entry.keys
    )


def forget(connection: Connection, system: str, object_name: str, ids: Iterable[str]) -> int:
    """Remove records and their keys; how many there were."""
    numbers = _numbers(connection, {(system, object_name, one) for one in ids})
    _drop_keys(connection, numbers.values())
    gone = list(numbers.values())
    for start in range(0, len(gone), _FORGOTTEN_AT_ONCE):
        part = gone[start : start + _FORGOTTEN_AT_ONCE]
        connection.execute(delete(directory_record).where(directory_record.c.id.in_(part)))
    return len(gone)


def confirm_pending(connection: Connection, system: str, object_name: str, pending_id: str, record_id: str) -> None:
    """A record that was to be created is there now: what billing knows of its customer leads to it from now on."""
    waiting = _by_id(connection, system, object_name, [pending_id]).get(pending_id)
    if waiting is None or waiting.merged_into is not None:
        return
    body = _ENCODER.encode(msgspec.structs.replace(waiting, merged_into=record_id))
    connection.execute(
        directory_record.update()
        .where(
            directory_record.c.system == system,
            directory_record.c.object == object_name,
            directory_record.c.record_id == pending_id,
        )
        .values(is_live=False, body=body)
    )


def _behind(
    connection: Connection, system: str, object_name: str, digests: Mapping[MatchKey, int]
) -> tuple[dict[int, list[Candidate]], frozenset[int]]:
    """The records behind each key, no more of one key than are looked at; and the keys that have more."""
    if not digests:
        return {}, frozenset()
    asked = list(set(digests.values()))
    value = msgspec.json.encode(asked).decode() if connection.dialect.name == "sqlite" else asked
    met: dict[int, int] = dict.fromkeys(asked, 0)
    records: dict[int, Candidate] = {}
    behind: dict[int, list[Candidate]] = {}
    question = _BEHIND_SQLITE if connection.dialect.name == "sqlite" else _BEHIND_POSTGRES
    for digest, number, row_system, row_object, body in connection.exec_driver_sql(question, (value,)):
        met[digest] += 1
        # Another place's key may have the same hash: its record is counted and not shown.
        if met[digest] > FANOUT_MAX or (row_system, row_object) != (system, object_name):
            continue
        if number not in records:
            records[number] = _DECODER.decode(body)
        behind.setdefault(digest, []).append(records[number])
    return behind, frozenset(digest for digest, count in met.items() if count > FANOUT_MAX)


def _led_to(found: Iterable[Candidate], known: Mapping[str, Candidate]) -> dict[str, Candidate]:
    """Records by id, with those into which they were merged."""
    ahead, records = list(found), {}
    while ahead:
        record = ahead.pop()
        if record.id not in records:
            records[record.id] = record
            if record.merged_into is not None and record.merged_into in known:
                ahead.append(known[record.merged_into])
    return records


def _by_id(connection: Connection, system: str, object_name: str, ids: Iterable[str]) -> dict[str, Candidate]:
    rows = bulk.select_by_keys(
        connection, directory_record, ("object", "body"), "record_id", ids, where=("system", system)
    )
    return {
        record.id: record
        for row_object, body in rows
        if row_object == object_name
        for record in (_DECODER.decode(body),)
    }


def _numbers(connection: Connection, names: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
    """Our own numbers of records that are there."""
    wanted = set(names)
    found: dict[tuple[str, str, str], int] = {}
    for system in {name[0] for name in wanted}:
        ids = {name[2] for name in wanted if name[0] == system}
        columns = ("system", "object", "record_id", "id")
        for row in bulk.select_by_keys(
            connection, directory_record, columns, "record_id", ids, where=("system", system)
        ):
            name = (row[0], row[1], row[2])
            if name in wanted:
                found[name] = row[3]
    return found


def _drop_keys(connection: Connection, numbers: Iterable[int]) -> None:
    gone = list(numbers)
    for start in range(0, len(gone), _FORGOTTEN_AT_ONCE):
        part = gone[start : start + _FORGOTTEN_AT_ONCE]
        connection.execute(delete(directory_key).where(directory_key.c.record.in_(part)))


@cache
def _entering(dialect: str) -> bulk.Statement:
    return bulk.Statement(
        dialect,
        directory_record,
        _RECORD,
        'ON CONFLICT ("system", "object", "record_id") DO UPDATE SET "is_live" = excluded."is_live", '
        '"body" = excluded."body", "seen_at" = excluded."seen_at" RETURNING "system", "object", "record_id", "id"',
    )


def _keep_scan(connection: Connection, scan: Scan) -> None:
    row = (
        scan.system,
        scan.object,
        to_micros(scan.started_at),
        scan.cursor,
        scan.records,
        None if scan.complete_at is None else to_micros(scan.complete_at),
    )
    bulk.upsert(connection, directory_scan, _SCAN, [row])


def scanned_objects(connection: Connection) -> frozenset[tuple[str, str]]:
    """The (system, object) whose records were read to the end at least once."""
    query = select(directory_scan.c.system, directory_scan.c.object).where(directory_scan.c.complete_at.is_not(None))
    return frozenset((system, object_name) for system, object_name in connection.execute(query))

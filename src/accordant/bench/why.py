"""`why`, `blame` and `trace` on a store with millions of audit rows: 1,000 records, asked both ways.

The store is made in SQL, in the shapes the rooms leave: three writes a record, 1,900 more of each of twenty busy ones.
"""

import random
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Table, text

from accordant.bench.arena import stored
from accordant.bench.figures import Run
from accordant.canonical.entities import Account, encode_entity
from accordant.canonical.intents import Applied, FieldChange, WireValue, WriteReceipt, changed_names, plan_intent
from accordant.canonical.refs import EntityKind, EntityRef
from accordant.kernel.clock import to_micros
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.ids import EntityId
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.schema import (
    audit_entry,
    confirmed_record,
    crosswalk,
    desired_record,
    entity,
    inbox_event,
    inbox_work,
    observation,
    write_intent,
    write_receipt,
)
from accordant.views.blame import blame
from accordant.views.trace import trace
from accordant.views.why import HOPS_MAX, why

ASKED = 1_000
_LINES_A_RECORD = 20
_REVISIONS = 3
#: Records that never rest, and the writes each has beyond those of the others: every tenth question is about one.
_BUSY = 20
_BUSY_WRITES = 1_900
_BUSY_ASKED_EVERY = 10
#: Counted up when the store below is made in another way, so that a kept one is made anew.
_MAKE = 3
_STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_STEP = timedelta(hours=1)
_FIELD = "Billing_MRR__c"
_KEY = "@KEY@"
#: What the lines of one record tell, in turn; the rest are of a kind that a record's own page lists.
_KINDS = ("registry.account.advanced", "desk.intent.planned", "archive.write.applied")


def ask(store: str, n: int, seed: int, *, keep: Path | None = None) -> Run:
    """The slowest of the answers in milliseconds, and all of them as latencies, on ``n`` audit rows and a few.

    ``keep`` is a folder that holds the store for the next measurement; without it the store is gone afterwards.
    """
    records = max(_BUSY, n // _LINES_A_RECORD)
    with stored(store, f"why_{records}_{_MAKE}", keep=keep) as place:
        database = Database(place.url)
        try:
            migrate(database)
            if not place.is_made:
                _fill(database, records)
                place.made()
            return _ask(database, records, random.Random(seed))
        finally:
            database.close()


def _ask(database: Database, records: int, dice: random.Random) -> Run:
    taken, slowest = [], (0.0, "")
    for asked in range(ASKED):
        is_busy = asked % _BUSY_ASKED_EVERY == 0
        number = dice.randint(1, _BUSY) if is_busy else dice.randint(_BUSY + 1, records)
        ref, seq = f"crm:Account/cus_{number}", number + records * dice.randrange(_REVISIONS)
        hops = HOPS_MAX if is_busy else _REVISIONS
        for question in ("why", "blame", "trace"):
            started = time.perf_counter()
            if question == "why":
                found = why(database, ref, _FIELD)
                is_whole = found is not None and len(found.hops) == hops and found.hops[0].applied
            elif question == "blame":
                told = blame(database, ref)
                is_whole = told is not None and all(line.origin is not None for line in told.fields)
            else:
                seen = trace(database, seq)
                is_whole = seen is not None and [write.record for write in seen.writes] == [ref]
            taken.append(time.perf_counter() - started)
            slowest = max(slowest, (taken[-1], f"{question} of {ref if question != 'trace' else f'event {seq}'}"))
            if not is_whole:
                raise InvariantBroken(f"{question} told another chain of {ref} and event {seq} than was stored.")
    sys.stderr.write(f"slowest: {slowest[1]}, {slowest[0] * 1000:,.0f} ms\n")
    return Run(value=max(taken) * 1000, latencies_s=taken)


def _fill(database: Database, records: int) -> None:
    tables = (inbox_event, inbox_work, entity, crosswalk, observation, desired_record, confirmed_record, write_intent,
              write_receipt, audit_entry)  # fmt: skip
    with database.write_unaudited() as connection:
        for table in tables:
            for index in table.indexes:
                index.drop(connection)
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
        _fill_records(connection, records)
        for revision in range(1, _REVISIONS + 1):
            everyone = _Writes(records, record="n", revision=f"{revision}", seq=f"n + {(revision - 1) * records}")
            _fill_writes(connection, everyone, before=_values("@BEFORE@") if revision > 1 else {})
        _fill_writes(connection, _busy(records), before=_values("@BEFORE@"))
        _fill_trail(connection, records)
        for table in tables:
            for index in table.indexes:
                index.create(connection)
        connection.execute(text("ANALYZE"))
    with database.engine.connect() as connection:
        if database.is_sqlite:
            # What was written in one transaction lies in the log beside the file; a hub would have moved it long ago.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            # As the server's own cleaning has done with what is old, so that an index answers alone.
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")


class _Writes(NamedTuple):
    """Rows of writes: how many, and which record, revision and event the n-th of them is about, in SQL."""

    rows: int
    record: str
    revision: str
    seq: str


def _busy(records: int) -> _Writes:
    return _Writes(
        _BUSY * _BUSY_WRITES,
        record=f"((n - 1) % {_BUSY} + 1)",
        revision=f"({_REVISIONS + 1} + (n - 1) / {_BUSY})",
        seq=f"n + {_REVISIONS * records}",
    )


def _insert(connection: Connection, table: Table, records: int, values: dict[str, str], **given: object) -> None:
    """One row a record: ``values`` are SQL, in which n is the record's number, and ``given`` what they refer to."""
    numbers = (
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :records)"
        if connection.dialect.name == "sqlite"
        else "WITH numbers(n) AS (SELECT generate_series(1, :records))"
    )
    columns, chosen = ", ".join(f'"{name}"' for name in values), ", ".join(values.values())
    sql = f'INSERT INTO "{table.name}" ({columns}) {numbers} SELECT {chosen} FROM numbers'  # noqa: S608  our own
    bound = {"records": records, **given}
    # A colon inside a literal is no parameter.
    escaped = re.sub(rf":(?!({'|'.join(bound)})\b)", r"\:", sql)
    connection.execute(text(escaped), bound)


def _bytes(connection: Connection, expression: str) -> str:
    is_sqlite = connection.dialect.name == "sqlite"
    return f"CAST({expression} AS BLOB)" if is_sqlite else f"convert_to({expression}, 'UTF8')"


def _filled(connection: Connection, name: str, *, record: str = "n", revision: str = f"{_REVISIONS}") -> str:
    """A document given as ``name``, with the record's own key and revision in it, as bytes."""
    document = f"CAST(:{name} AS text)"
    for mark, value in ((_KEY, f"'cus_' || {record}"), ("@AFTER@", f"'' || {revision}"),
                        ("@BEFORE@", f"'' || ({revision} - 1)")):  # fmt: skip
        document = f"replace({document}, '{mark}', {value})"
    return _bytes(connection, document)


def _values(revision: str) -> dict[str, WireValue]:
    return {"Billing_Id__c": _KEY, _FIELD: f"{revision}00.00", "Billing_Status__c": "active"}


def _fill_records(connection: Connection, records: int) -> None:
    at = to_micros(_STARTED_AT)
    account = encode_entity(Account(external_id=_KEY, name=f"EXAMPLE {_KEY}")).decode()
    fields = msgspec.json.encode(_values("@AFTER@")).decode()
    _insert(
        connection, entity, records,
        {"id": "'acc_' || n", "kind": "'account'", "ref": "'billing:customer/cus_' || n", "root_id": "'acc_' || n",
         "version": f"{_REVISIONS}", "observed_at": f"{at}", "standpoint": "'notice'", "cause": "n + :records",
         "digest": _bytes(connection, "'x'"), "state": _filled(connection, "account"), "updated_at": f"{at} + n"},
        account=account,
    )  # fmt: skip
    _insert(
        connection, crosswalk, records,
        {"ref": "'billing:customer/cus_' || n", "system": "'billing'", "object_type": "'customer'",
         "external_id": "'cus_' || n", "kind": "'account'", "entity_id": "'acc_' || n", "since": f"{at}"},
    )  # fmt: skip
    _insert(
        connection, desired_record, records,
        {"ref": "'crm:Account/cus_' || n", "flow": "'accounts'", "target": "'crm'", "object": "'Account'",
         "key": "'cus_' || n", "entity_id": "'acc_' || n", "lane": "'crm:acc_' || n", "revision": f"{_REVISIONS}",
         "input_digest": "'d' || n", "fields": _filled(connection, "fields"), "notes": _bytes(connection, "'[]'"),
         "cause": "n + :records", "updated_at": f"{at}"},
        fields=fields,
    )  # fmt: skip
    _insert(
        connection, confirmed_record, records,
        {"ref": "'crm:Account/cus_' || n", "target": "'crm'", "object": "'Account'", "key": "'cus_' || n",
         "target_id": "'001' || n", "fields": _filled(connection, "fields"), "confirmed_at": f"{at}"},
        fields=fields,
    )  # fmt: skip


def _fill_writes(connection: Connection, writes: _Writes, *, before: dict[str, WireValue]) -> None:
    """Of each write the event, what it said, the intent it led to, and the answer."""
    count, record, revision, seq = writes
    number, name = f"{record} || '_' || {revision}", f"'crm:Account/cus_' || {record}"
    at = f"({to_micros(_STARTED_AT)} + {revision} * {to_micros(_STARTED_AT + _STEP) - to_micros(_STARTED_AT)})"
    after = _values("@AFTER@")
    changes = tuple(FieldChange(name, before.get(name), value) for name, value in after.items())
    intent = plan_intent(
        flow="accounts", target="crm", object_name="Account", key_field="Billing_Id__c", key=_KEY,
        entity=EntityRef(EntityKind.ACCOUNT, EntityId("acc_1")), lane="crm:acc_1", step=0, fields=after,
        changes=tuple(change for change in changes if change.before != change.after), cause=1, planned_at=_STARTED_AT,
        revision=1,
    )  # fmt: skip
    receipt = WriteReceipt(
        intent_id=intent.id, attempt=1, outcome=Applied(target_id="001", created=not before), before=before,
        after=after, request_id="req", settled_at=_STARTED_AT,
    )  # fmt: skip
    _insert(
        connection, inbox_event, count,
        {"seq": seq, "connection": "'billing'", "external_id": f"'evt_' || {number}",
         "event_type": "'customer.updated'", "lane": f"'customer/cus_' || {record}", "occurred_at": at,
         "received_at": at, "digest": _bytes(connection, "'x'"), "key_id": "'key'",
         "body": _bytes(connection, "'sealed'")},
    )  # fmt: skip
    _insert(
        connection, inbox_work, count,
        {"seq": seq, "connection": "'billing'", "lane": f"'customer/cus_' || {record}", "partition": "0",
         "state": "'processed'", "attempts": "1", "due_at": at, "settled_at": at},
    )  # fmt: skip
    _insert(
        connection, observation, count,
        {"seq": seq, "entity_id": f"'acc_' || {record}", "outcome": "'advanced'", "version": revision,
         "observed_at": at, "recorded_at": at},
    )  # fmt: skip
    _insert(
        connection, write_intent, count,
        {"id": f"'int_' || {number}", "idempotency_key": f"'accordant-' || {number}", "flow": "'accounts'",
         "target": "'crm'", "object": "'Account'", "record": name, "lane": f"'crm:acc_' || {record}",
         "step": "0", "revision": revision, "shadow": "false", "input_digest": "'d'",
         "changed": f"'{changed_names(intent.changes)}'",
         "body": _filled(connection, "intent", record=record, revision=revision),
         "decision": _bytes(connection, ":decision"), "charter": "'v1'", "cause": seq, "planned_at": at,
         "state": "'applied'", "attempts": "1", "due_at": at, "settled_at": at},
        intent=msgspec.json.encode(intent).decode(), decision='{"effect":"allow","reasons":[{"rule":"phase"}]}',
    )  # fmt: skip
    _insert(
        connection, write_receipt, count,
        {"intent_id": f"'int_' || {number}", "attempt": "1", "outcome": "'Applied'",
         "body": _filled(connection, "receipt", record=record, revision=revision), "settled_at": at},
        receipt=msgspec.json.encode(receipt).decode(),
    )  # fmt: skip


def _fill_trail(connection: Connection, records: int) -> None:
    """Twenty lines of each record, and three of each further write of the busy ones."""
    for line in range(_LINES_A_RECORD):
        revision, part = divmod(line, len(_KINDS))
        kind = _KINDS[part] if revision < _REVISIONS else "court.record.held"
        cause = f"n + {revision * records}" if revision < _REVISIONS else "NULL"
        at = f"{to_micros(_STARTED_AT + _STEP * (revision + 1))}"
        _fill_lines(connection, records, record="n", kind=kind, cause=cause, at=at, position=f"n + {line * records}")
    busy = _busy(records)
    at = f"({to_micros(_STARTED_AT)} + {busy.revision} * {to_micros(_STARTED_AT + _STEP) - to_micros(_STARTED_AT)})"
    for part, kind in enumerate(_KINDS):
        position = f"n + {_LINES_A_RECORD * records + part * busy.rows}"
        _fill_lines(
            connection, busy.rows, record=busy.record, kind=kind, cause=busy.seq, at=at, position=position
        )  # fmt: skip


def _fill_lines(
    connection: Connection, count: int, *, record: str, kind: str, cause: str, at: str, position: str
) -> None:
    subject = "account/acc_" if kind.startswith("registry.") else "crm:Account/cus_"
    _insert(
        connection, audit_entry, count,
        {"position": position, "kind": f"'{kind}'", "actor": "'accordant'", "subject": f"'{subject}' || {record}",
         "cause": cause, "at": at, "salt": _bytes(connection, "'0123456789abcdef'"),
         "body": _bytes(connection, "'{\"flow\":\"accounts\",\"revision\":1,\"rules\":[\"phase\"]}'"),
         "commitment": _bytes(connection, "'0123456789abcdef0123456789abcdef'"),
         "leaf": _bytes(connection, "'0123456789abcdef0123456789abcdef'")},
    )  # fmt: skip

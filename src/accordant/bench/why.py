"""`why`, `blame` and `trace` on a store with millions of audit rows: 1,000 random records, asked both ways.

The store is made inside the database, in SQL: a twentieth as many records as audit rows, each with three events, three
writes and their receipts, in the shapes the rooms leave them in. Only the hashes of the trail are not computed.
"""

import random
import re
import time
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Connection, Table, text

from accordant.bench.arena import arena
from accordant.bench.figures import Run
from accordant.canonical.entities import Account, encode_entity
from accordant.canonical.intents import Applied, FieldChange, WireValue, WriteReceipt, plan_intent
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
from accordant.views.why import why

ASKED = 1_000
_LINES_A_RECORD = 20
_REVISIONS = 3
_STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_FIELD = "Billing_MRR__c"
_KEY = "@KEY@"
#: What the lines of one record tell, in turn; the rest are of a kind that a record's own page lists.
_KINDS = ("registry.account.advanced", "desk.intent.planned", "archive.write.applied")


def ask(store: str, n: int, seed: int) -> Run:
    """The slowest of the answers in milliseconds, and all of them as latencies, on ``n`` audit rows."""
    records = max(1, n // _LINES_A_RECORD)
    with arena(store) as place:
        database = Database(place.store)
        try:
            migrate(database)
            _fill(database, records)
            return _ask(database, records, random.Random(seed))
        finally:
            database.close()


def _ask(database: Database, records: int, dice: random.Random) -> Run:
    taken = []
    for _ in range(ASKED):
        number = dice.randint(1, records)
        ref, seq = f"crm:Account/cus_{number}", number + records * dice.randrange(_REVISIONS)
        for question in ("why", "blame", "trace"):
            started = time.perf_counter()
            if question == "why":
                found = why(database, ref, _FIELD)
                is_whole = found is not None and len(found.hops) == _REVISIONS and found.hops[0].applied
            elif question == "blame":
                told = blame(database, ref)
                is_whole = told is not None and all(line.origin is not None for line in told.fields)
            else:
                seen = trace(database, seq)
                is_whole = seen is not None and [write.record for write in seen.writes] == [ref]
            taken.append(time.perf_counter() - started)
            if not is_whole:
                raise InvariantBroken(f"{question} told another chain of {ref} and event {seq} than was stored.")
    return Run(value=max(taken) * 1000, latencies_s=taken)


def _fill(database: Database, records: int) -> None:
    tables = (inbox_event, inbox_work, entity, crosswalk, observation, desired_record, confirmed_record, write_intent,
              write_receipt, audit_entry)  # fmt: skip
    with database.write_unaudited() as connection:
        for table in tables:
            for index in table.indexes:
                index.drop(connection)
        _fill_records(connection, records)
        for revision in range(1, _REVISIONS + 1):
            _fill_revision(connection, records, revision)
        _fill_trail(connection, records)
        for table in tables:
            for index in table.indexes:
                index.create(connection)
        connection.execute(text("ANALYZE"))


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


def _filled(connection: Connection, name: str) -> str:
    """A document given as ``name``, with the record's own key in it, as bytes."""
    return _bytes(connection, f"replace(CAST(:{name} AS text), '{_KEY}', 'cus_' || n)")


def _values(revision: int) -> dict[str, WireValue]:
    return {"Billing_Id__c": _KEY, _FIELD: f"{revision}00.00", "Billing_Status__c": "active"}


def _fill_records(connection: Connection, records: int) -> None:
    at = to_micros(_STARTED_AT)
    account = encode_entity(Account(external_id=_KEY, name=f"EXAMPLE {_KEY}")).decode()
    fields = msgspec.json.encode(_values(_REVISIONS)).decode()
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


def _fill_revision(connection: Connection, records: int, revision: int) -> None:
    """One event of each record, what it said, the write it led to, and the answer."""
    planned_at = _STARTED_AT + timedelta(hours=revision)
    at, seq = to_micros(planned_at), f"n + {(revision - 1)} * :records"
    before = _values(revision - 1) if revision > 1 else {}
    after = _values(revision)
    changes = tuple(FieldChange(name, before.get(name), value) for name, value in after.items())
    intent = plan_intent(
        flow="accounts", target="crm", object_name="Account", key_field="Billing_Id__c", key=_KEY,
        entity=EntityRef(EntityKind.ACCOUNT, EntityId("acc_1")), lane="crm:acc_1", step=0, fields=after,
        changes=tuple(change for change in changes if change.before != change.after), cause=1, planned_at=planned_at,
        revision=revision,
    )  # fmt: skip
    receipt = WriteReceipt(
        intent_id=intent.id, attempt=1, outcome=Applied(target_id="001", created=revision == 1), before=before,
        after=after, request_id="req", settled_at=planned_at,
    )  # fmt: skip
    name = f"'int_' || n || '_{revision}'"
    _insert(
        connection, inbox_event, records,
        {"seq": seq, "connection": "'billing'", "external_id": f"'evt_' || n || '_{revision}'",
         "event_type": "'customer.updated'", "lane": "'customer/cus_' || n", "occurred_at": f"{at}",
         "received_at": f"{at}", "digest": _bytes(connection, "'x'"), "key_id": "'key'",
         "body": _bytes(connection, "'sealed'")},
    )  # fmt: skip
    _insert(
        connection, inbox_work, records,
        {"seq": seq, "connection": "'billing'", "lane": "'customer/cus_' || n", "partition": "0",
         "state": "'processed'", "attempts": "1", "due_at": f"{at}", "settled_at": f"{at}"},
    )  # fmt: skip
    _insert(
        connection, observation, records,
        {"seq": seq, "entity_id": "'acc_' || n", "outcome": "'advanced'", "version": f"{revision}",
         "observed_at": f"{at}", "recorded_at": f"{at}"},
    )  # fmt: skip
    _insert(
        connection, write_intent, records,
        {"id": name, "idempotency_key": f"'accordant-' || n || '_{revision}'", "flow": "'accounts'",
         "target": "'crm'", "object": "'Account'", "record": "'crm:Account/cus_' || n", "lane": "'crm:acc_' || n",
         "step": "0", "revision": f"{revision}", "shadow": "false", "input_digest": "'d'",
         "body": _filled(connection, "intent"), "decision": _bytes(connection, ":decision"), "charter": "'v1'",
         "cause": seq, "planned_at": f"{at}", "state": "'applied'", "attempts": "1", "due_at": f"{at}",
         "settled_at": f"{at}"},
        intent=msgspec.json.encode(intent).decode(), decision='{"effect":"allow","reasons":[{"rule":"phase"}]}',
    )  # fmt: skip
    _insert(
        connection, write_receipt, records,
        {"intent_id": name, "attempt": "1", "outcome": "'Applied'", "body": _filled(connection, "receipt"),
         "settled_at": f"{at}"},
        receipt=msgspec.json.encode(receipt).decode(),
    )  # fmt: skip


def _fill_trail(connection: Connection, records: int) -> None:
    record = "'crm:Account/cus_' || n"
    for line in range(_LINES_A_RECORD):
        revision, part = divmod(line, len(_KINDS))
        kind = _KINDS[part] if revision < _REVISIONS else "court.record.held"
        subject = "'account/acc_' || n" if kind.startswith("registry.") else record
        cause = f"n + {revision} * :records" if revision < _REVISIONS else "NULL"
        at = to_micros(_STARTED_AT + timedelta(hours=revision + 1))
        _insert(
            connection, audit_entry, records,
            {"position": f"n + {line} * :records", "kind": f"'{kind}'", "actor": "'accordant'", "subject": subject,
             "cause": cause, "at": f"{at}", "salt": _bytes(connection, "'0123456789abcdef'"),
             "body": _bytes(connection, "'{\"flow\":\"accounts\",\"revision\":1,\"rules\":[\"phase\"]}'"),
             "commitment": _bytes(connection, "'0123456789abcdef0123456789abcdef'"),
             "leaf": _bytes(connection, "'0123456789abcdef0123456789abcdef'")},
        )  # fmt: skip

"""Accounts: the list, and one account whole: does it pay, what do the systems hold of it, what happened."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, cast, func, select

from accordant.analytics.facts import Facts, account_facts
from accordant.analytics.movements import Movement, expanded
from accordant.analytics.wording import sentence
from accordant.canonical.entities import Account, Entity, Product, decode_entity
from accordant.canonical.events import BusinessEvent
from accordant.canonical.facts import Fact
from accordant.canonical.intents import WireValue
from accordant.canonical.refs import EntityKind
from accordant.canonical.standing import Standing, decode_standing
from accordant.canonical.upcasters import read_business_event
from accordant.kernel.clock import from_micros
from accordant.kernel.money import Money
from accordant.store.engine import Database
from accordant.store.schema import (
    business_event,
    confirmed_record,
    crosswalk,
    desired_record,
    entity,
    standing,
    write_intent,
)
from accordant.views.agreement import decode_fields, differing_fields
from accordant.views.keyed import AnyRow, rows_by_key
from accordant.views.trace import Write, read_writes

PAGE_MAX = 50
#: Accounts looked at for one page of a filtered list, latest change first; the page then offers to look further.
LOOKED_AT_MAX = 1_000
#: Accounts searched by text, latest change first.
SEARCHED_MAX = 20_000
EVENTS_MAX = 60
ENTITIES_MAX = 200
WRITES_MAX = 40
#: Of what was billed and collected so many records are shown that are as they should be; all others always are.
BILLS_SHOWN = 12
_ALWAYS_SHOWN = frozenset({EntityKind.ACCOUNT.value, EntityKind.SUBSCRIPTION.value})


class CustomerLine(msgspec.Struct, frozen=True, kw_only=True):
    """An account in the list; ``facts`` absent from it are unknown."""

    account_id: str
    name: str | None
    external_id: str
    email: str | None
    facts: dict[str, Fact]
    changed_at: datetime


class CustomerList(msgspec.Struct, frozen=True, kw_only=True):
    """One page. ``further`` is the cursor of the next page, None at the end; ``looked_at`` counts what was filtered."""

    lines: tuple[CustomerLine, ...]
    looked_at: int
    further: str | None


class FieldPair(msgspec.Struct, frozen=True, kw_only=True):
    """One target field: what it should hold, and what it was last seen to hold if anybody looked (``known``)."""

    field: str
    desired: WireValue
    held: WireValue
    known: bool
    differs: bool


class TargetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of one target. ``target_id`` and ``confirmed_at`` are None until the target was seen to hold it."""

    ref: str
    flow: str
    target: str
    object: str
    key: str
    entity_id: str
    revision: int
    target_id: str | None
    confirmed_at: datetime | None
    fields: tuple[FieldPair, ...]
    notes: tuple[str, ...]

    @property
    def differing(self) -> int:
        """How many fields differ."""
        return sum(pair.differs for pair in self.fields)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One crosswalk entry of the account or of something it has."""

    system: str
    object_type: str
    external_id: str
    kind: str
    entity_id: str
    since: datetime


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """One account whole. ``movements`` tell how its recurring revenue moved, oldest first, where somebody asked."""

    account_id: str
    account: Account
    standing: Standing
    facts: Facts
    sentence: str
    version: int
    cause: int
    changed_at: datetime
    identities: tuple[Identity, ...]
    records: tuple[TargetRecord, ...]
    entities: tuple[tuple[str, str, Entity], ...]
    events: tuple[tuple[int, BusinessEvent], ...]
    writes: tuple[Write, ...]
    movements: tuple[Movement, ...] = ()
    #: How many records of the latest that were looked at are not among ``records``: they are as they should be.
    more_records: int = 0

    @property
    def expanded(self) -> tuple[Money, ...]:
        """What expansions added in all, one amount per currency."""
        return expanded(self.movements)


def customers(
    database: Database,
    *,
    now: datetime,
    query: str = "",
    by_email: bool = True,
    status: str = "",
    after: str = "",
    zone: tzinfo = UTC,
) -> CustomerList:
    """A page of accounts, latest change first, of this ``status``, whose name, e-mail or id contains ``query``.

    ``by_email`` is False for those who may not see addresses: a search must not tell them letter by letter.
    """
    with database.read() as connection:
        limit = SEARCHED_MAX if query else LOOKED_AT_MAX if status else PAGE_MAX + 1
        rows = _candidates(connection, query=query, after=after, limit=limit)
        lines: list[CustomerLine] = []
        looked_at, last = 0, None
        for start in range(0, len(rows), PAGE_MAX):
            part = rows[start : start + PAGE_MAX]
            held = _standings(connection, [row.id for row in part])
            names = _product_names(connection, held.values())
            for row in part:
                if len(lines) == PAGE_MAX:
                    return CustomerList(lines=tuple(lines), looked_at=looked_at, further=last)
                looked_at, last = looked_at + 1, f"{row.updated_at}~{row.id}"
                line = _line(row, held.get(row.id, Standing()), names, now=now, zone=zone)
                if line is not None and _matches(line, query, status, by_email=by_email):
                    lines.append(line)
        more = last if len(rows) >= limit and not query else None
        return CustomerList(lines=tuple(lines), looked_at=looked_at, further=more)


def _candidates(connection: Connection, *, query: str, after: str, limit: int) -> Sequence[AnyRow]:
    columns = (entity.c.id, entity.c.state, entity.c.updated_at)
    newest = select(*columns).where(entity.c.kind == EntityKind.ACCOUNT.value)
    stamp, _, account_id = after.partition("~")
    if stamp.isdecimal() and len(stamp) < 18:
        # Two conditions: the first is the range the index walks, the second drops the ties already shown.
        newest = newest.where(
            entity.c.updated_at <= int(stamp), (entity.c.updated_at < int(stamp)) | (entity.c.id < account_id)
        )
    newest = newest.order_by(entity.c.updated_at.desc(), entity.c.id.desc()).limit(limit)
    if not query:
        return connection.execute(newest).all()
    found = newest.subquery()
    spelled = msgspec.json.encode(query).decode()[1:-1].lower()
    match = select(found).where(_text_of(connection, found.c.state).contains(spelled, autoescape=True))
    return connection.execute(match.order_by(found.c.updated_at.desc(), found.c.id.desc()).limit(PAGE_MAX * 4)).all()


def _text_of(connection: Connection, column: ColumnElement[bytes]) -> ColumnElement[str]:
    if connection.dialect.name == "sqlite":
        return func.lower(cast(column, Text))
    return func.lower(func.convert_from(column, "UTF8"))


def _matches(line: CustomerLine, query: str, status: str, *, by_email: bool) -> bool:
    if status and line.facts.get("status") != status:
        return False
    wanted = query.casefold()
    return not wanted or any(
        wanted in text.casefold()
        for text in (line.name or "", (line.email or "") if by_email else "", line.external_id, line.account_id)
    )


def _line(row: AnyRow, held: Standing, names: dict[str, str], *, now: datetime, zone: tzinfo) -> CustomerLine | None:
    account = decode_entity(row.state)
    if not isinstance(account, Account):
        return None
    facts = account_facts(account, held, as_of=now, product_names=names, zone=zone)
    return CustomerLine(
        account_id=row.id,
        name=account.name,
        external_id=account.external_id,
        email=account.email,
        facts=facts.values,
        changed_at=from_micros(row.updated_at),
    )


def _standings(connection: Connection, account_ids: Iterable[str]) -> dict[str, Standing]:
    columns = (standing.c.account_id, standing.c.state)
    return {
        row.account_id: decode_standing(row.state)
        for row in rows_by_key(connection, columns, standing.c.account_id, account_ids)
    }


def _product_names(connection: Connection, standings: Iterable[Standing]) -> dict[str, str]:
    """Names of the products these standings mention, by the owner's id."""
    wanted = {
        item.product_id
        for one in standings
        for subscription in one.subscriptions
        for item in subscription.items
        if item.product_id is not None and item.plan_name is None
    }
    links = rows_by_key(connection, (crosswalk.c.kind, crosswalk.c.entity_id), crosswalk.c.external_id, wanted)
    ids = [row.entity_id for row in links if row.kind == EntityKind.PRODUCT]
    products = [decode_entity(row.state) for row in rows_by_key(connection, (entity.c.state,), entity.c.id, ids)]
    return {one.external_id: one.name for one in products if isinstance(one, Product) and one.name is not None}


def customer(database: Database, account_id: str, *, now: datetime, zone: tzinfo = UTC) -> Customer | None:
    """The account ``account_id`` (the hub's id), or None when nobody has described it."""
    with database.read() as connection:
        row = connection.execute(select(entity).where(entity.c.id == account_id)).one_or_none()
        account = decode_entity(row.state) if row is not None else None
        if row is None or not isinstance(account, Account):
            return None
        held = _standings(connection, [account_id]).get(account_id, Standing())
        facts = account_facts(account, held, as_of=now, product_names=_product_names(connection, [held]), zone=zone)
        parts = connection.execute(
            select(entity.c.id, entity.c.kind, entity.c.state)
            .where(entity.c.root_id == account_id, entity.c.id != account_id)
            .order_by(entity.c.kind != EntityKind.SUBSCRIPTION.value, entity.c.updated_at.desc(), entity.c.id)
            .limit(ENTITIES_MAX)
        ).all()
        kinds = {account_id: EntityKind.ACCOUNT.value} | {part.id: part.kind for part in parts}
        found = _records(connection, kinds)
        records = _worth_showing(found, kinds)
        return Customer(
            account_id=account_id,
            account=account,
            standing=held,
            facts=facts,
            sentence=sentence(facts.values, as_of=now, zone=zone),
            version=row.version,
            cause=row.cause,
            changed_at=from_micros(row.updated_at),
            identities=_identities(connection, [account_id, *(record.entity_id for record in records)]),
            records=records,
            entities=tuple((part.id, part.kind, decode_entity(part.state)) for part in parts),
            events=_events(connection, account_id),
            writes=_writes(connection, [record.ref for record in records]),
            more_records=len(found) - len(records),
        )


def _worth_showing(records: Sequence[TargetRecord], kinds: Mapping[str, str]) -> tuple[TargetRecord, ...]:
    """The account's record and its subscriptions', whatever is not as it should be, and the latest bills."""
    settled = [
        one for one in records if kinds[one.entity_id] not in _ALWAYS_SHOWN and one.confirmed_at and not one.differing
    ]
    seen_at = {one.ref: one.confirmed_at.timestamp() for one in settled if one.confirmed_at}
    latest = sorted(settled, key=lambda one: (seen_at[one.ref], one.ref), reverse=True)[:BILLS_SHOWN]
    left_out = {one.ref for one in settled} - {one.ref for one in latest}
    return tuple(
        sorted(
            (one for one in records if one.ref not in left_out),
            key=lambda one: (one.target, kinds[one.entity_id] not in _ALWAYS_SHOWN, one.object, one.key),
        )
    )


def _identities(connection: Connection, entity_ids: Iterable[str]) -> tuple[Identity, ...]:
    columns = (crosswalk.c.system, crosswalk.c.object_type, crosswalk.c.external_id, crosswalk.c.kind,
               crosswalk.c.entity_id, crosswalk.c.since)  # fmt: skip
    return tuple(
        Identity(
            system=row.system,
            object_type=row.object_type,
            external_id=row.external_id,
            kind=row.kind,
            entity_id=row.entity_id,
            since=from_micros(row.since),
        )
        for row in sorted(rows_by_key(connection, columns, crosswalk.c.entity_id, entity_ids))
    )


def _records(connection: Connection, entity_ids: Iterable[str]) -> tuple[TargetRecord, ...]:
    wanted = rows_by_key(connection, tuple(desired_record.c), desired_record.c.entity_id, entity_ids)
    return target_records(connection, wanted)


def target_records(connection: Connection, wanted: Sequence[AnyRow]) -> tuple[TargetRecord, ...]:
    """Rows of ``desired_record`` beside what their targets hold, sorted by name."""
    held = {
        row.ref: row
        for row in rows_by_key(
            connection, tuple(confirmed_record.c), confirmed_record.c.ref, [row.ref for row in wanted]
        )
    }
    return tuple(_record(row, held.get(row.ref)) for row in sorted(wanted, key=lambda row: (row.target, row.ref)))


def _record(row: AnyRow, held: AnyRow | None) -> TargetRecord:
    desired = decode_fields(row.fields)
    seen = decode_fields(held.fields) if held is not None else {}
    differing = frozenset(differing_fields(desired, seen)) if held is not None else frozenset(desired)
    return TargetRecord(
        ref=row.ref,
        flow=row.flow,
        target=row.target,
        object=row.object,
        key=row.key,
        entity_id=row.entity_id,
        revision=row.revision,
        target_id=held.target_id if held is not None else None,
        confirmed_at=from_micros(held.confirmed_at) if held is not None else None,
        fields=tuple(
            FieldPair(field=name, desired=value, held=seen.get(name), known=held is not None, differs=name in differing)
            for name, value in sorted(desired.items())
        ),
        notes=msgspec.json.decode(row.notes, type=tuple[str, ...]),
    )


def _events(connection: Connection, account_id: str) -> tuple[tuple[int, BusinessEvent], ...]:
    rows = connection.execute(
        select(business_event.c.seq, business_event.c.body)
        .where(business_event.c.root_id == account_id)
        .order_by(business_event.c.occurred_at.desc())
        .limit(EVENTS_MAX)
    )
    return tuple((row.seq, read_business_event(row.body)) for row in rows)


def _writes(connection: Connection, refs: list[str]) -> tuple[Write, ...]:
    rows: list[Any] = rows_by_key(connection, tuple(write_intent.c), write_intent.c.record, refs)
    rows.sort(key=lambda row: (row.planned_at, row.revision), reverse=True)
    return read_writes(connection, rows[:WRITES_MAX])

"""Red flags on SQL: raised in the transaction that found them, closed in the one of the last word needed."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select, text, update

from accordant.canonical.error_patterns import refusal_code
from accordant.canonical.intents import KEY_REUSED, Refused, WriteReceipt
from accordant.canonical.red_flags import FlagDecision, FlagStop, RedFlag, stop_of_flag
from accordant.governance.red_flags import reused_event, reused_key
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.flags import FlagClosed, FlagUnknown, FlagWord, KeptFlag, flag_entry
from accordant.ports.outbox import Verdict
from accordant.store import audit, bulk
from accordant.store.alerts import raise_alert
from accordant.store.engine import Database
from accordant.store.schema import (
    crosswalk,
    entity,
    flag_decision,
    inbox_event,
    inbox_twin,
    red_flag,
    write_intent,
    write_receipt,
)

OPEN, APPROVED = "open", "approved"
_ROW = ("id", "kind", "account_id", "state", "body", "raised_at")
_WORD = ("flag", "number", "body", "at")
# Written out, not bound: SQLite takes a partial index only when it can see the index's own condition in the query.
IS_OPEN = text("red_flag.state = 'open'")
_OPEN = select(red_flag.c.body).where(IS_OPEN).order_by(red_flag.c.raised_at)
_ENCODER = msgspec.json.Encoder(order="sorted")
_FLAGS = msgspec.json.Decoder(RedFlag)
_DECISIONS = msgspec.json.Decoder(FlagDecision)


class SqlFlagBook:
    """`ports.flags.FlagBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, flag_id: str) -> KeptFlag:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(select(red_flag.c.body, red_flag.c.state).where(red_flag.c.id == flag_id)).first()
            if row is None:
                raise FlagUnknown(f"There is no red flag {flag_id[:60]!r}.")
            decisions = flag_decisions(connection, flag_id)
            (flag,) = with_customers(connection, [_FLAGS.decode(row.body)])
        return KeptFlag(flag=flag, decisions=decisions, is_open=row.state == OPEN)


def keep_words(connection: Connection, words: Sequence[FlagWord]) -> None:
    """Keep what people said, and close what is closed by it. Raises FlagClosed where somebody else was quicker."""
    for word in words:
        one = word.decision
        row = (one.flag, one.number, _ENCODER.encode(one), to_micros(one.at))
        if not bulk.insert_new(connection, flag_decision, _WORD, [row]):
            raise FlagClosed
        still = update(red_flag).where(red_flag.c.id == one.flag, red_flag.c.state == OPEN)
        if connection.execute(still.values(state=APPROVED if word.closes else OPEN)).rowcount != 1:
            raise FlagClosed


def flag_decisions(connection: Connection, flag_id: str) -> tuple[FlagDecision, ...]:
    """What was said of a flag, oldest first."""
    query = select(flag_decision.c.body).where(flag_decision.c.flag == flag_id).order_by(flag_decision.c.number)
    return tuple(_DECISIONS.decode(body) for body in connection.execute(query).scalars())


def keep_flags(connection: Connection, flags: Sequence[RedFlag]) -> list[RedFlag]:
    """Raise flags, each with its alert; those that are new. The caller tells the trail."""
    new = []
    for flag in flags:
        row = (flag.id, flag.kind.value, flag.account_id, OPEN, _ENCODER.encode(flag), to_micros(flag.raised_at))
        if bulk.insert_new(connection, red_flag, _ROW, [row]):
            new.append(flag)
            raise_alert(connection, kind="flag.raised", subject=flag.subject, body=flag.why, at=flag.raised_at)
    return new


def flag_reuse(connection: Connection, system: str, external_id: str, *, reuses_max: int | None, now: datetime) -> None:
    """Raise the red flag of an event whose id came with other content ``reuses_max`` times; None looks for none."""
    if reuses_max is None:
        return
    mine = (inbox_twin.c.connection == system, inbox_twin.c.external_id == external_id)
    others = connection.execute(select(func.count()).select_from(inbox_twin).where(*mine)).scalar_one()
    if others < reuses_max:
        return
    event = connection.execute(
        select(inbox_event.c.seq, inbox_event.c.lane, inbox_event.c.occurred_at).where(
            inbox_event.c.connection == system, inbox_event.c.external_id == external_id
        )
    ).one()
    flag = reused_event(
        name=f"{system}:event/{external_id}",
        others=others,
        account_id=_account_of(connection, event.lane),
        seq=event.seq,
        said_at=from_micros(event.occurred_at),
        now=now,
    )
    audit.append(connection, [flag_entry(one) for one in keep_flags(connection, [flag])], now=now)


def flag_refused_keys(
    connection: Connection, verdicts: Sequence[Verdict], *, reuses_max: int | None, now: datetime
) -> list[RedFlag]:
    """Raise the red flag of a record whose target refused a key as another request's ``reuses_max`` times.

    The receipts are kept already, the caller tells the trail. None looks for none.
    """
    refused = [one.leased for one in verdicts if one.receipt is not None and _is_reuse(one.receipt)]
    if reuses_max is None or not refused:
        return []
    found = []
    for leased in refused:
        intent = leased.intent
        record = f"{intent.target}:{intent.object}/{intent.key}"
        kept = connection.execute(
            select(write_receipt.c.body)
            .join(write_intent, write_intent.c.id == write_receipt.c.intent_id)
            .where(write_intent.c.record == record, write_receipt.c.outcome == Refused.__name__)
        ).scalars()
        others = sum(refusal_code(body) == KEY_REUSED for body in kept)
        if others >= reuses_max:
            account_id = intent.lane.partition(":")[2] or None
            flag = reused_key(
                record=record, others=others, account_id=account_id, seq=intent.cause, said_at=leased.said_at, now=now
            )
            found.append(flag)
    return keep_flags(connection, found)


def _is_reuse(receipt: WriteReceipt) -> bool:
    return isinstance(receipt.outcome, Refused) and receipt.outcome.code == KEY_REUSED


def open_stops(connection: Connection) -> tuple[FlagStop, ...]:
    """What the open flags stop."""
    flags = [_FLAGS.decode(body) for body in connection.execute(_OPEN).scalars()]
    return tuple(stop_of_flag(flag) for flag in with_customers(connection, flags))


def with_customers(connection: Connection, flags: Sequence[RedFlag]) -> tuple[RedFlag, ...]:
    """Flags with their customers, where nobody knew one when it was raised and somebody does by now.

    He is the customer of the lane of its event, or of one of the objects behind it: as many reads for many as for one.
    """
    nobodys = [flag for flag in flags if flag.account_id is None]
    if not nobodys:
        return tuple(flags)
    seqs = {flag.seq for flag in nobodys if flag.seq is not None}
    lanes: dict[int, str] = dict(bulk.select_by_keys(connection, inbox_event, ("seq", "lane"), "seq", seqs))
    names = {flag.id: (*([lanes[flag.seq]] if flag.seq in lanes else []), *flag.related) for flag in nobodys}
    asked = sorted({str(name) for found in names.values() for name in found})
    links: dict[str, str] = dict(bulk.select_by_keys(connection, crosswalk, ("ref", "entity_id"), "ref", asked))
    roots: dict[str, str] = dict(
        bulk.select_by_keys(connection, entity, ("id", "root_id"), "id", sorted(set(links.values())))
    )
    accounts = {
        flag: next((roots[links[name]] for name in found if links.get(name) in roots), None)
        for flag, found in names.items()
    }
    return tuple(msgspec.structs.replace(flag, account_id=flag.account_id or accounts.get(flag.id)) for flag in flags)


def _account_of(connection: Connection, lane: str | None) -> str | None:
    """The customer of an inbound lane, which is named after the owner's object; None before anybody was told of it."""
    query = select(entity.c.root_id).join(crosswalk, crosswalk.c.entity_id == entity.c.id)
    return connection.execute(query.where(crosswalk.c.ref == (lane or ""))).scalar()


def known_flags(connection: Connection, ids: Iterable[str]) -> frozenset[str]:
    """Those of these flags that were raised before."""
    return frozenset(row[0] for row in bulk.select_by_keys(connection, red_flag, ("id",), "id", ids))

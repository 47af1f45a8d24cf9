"""The books that the stored history would make under the charter in force: read, composed, shown. Nothing is kept."""

from datetime import date, datetime
from functools import partial
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from accordant.canonical.charter import Charter
from accordant.canonical.entities import Entity, Price, decode_entity
from accordant.canonical.events import BusinessEvent
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.upcasters import read_business_event
from accordant.kernel.errors import ConfigurationError
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.setting import setting_of
from accordant.store.engine import Database
from accordant.store.rates import newest_rate_of
from accordant.store.schema import business_event, entity

_KINDS = (
    EntityKind.INVOICE,
    EntityKind.PAYMENT,
    EntityKind.REFUND,
    EntityKind.CREDIT_NOTE,
    EntityKind.DISPUTE,
    EntityKind.PRICE,
    EntityKind.SUBSCRIPTION,
)


class LedgerMissing(ConfigurationError):
    """The charter in force has no ledger part, so nothing says what goes on which account."""

    remedy = "Add `ledger`: legal entities with accounts and rules, and which system's bills are whose."


def draft_books(database: Database, charter: Charter, *, before_on: date, now: datetime) -> Draft:
    """The draft of everything that happened before ``before_on``. Raises: LedgerMissing."""
    if charter.ledger is None:
        raise LedgerMissing
    zone = ZoneInfo(charter.timezone)
    with database.read() as connection:
        history = _history(connection)
    first = min((event.occurred_at for event in history.events), default=now)
    years = range(first.astimezone(zone).year - 1, before_on.year + 1)
    rate_of = partial(newest_rate_of, database)
    setting = setting_of(charter.ledger, zone=zone, years=years, rate_of=rate_of, recorded_at=now)
    return draft(history, setting, before_on=before_on)


def _history(connection: Connection) -> History:
    events = connection.execute(select(business_event.c.body)).scalars()
    rows = connection.execute(
        select(entity.c.ref, entity.c.state).where(entity.c.kind.in_([kind.value for kind in _KINDS]))
    )
    objects: dict[ExternalRef, Entity] = {ExternalRef.parse(row.ref): decode_entity(row.state) for row in rows}
    products = {price.external_id: price.product_id for price in objects.values() if isinstance(price, Price)}
    return History(events=tuple(_read(body) for body in events), objects=objects, products=products)


def _read(body: bytes) -> BusinessEvent:
    return read_business_event(body)

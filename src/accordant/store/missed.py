"""Missed events on SQL: what of a provider's list is stored, how each type is heard, which endpoint is ours.

An event that had to be fetched leaves a line in `delivery`; when it is delivered after all, so does the delivery.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select, update

from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.inbox import Proof
from accordant.ports.missed import Adoption, HeardEvent, Rhythm
from accordant.store import bulk
from accordant.store.alerts import raise_alert
from accordant.store.engine import Database
from accordant.store.guard import bookkeeping
from accordant.store.schema import adopted_endpoint, delivery, event_rhythm, hub_fact, inbox_event

_RHYTHM = ("connection", "event_type", "heard_at", "fetched_at", "gaps", "alarmed_at")
_ADOPTED = ("connection", "endpoint_id", "url", "api_version", "adopted_at", "adopted_by")
_SILENT = "event.silent"
_HEARD = "event.heard"


class SqlMissedBook:
    """`ports.missed.SweepBook`, `RhythmBook` and `AdoptionBook` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, system: str, external_ids: Collection[str]) -> frozenset[str]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(
                connection, inbox_event, ("external_id",), "external_id", external_ids, where=("connection", system)
            )
        return frozenset(row[0] for row in rows)

    def first_at(self, system: str) -> datetime | None:
        """See the port."""
        query = select(inbox_event.c.occurred_at).where(inbox_event.c.connection == system)
        with self._database.read() as connection:
            first = connection.execute(query.order_by(inbox_event.c.seq).limit(1)).scalar()
        return None if first is None else from_micros(first)

    def rhythms(self, system: str) -> dict[str, Rhythm]:
        """See the port."""
        with self._database.read() as connection:
            rows = connection.execute(select(event_rhythm).where(event_rhythm.c.connection == system))
            return {row.event_type: _rhythm(row) for row in rows}

    def keep(self, system: str, rhythms: Sequence[Rhythm], *, read_up_to: int) -> None:
        """See the port."""
        rows = [
            (
                system,
                one.event_type,
                _micros(one.heard_at),
                _micros(one.fetched_at),
                ",".join(map(str, one.gaps)),
                _micros(one.alarmed_at),
            )
            for one in rhythms
        ]
        with self._database.write() as connection:
            bulk.upsert(connection, event_rhythm, _RHYTHM, rows)
            fact = (_counted(system), str(read_up_to), 0)
            with bookkeeping(connection):
                bulk.upsert(connection, hub_fact, ("name", "value", "updated_at"), [fact])

    def unread(self, system: str, *, limit: int) -> tuple[tuple[HeardEvent, ...], int]:
        """See the port."""
        with self._database.read() as connection:
            counted = connection.execute(select(hub_fact.c.value).where(hub_fact.c.name == _counted(system))).scalar()
            after = int(counted or 0)
            rows = connection.execute(
                select(
                    inbox_event.c.seq, inbox_event.c.external_id, inbox_event.c.event_type, inbox_event.c.occurred_at
                )
                .where(inbox_event.c.seq > after, inbox_event.c.connection == system)
                .order_by(inbox_event.c.seq)
                .limit(limit)
            ).all()
            lines = bulk.select_by_keys(
                connection,
                delivery,
                ("external_id", "outcome"),
                "external_id",
                [row.external_id for row in rows],
                where=("connection", system),
            )
        fetched = {name for name, outcome in lines if outcome == Proof.FETCHED}
        events = tuple(
            HeardEvent(
                event_type=row.event_type,
                occurred_at=from_micros(row.occurred_at),
                was_fetched=row.external_id in fetched,
            )
            for row in rows
        )
        return events, rows[-1].seq if rows else after

    def delivered(self, system: str, external_ids: Collection[str]) -> frozenset[str]:
        """See the port."""
        known = self.known(system, external_ids)
        with self._database.read() as connection:
            lines = bulk.select_by_keys(
                connection, delivery, ("external_id", "outcome"), "external_id", known, where=("connection", system)
            )
        fetched = {name for name, outcome in lines if outcome == Proof.FETCHED}
        repeated = {name for name, outcome in lines if outcome != Proof.FETCHED}
        return known - (fetched - repeated)

    def open(self, system: str, rhythm: Rhythm, *, told: str, now: datetime) -> bool:
        """See the port."""
        with self._database.write() as connection:
            new = connection.execute(
                update(event_rhythm)
                .where(
                    event_rhythm.c.connection == system,
                    event_rhythm.c.event_type == rhythm.event_type,
                    event_rhythm.c.alarmed_at.is_(None),
                )
                .values(alarmed_at=to_micros(now))
            ).rowcount
            if new:
                subject = f"{rhythm.event_type} of {system} is not delivered any more"
                raise_alert(connection, kind=_SILENT, subject=subject, body=told, at=now)
            return bool(new)

    def close(self, system: str, event_type: str, *, told: str, now: datetime) -> bool:
        """See the port."""
        with self._database.write() as connection:
            was = connection.execute(
                update(event_rhythm)
                .where(
                    event_rhythm.c.connection == system,
                    event_rhythm.c.event_type == event_type,
                    event_rhythm.c.alarmed_at.is_not(None),
                )
                .values(alarmed_at=None)
            ).rowcount
            if was:
                subject = f"{event_type} of {system} is delivered again"
                raise_alert(connection, kind=_HEARD, subject=subject, body=told, at=now)
            return bool(was)

    def adoption(self, system: str) -> Adoption | None:
        """See the port."""
        with self._database.read() as connection:
            row = connection.execute(select(adopted_endpoint).where(adopted_endpoint.c.connection == system)).first()
        if row is None:
            return None
        return Adoption(
            system=row.connection,
            endpoint_id=row.endpoint_id,
            url=row.url,
            api_version=row.api_version,
            adopted_at=from_micros(row.adopted_at),
            adopted_by=row.adopted_by,
        )

    def adopt(self, adoption: Adoption) -> None:
        """See the port."""
        row = (
            adoption.system,
            adoption.endpoint_id,
            adoption.url,
            adoption.api_version,
            to_micros(adoption.adopted_at),
            adoption.adopted_by,
        )
        with self._database.write() as connection:
            bulk.upsert(connection, adopted_endpoint, _ADOPTED, [row])

    def delivered_at(self, system: str) -> datetime | None:
        """See the port."""
        fetched = select(delivery.c.id).where(
            delivery.c.connection == inbox_event.c.connection,
            delivery.c.external_id == inbox_event.c.external_id,
            delivery.c.outcome == Proof.FETCHED.value,
        )
        query = select(inbox_event.c.received_at).where(inbox_event.c.connection == system, ~exists(fetched))
        with self._database.read() as connection:
            received_at = connection.execute(query.order_by(inbox_event.c.seq.desc()).limit(1)).scalar()
        return None if received_at is None else from_micros(received_at)


def _counted(system: str) -> str:
    return f"rhythm/{system}"


def _rhythm(row: Any) -> Rhythm:  # noqa: ANN401  a row of the table
    return Rhythm(
        event_type=row.event_type,
        heard_at=_instant(row.heard_at),
        fetched_at=_instant(row.fetched_at),
        gaps=tuple(int(gap) for gap in row.gaps.split(",") if gap),
        alarmed_at=_instant(row.alarmed_at),
    )


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)

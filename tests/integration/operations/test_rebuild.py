"""The books built again from the inbox and the trail: words, months and periods; what was altered is found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, select, text

from accordant.canonical.words import SOURCE
from accordant.ledger.periods import PeriodState
from accordant.ledger.transactions import Transaction
from accordant.operations.bill_desk import BillWord
from accordant.operations.rebuild import Rebuilt, Stage, rebuild
from accordant.operations.scratch import ScratchState
from accordant.operations.word_desk import OrderOutcome
from accordant.pipeline.process import process
from accordant.runtime.worker import shielded
from accordant.store.cursors import Cursors
from accordant.store.engine import Database
from accordant.store.history import SqlHistory
from accordant.store.ledger_desk import SqlLedgerDesk
from accordant.store.rebuild import SqlBooksPast
from accordant.store.schema import accounting_period, inbox_event, inbox_work, journal_entry
from accordant.store.scratch import scratch_database
from accordant.store.state import SqlState
from tests.integration.operations.kit import Installation, an_installation
from tests.integration.operations.test_words import COMPANY, SISTER, a_group, a_transaction, say, unpaid_bills


@pytest.fixture
async def one(store_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with an_installation(store_url, tmp_path, more=a_group()) as installed:
        yield installed


@contextmanager
def a_stage(one: Installation) -> Iterator[tuple[Stage, Database]]:
    with scratch_database(one.settings.home) as database:
        yield (
            Stage(
                live=one.hub.state,
                live_desk=SqlLedgerDesk(one.hub.database),
                past=SqlBooksPast(one.hub.database, SqlHistory(one.hub.database, one.hub.inbox)),
                empty=SqlState(database),
                desk=SqlLedgerDesk(database),
                marks=Cursors(database),
                rulebook=one.hub.rulebook,
                connectors=one.hub.inbounds,
                shield=shielded,
            ),
            database,
        )


def built(one: Installation) -> Rebuilt:
    with a_stage(one) as (stage, _):
        return rebuild(stage, now=one.clock())


def closed_months(one: Installation) -> None:
    """Bills of January of which one is lost; January is recognised and closed, opened again by two, and closed again.
    What comes late goes into February.
    """
    lost, kept = unpaid_bills(one, 2)
    assert say(one, BillWord.WRITTEN_OFF, lost, "w-1").outcome is OrderOutcome.POSTED
    keeper = one.hub.bookkeeper
    one.clock.move(days=40)
    for period in keeper.periods(COMPANY):
        if period.state is PeriodState.OPEN and period.starts_on <= date(2024, 1, 1):
            keeper.recognise(COMPANY, period.starts_on)
            one.clock.move(minutes=1)
            keeper.close(COMPANY, period.starts_on, by="Ann")
            one.clock.move(minutes=1)
    late = a_transaction(one, Transaction.DELIVERED_BY_SISTER, "t-1", {"amount": "900.00"}, sister=SISTER)
    assert late.outcome is OrderOutcome.POSTED
    one.clock.move(minutes=1)
    keeper.reopen(COMPANY, date(2024, 1, 1), by="Ann")
    one.clock.move(minutes=1)
    keeper.reopen(COMPANY, date(2024, 1, 1), by="Bob")
    one.clock.move(minutes=1)
    assert say(one, BillWord.WRITTEN_OFF, kept, "w-2", on=date(2024, 1, 20)).outcome is OrderOutcome.POSTED
    one.clock.move(minutes=1)
    keeper.recognise(COMPANY, date(2024, 1, 1))
    one.clock.move(minutes=1)
    keeper.close(COMPANY, date(2024, 1, 1), by="Cid")


async def test_words_months_and_periods_come_out_of_a_rebuild_as_they_are(one: Installation) -> None:
    closed_months(one)
    with a_stage(one) as (stage, database):
        found = rebuild(stage, now=one.clock())
        assert found.is_same, found
        assert (found.erased, found.differing, found.bills) == (0, 0, 2)
        assert found.decisions >= 5
        for table, columns in (
            (accounting_period, ("legal_entity", "starts_on", "state", "closed_by", "reopened_by")),
            (journal_entry, ("id", "body", "recorded_at")),
        ):
            query = select(*(table.c[name] for name in columns)).order_by(*(table.c[name] for name in columns[:2]))
            with one.hub.database.read() as live, database.read() as again:
                rows = [tuple(row) for row in live.execute(query)]
                assert rows == [tuple(row) for row in again.execute(query)]
                assert rows


async def test_what_is_owed_abroad_and_was_revalued_comes_out_of_a_rebuild_as_it_is(
    store_url: str, tmp_path: Path
) -> None:
    abroad = a_group().replace("currency: USD", "currency: EUR")
    rows = "".join(f'        - {{role: {role}, account: "4000"}}\n' for role in ("fx_realised", "fx_unrealised"))
    abroad = abroad.replace("      rules:\n", f"      rules:\n{rows}")
    async with an_installation(store_url, tmp_path, more=abroad) as one:
        lost, _ = unpaid_bills(one, 2)
        one.clock.move(days=40)
        keeper = one.hub.bookkeeper
        done = keeper.revalue(COMPANY, date(2024, 1, 1))
        assert done.entries, done.refusals
        one.clock.move(minutes=1)
        assert say(one, BillWord.WRITTEN_OFF, lost, "w-1", on=date(2024, 1, 20)).outcome is OrderOutcome.POSTED
        one.clock.move(minutes=1)
        assert keeper.revalue(COMPANY, date(2024, 1, 1)).entries
        found = built(one)
        assert found.is_same, found
        assert found.decisions == 2


async def test_a_word_that_the_inbox_has_lost_is_told_by_its_entry(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    entry = say(one, BillWord.WRITTEN_OFF, bill, "w-1").entry
    assert entry is not None
    assert built(one).is_same
    # As it was before words were deliveries: the journal has the entry, and nothing says where it is from.
    with one.hub.database.engine.begin() as connection:
        tamper(connection, inbox_work)
        connection.execute(delete(inbox_work).where(inbox_work.c.connection == SOURCE))
    found = built(one)
    assert not found.is_same
    assert (entry.id, f"{entry.text} does not follow from the inbox.") in {(x.name, x.how) for x in found.unlike}
    assert bill in {one.name for one in found.unlike}


async def test_an_entry_that_was_altered_in_the_store_is_found(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    entry = say(one, BillWord.WRITTEN_OFF, bill, "w-1").entry
    assert entry is not None
    wrong = msgspec.json.encode(msgspec.structs.replace(entry, text="Something else"), order="sorted")
    with one.hub.database.engine.begin() as connection:
        tamper(connection, journal_entry)
        connection.execute(journal_entry.update().where(journal_entry.c.id == entry.id).values(body=wrong))
    (differs,) = built(one).unlike
    assert (differs.name, differs.how) == (entry.id, "Something else comes out otherwise.")


def tamper(connection: Any, table: Any) -> None:
    """Whoever may do anything in the database takes its guards off."""
    if connection.dialect.name == "sqlite":
        query = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :of")
        for name in connection.execute(query, {"of": table.name}).scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
    else:
        connection.exec_driver_sql(f"ALTER TABLE {table.name} DISABLE TRIGGER ALL")


async def test_a_rehearsal_knows_a_bill_of_an_earlier_batch_when_a_person_speaks_of_it(one: Installation) -> None:
    (bill,) = unpaid_bills(one, 1)
    entry = say(one, BillWord.WRITTEN_OFF, bill, "w-1").entry
    assert entry is not None
    with one.hub.database.read() as connection:
        seqs = connection.execute(select(inbox_event.c.seq).order_by(inbox_event.c.seq)).scalars().all()
    with scratch_database(one.settings.home) as database:
        scratch = ScratchState(SqlState(database), live=one.hub.state, now=one.clock())
        for event in one.hub.inbox.load(seqs):
            changes = process(
                [event], connectors=one.hub.inbounds, rulebook=one.hub.rulebook, state=scratch, now=one.clock()
            )
            scratch.commit(changes, now=one.clock())
        (walked,) = scratch.books.kept_entries([entry.id])
    assert walked.entry == entry

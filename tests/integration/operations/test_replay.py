"""Past events walked once more: a no-op where everything was done, and what was missed is done, money first."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from accordant.canonical.charter import Automation, Phase
from accordant.kernel.errors import RejectedError
from accordant.operations import replay as replaying
from accordant.operations.redrive_checks import RedriveOrder
from accordant.ports.replay import ReplayClass, ReplayOrder, ReplayScope
from accordant.store.schema import (
    audit_entry,
    business_event,
    entity,
    inbox_work,
    observation,
    standing,
    write_intent,
    write_receipt,
)
from tests.integration.operations.kit import Installation, an_installation, recharter
from tests.integration.operations.test_settlement import live_and_pay_out, settle

ALL = ReplayOrder(scope=ReplayScope(), actor="ada", reason="after the incident")


def scoped(**scope: object) -> ReplayOrder:
    return msgspec.structs.replace(ALL, scope=msgspec.convert(scope, ReplayScope))


def digests(one: Installation) -> dict[str, object]:
    """What the hub holds, and how much of each thing that happens there is."""
    with one.hub.database.read() as connection:
        counts = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (observation, business_event, write_intent, write_receipt)
        }
        held = {
            row.id: (row.version, bytes(row.digest), row.observed_at)
            for row in connection.execute(select(entity.c.id, entity.c.version, entity.c.digest, entity.c.observed_at))
        }
        figures = {
            row.account_id: (row.version, bytes(row.state))
            for row in connection.execute(select(standing.c.account_id, standing.c.version, standing.c.state))
        }
        work = sorted(tuple(row) for row in connection.execute(select(inbox_work)))
    return {**counts, "held": held, "figures": figures, "work": work}


async def test_three_replays_of_everything_change_nothing(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(4)
        await one.settle()
        before, writes = digests(one), one.writes()
        for _ in range(3):
            one.clock.move(minutes=5)
            job = one.hub.recovery.replay(ALL)
            assert (job.progress.changed, job.progress.intents, job.progress.stopped) == (0, 0, 0)
            assert job.progress.done == job.progress.total == len(before["work"])  # type: ignore[arg-type]
            assert job.progress.doubtful == ()
            one.process()
            await one.deliver()
        assert (digests(one), one.writes()) == (before, writes)


async def test_what_was_not_understood_is_done_and_money_goes_first(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        one.sell(2)
        one.take_in()
        with one.hub.database.write() as connection:  # as if a release before this one had known none of these types
            connection.execute(inbox_work.update().values(state="parked", reason="Unknown.", settled_at=1))
        count = one.hub.recovery.count_replay(ALL)
        assert [name for name, _ in count.classes] == [
            ReplayClass.MONEY,
            ReplayClass.SUBSCRIPTION,
            ReplayClass.SUPPORT,
        ]
        assert all(number > 0 for _, number in count.classes)
        job = one.hub.recovery.replay(ALL)
        assert (job.progress.done, job.progress.stopped) == (count.total, 0)
        with one.hub.database.read() as connection:
            query = select(inbox_work.c.seq).where(inbox_work.c.state == "parked").order_by(inbox_work.c.seq)
            parked = tuple(connection.execute(query).scalars())
            seqs = list(connection.execute(select(observation.c.seq).order_by(observation.c.id)).scalars())
            kinds = dict(connection.execute(select(entity.c.cause, entity.c.kind)).all())
        # Said in the same second with other content: only their owner knows which is later. They are told, not guessed.
        assert parked == job.progress.doubtful
        told = [kinds[seq] for seq in seqs if seq in kinds]
        first_met = list(dict.fromkeys(told))
        assert {"payment", "invoice"} == set(first_met[:2])
        assert first_met.index("subscription") < first_met.index("account")
        one.hub.recovery.redrive(
            [f"event/{seq}" for seq in parked], RedriveOrder(actor="ada", reason="told", defect="unknown", fix="0.1")
        )
        await one.settle()
        assert (one.salesforce.count("Account"), one.salesforce.count("Billing_Subscription__c")) == (2, 2)
        assert (await one.hub.reconcile("accounts", actor="ada")).is_clean


async def test_a_scope_narrows_to_an_event_an_entity_a_type_or_a_window(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as one:
        first, _ = one.sell(2)
        await one.settle()
        recovery = one.hub.recovery
        whole = recovery.count_replay(ALL).total
        assert recovery.count_replay(scoped(event=1)).total == 1
        assert 0 < recovery.count_replay(scoped(entity=f"stripe:customer/{first}")).total < whole
        typed = recovery.count_replay(scoped(event_type="customer.created"))
        assert dict(typed.classes) == {ReplayClass.MONEY: 0, ReplayClass.SUBSCRIPTION: 0, ReplayClass.SUPPORT: 2}
        money = msgspec.structs.replace(ALL, classes=(ReplayClass.MONEY,))
        assert 0 < recovery.count_replay(money).total < whole
        later = ReplayScope(since=one.clock())
        assert recovery.count_replay(msgspec.structs.replace(ALL, scope=later)).total == 0
        with pytest.raises(RejectedError, match="no settled event"):
            recovery.replay(msgspec.structs.replace(ALL, scope=later))
        with pytest.raises(RejectedError, match="named person for a stated reason"):
            recovery.replay(msgspec.structs.replace(ALL, reason=" "))


async def test_an_interrupted_replay_goes_on_where_it_stood(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "BATCH", 3)
    async with an_installation(store_url, tmp_path) as one:
        one.sell(3)
        await one.settle()
        reached: list[int] = []

        def dies(done: int, total: int) -> None:
            reached.append(done)
            if len(reached) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            one.hub.recovery.replay(ALL, progress=dies)
        with one.hub.database.read() as connection:
            query = select(audit_entry.c.subject).where(audit_entry.c.kind == "operations.replay.started")
            job_id = connection.execute(query).scalar_one().removeprefix("replay/")
        job = one.hub.recovery.resume_replay(job_id)
        assert job.progress.done == job.progress.total
        assert job.finished_at is not None
        with pytest.raises(RejectedError, match="is finished"):
            one.hub.recovery.resume_replay(job_id)
        with pytest.raises(RejectedError, match="never started"):
            one.hub.recovery.resume_replay("rpl_nobody")


@pytest.mark.parametrize("named", [False, True])
async def test_automations_stay_off_unless_the_replay_names_them(store_url: str, tmp_path: Path, named: bool) -> None:
    async with an_installation(store_url, tmp_path) as one:
        accounts, subscriptions = one.hub.charter.flows
        welcome = msgspec.structs.replace(
            accounts, phase=Phase.AUTOMATED, automation=Automation.CUSTOMER_FACING, write_fields=()
        )
        recharter(one.hub, [welcome, subscriptions])
        one.sell(2)
        one.take_in()
        with one.hub.database.write() as connection:
            connection.execute(inbox_work.update().values(state="parked", reason="Unknown.", settled_at=1))
        automations = (Automation.CUSTOMER_FACING,) if named else ()
        one.hub.recovery.replay(msgspec.structs.replace(ALL, automations=automations))
        with one.hub.database.read() as connection:
            flows_planned = set(connection.execute(select(write_intent.c.flow)).scalars())
            query = select(func.count()).where(audit_entry.c.kind == "court.automation.asleep")
            asleep = connection.execute(query.select_from(audit_entry)).scalar_one()
        assert flows_planned == ({"accounts", "subscriptions"} if named else {"subscriptions"})
        assert (asleep > 0) is not named


async def test_what_moves_money_back_or_out_goes_with_the_money(tmp_path: Path) -> None:
    """Requirement 143: financial events first; a refund, a payout and what it settled are no matter of support."""
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        live_and_pay_out(one)
        await settle(one)

        def walked(**scope: object) -> dict[ReplayClass, int]:
            counted = dict(one.hub.recovery.count_replay(scoped(**scope)).classes)
            return {name: count for name, count in counted.items() if count}

        for kind in ("refund.created", "payout.paid", "payout.settled", "charge.dispute.created"):
            assert walked(event_type=kind).keys() == {ReplayClass.MONEY}, kind
        assert walked(event_type="customer.created").keys() == {ReplayClass.SUPPORT}

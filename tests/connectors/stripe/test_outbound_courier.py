"""The courier and Stripe together: whatever weather, however often it dies, one customer, and no key for two things.

The oracle is the stand-in's own table of customers, which counts by the key in the metadata, and its own answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accordant.canonical.charter import CourierPart, FieldPart, MappingPart
from accordant.canonical.intents import (
    AlreadyApplied,
    Applied,
    FieldChange,
    IntentState,
    Refused,
    WireValue,
    plan_intent,
)
from accordant.canonical.refs import EntityKind, EntityRef
from accordant.connectors.stripe.simulator_state import SimulatedRefusal
from accordant.kernel.ids import EntityId
from accordant.pipeline.deliver import Delivered, deliver
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.pipeline.settle import settle
from accordant.ports.conflicts import FieldsKnown, Found
from accordant.ports.outbox import LeasedIntent
from tests.connectors.stripe.outbound_kit import ACCOUNT_KEY, Account, an_account
from tests.unit.pipeline.ledger import NOW, pause, umpires
from tests.unit.pipeline.memory import Memory, MemoryRequests

FLOW = "accounts"
MAPPINGS = {
    FLOW: MappingPart(
        entity=EntityKind.ACCOUNT,
        object="customer",
        key_field=ACCOUNT_KEY,
        fields={"name": FieldPart(source="name"), "email": FieldPart(source="email")},
    )
}
FAULTS = ("rate_limit", "server_error", "error_after_commit", "timeout", "timeout_after_commit")


def leased(revision: int, was: IntentState, **fields: WireValue) -> LeasedIntent:
    intent = plan_intent(
        flow=FLOW,
        target="crm",
        object_name="customer",
        key_field=ACCOUNT_KEY,
        key="001A",
        entity=EntityRef(EntityKind.ACCOUNT, EntityId("ent_1")),
        lane="crm:ent_1",
        step=0,
        fields=fields,
        changes=tuple(FieldChange(name, None, value) for name, value in fields.items()),
        cause=1,
        planned_at=NOW,
        revision=revision,
    )
    return LeasedIntent(intent=intent, attempt=1, was=was, shadow=False, token=1, known=FieldsKnown())


class Office:
    """One process after the other that delivers one intent; what is remembered is only what was stored."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.book = MemoryRequests()
        self.restart()

    def restart(self) -> None:
        self.requests = Requests(self.book, self.account.clock)

    async def send(self, one: LeasedIntent, *, is_settled: bool = True) -> Delivered:
        async def forget(_: Sequence[Found]) -> None:
            """Conflicts have tests of their own."""

        async def all_ours(batch: Sequence[LeasedIntent]) -> frozenset[str]:
            return frozenset(each.intent.id for each in batch)

        (done,) = await deliver(
            [one],
            outbound=self.account.outbound,
            mappings=MAPPINGS,
            umpires={FLOW: next(iter(umpires().values()))},
            open_gate=lambda: lambda _, __: None,
            recognizer=Recognizer(memory=Memory(), search=None, charter="abc", clock=self.account.clock),
            keep=forget,
            still_ours=all_ours,
            requests=self.requests,
            now=self.account.clock(),
        )
        if is_settled:
            self.book.settle(done.remember)
        return done


def made(account: Account) -> Counter[str]:
    return Counter(one["metadata"].get("crm_account_id") for one in account.held("customer"))


STEP = st.tuples(
    st.sampled_from([None, None, *FAULTS]), st.sampled_from([1, 70, 86_400]), st.booleans(), st.sampled_from("ab")
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=6))
async def test_one_customer_whatever_happens_on_the_way(steps: list[tuple[str | None, int, bool, str]]) -> None:
    async with an_account() as account:
        office, revision, name, was = Office(account), 1, "a", IntentState.PENDING
        for fault, passes, survives, wanted in steps:
            if wanted != name:
                revision, name, was = revision + 1, wanted, IntentState.PENDING
            if fault is not None:
                account.simulator.fail_next(fault, method="POST", path="/v1/customers", delay_s=0.01)
            await office.send(leased(revision, was, name=name, email="a@b.example"), is_settled=survives)
            was = IntentState.UNCERTAIN
            account.simulator.door.faults.clear()
            account.simulator.advance(passes)
            if not survives:
                office.restart()
        last = leased(revision, was, name=name, email="a@b.example")
        for _ in range(3):
            await office.send(last)
            account.simulator.advance(70)
        done = await office.send(last)
        assert isinstance(done.outcome, Applied | AlreadyApplied)
        assert made(account) == {"001A": 1}
        assert account.held("customer")[0]["name"] == name
        # No key ever stood for two contents, and none was used past its day.
        assert all(call.status != 400 for call in account.posts)
        bodies: dict[str, set[bytes]] = {}
        for call in account.posts:
            bodies.setdefault(call.request_headers["Idempotency-Key"], set()).add(call.request_body)
        assert all(len(one) == 1 for one in bodies.values())


async def test_what_stripe_refuses_becomes_a_dead_letter_and_comes_back_under_another_key() -> None:
    async with an_account() as account:
        office = Office(account)
        create = account.simulator.commands.find("POST", "/v1/customers")
        assert create is not None

        def refuse(_one: str, given: object) -> object:
            raise SimulatedRefusal(400, "Invalid email address: no mail", code="email_invalid", param="email")

        account.simulator.commands._routes["POST customers"] = refuse  # type: ignore[assignment]
        letter = leased(1, IntentState.PENDING, name="Acme", email="no mail")
        done = await office.send(letter)
        assert isinstance(done.outcome, Refused)
        verdict = settle(done, courier=CourierPart(), pause=pause, now=account.clock())
        assert verdict.state is IntentState.DEAD
        assert verdict.receipt is not None
        assert verdict.receipt.request_id is not None
        account.simulator.commands._routes["POST customers"] = create[0]
        again = await office.send(letter)
        assert isinstance(again.outcome, Applied)
        assert len(set(account.keys)) == 2


@pytest.mark.parametrize("gone", [timedelta(hours=22), timedelta(hours=23, minutes=1), timedelta(hours=30)])
async def test_a_key_is_not_relied_on_past_its_day(gone: timedelta) -> None:
    """A process died with its write on the way, which never arrived; the next one comes much later."""
    async with an_account() as account:
        office = Office(account)
        account.simulator.fail_next("timeout", method="POST", path="/v1/customers", delay_s=0.01)
        one = leased(1, IntentState.PENDING, name="Acme", email="a@b.example")
        await office.send(one, is_settled=False)
        account.simulator.advance(int(gone.total_seconds()))
        office.restart()
        for _ in range(3):
            await office.send(leased(1, IntentState.UNCERTAIN, name="Acme", email="a@b.example"))
            account.simulator.advance(70)
        assert made(account) == {"001A": 1}
        # The first call is not among these: it never had an answer. Past 23 of 24 hours the second is of the next key.
        (key,) = account.keys
        assert ("-0.1-" in key) is (gone >= timedelta(hours=23))

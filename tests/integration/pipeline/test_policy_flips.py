"""A policy flipped at any moment of the pipeline lets no forbidden write begin afterwards: leased, read or not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accordant.canonical.charter import (
    Charter,
    CourierPart,
    FieldPart,
    FieldType,
    FlowPart,
    MappingPart,
    OwnershipPart,
    Phase,
    SystemPart,
)
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import ObjectSpec, object_spec
from accordant.governance.decide import Switches
from accordant.governance.hearing import Hearing
from accordant.governance.phases import Tier
from accordant.pipeline.courier import Breaker, courier
from accordant.pipeline.deliver import Gate
from accordant.pipeline.dispatch import resting_flows, stop_of
from accordant.pipeline.hold import LEASE
from accordant.pipeline.plan import Rulebook, write_rulebook
from accordant.pipeline.recognize import Recognizer
from accordant.pipeline.requests import Requests
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import RecordWrite, WriteResult
from accordant.ports.last_word import ask_last_word
from accordant.ports.state import Changes, PlannedIntent
from accordant.store.conflicts import SqlConflictBook
from accordant.store.engine import Database
from accordant.store.link_memory import SqlLinkMemory
from accordant.store.outbox import SqlOutbox
from accordant.store.state import SqlState
from accordant.store.switches import SqlSwitchboard
from tests.integration.pipeline.kit import HandClock
from tests.integration.store.rows import told
from tests.unit.pipeline.ledger import MAPPINGS, NOW, LedgerTarget, leased, pause, umpires

FIELDS = ("MRR", "Name")
SWITCHES = ("flow:accounts", "system:crm", "system:billing", "writes", "object:crm/Account", "class:record_sync")


@dataclass(frozen=True)
class Policy:
    """What may be written, told in the plainest way: this is the oracle, not the court."""

    phase: Phase = Phase.AUTOMATED
    write_fields: frozenset[str] = frozenset()
    paused: bool = False
    thrown: frozenset[str] = frozenset()
    exists: bool = True

    def allows(self, name: str) -> bool:
        if not self.exists or self.paused or self.thrown:
            return False
        return self.phase is Phase.AUTOMATED or (self.phase is Phase.CONTROLLED and name in self.write_fields)


def rulebook_of(policy: Policy) -> Rulebook:
    fields = {"Name": FieldPart(source="name"), "MRR": FieldPart(source="mrr", type=FieldType.CURRENCY)}
    flow = FlowPart(
        name="accounts",
        entity=EntityKind.ACCOUNT,
        source="billing",
        target="crm",
        object="Account",
        phase=policy.phase,
        write_fields=tuple(sorted(policy.write_fields)),
        paused=policy.paused,
    )
    charter = Charter(
        company="Example",
        systems={name: SystemPart(connector=name, owner="ada", stand_in=True) for name in ("billing", "crm")},
        ownership=(
            OwnershipPart(
                entity=EntityKind.ACCOUNT,
                system_of_record="billing",
                readers=("crm",),
                purpose="Billing knows who pays.",
            ),
        ),
        mappings={"crm": (MappingPart(entity=EntityKind.ACCOUNT, object="Account", key_field="Key", fields=fields),)},
        flows=(flow,) if policy.exists else (),
    )
    return write_rulebook(charter, dict.fromkeys(("billing", "crm"), Tier.GOLD))


@dataclass
class Hall(LedgerTarget):
    """A target that knows what is allowed when a write begins, and a courier whose every step can be flipped."""

    batch_max: int = 1
    database: Database = field(default=None)  # type: ignore[assignment]  # given by every caller
    policy: Policy = Policy()
    flips: list[Policy | None] = field(default_factory=list)
    forbidden: list[tuple[str, str, Policy]] = field(default_factory=list)
    clock: HandClock = field(default_factory=lambda: HandClock(NOW))
    begun: int = 0

    def __post_init__(self) -> None:
        self.state, self.outbox = SqlState(self.database), SqlOutbox(self.database)
        self.board = SqlSwitchboard(self.database)
        self.on_read = self.moment
        self.flip(Policy())

    def flip(self, policy: Policy) -> None:
        """What a person does: another charter, and switches thrown and released, at once."""
        for name in SWITCHES:
            is_thrown = name in policy.thrown
            kind = "operations.switch.thrown" if is_thrown else "operations.switch.released"
            entry = AuditEntry(kind=kind, actor="ada", subject=name, cause=None, at=self.clock(), body={})
            if is_thrown:
                self.board.throw(name, reason="Test.", entry=entry)
            else:
                self.board.release(name, entry=entry)
        self.policy, self.rulebook = policy, rulebook_of(policy)

    def moment(self) -> None:
        """Somebody flips the policy here, or not."""
        if self.flips and (policy := self.flips.pop(0)) is not None:
            self.flip(policy)

    async def write(self, spec: ObjectSpec, records: Sequence[RecordWrite]) -> tuple[WriteResult, ...]:
        # Our own rate makes a call wait for its turn, and somebody flips the policy meanwhile. Then the client asks.
        self.moment()
        ask_last_word()
        for record in records:
            self.begun += 1
            self.forbidden += [
                (record.key, name, self.policy) for name in record.fields if not self.policy.allows(name)
            ]
        return await super().write(spec, records)

    def open_gate(self) -> Gate:
        self.moment()
        rulebook, switches = self.rulebook, Switches.thrown(self.state.switches())
        return lambda leased, changing: stop_of(leased, changing, rulebook=rulebook, hearing=Hearing(switches))

    def resting(self) -> frozenset[str]:
        resting = resting_flows(self.rulebook, Switches.thrown(self.state.switches()))
        self.moment()
        return resting

    async def deliver(self) -> None:
        self.clock.move(minutes=5)
        await courier(
            target="crm",
            outbox=self.outbox,
            outbound=self,
            mappings=MAPPINGS,
            umpires=umpires(),
            conflicts=SqlConflictBook(self.database),
            recognizer=Recognizer(memory=SqlLinkMemory(self.database), search=None, charter="abc", clock=self.clock),
            settings=CourierPart(),
            resting_flows=self.resting,
            open_gate=self.open_gate,
            breaker=Breaker(pause),
            pause=pause,
            clock=self.clock,
            lease_clock=self.clock,
            requests=Requests(self.outbox, self.clock),
        )


policies = st.builds(
    Policy,
    phase=st.sampled_from(Phase),
    write_fields=st.frozensets(st.sampled_from(FIELDS)),
    paused=st.booleans(),
    thrown=st.frozensets(st.sampled_from(SWITCHES), max_size=1),
    exists=st.sampled_from([True, True, True, False]),
)
#: Half of all moments nothing is flipped; half of all flips allow everything again.
flips = st.lists(st.none() | st.just(Policy()) | policies, max_size=8)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.sampled_from(["a", "b", "c"]), st.integers(0, 3)),
        st.tuples(st.just("flip"), policies),
        st.tuples(st.just("deliver"), flips),
        st.tuples(st.just("lease and die"), policies),
    ),
    min_size=3,
    max_size=10,
)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(script=steps)
def test_no_forbidden_write_begins_after_a_flip(database: Database, script: list[tuple]) -> None:
    _nothing_forbidden_begins(database, script)


@pytest.mark.nightly
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(script=steps)
def test_no_forbidden_write_begins_after_any_of_many_flips(database: Database, script: list[tuple]) -> None:
    _nothing_forbidden_begins(database, script)


def _nothing_forbidden_begins(database: Database, script: list[tuple]) -> None:
    hall = Hall(database=database)
    asyncio.run(act(hall, script))
    assert hall.forbidden == []


#: Stores are used for many scripts: each has records of its own.
scripts = itertools.count()


async def act(hall: Hall, script: list[tuple]) -> None:
    name = next(scripts)
    revisions: dict[str, int] = {}
    for step in script:
        match step:
            case ("want", key, value):
                revisions[key] = revisions.get(key, 0) + 1
                record = f"{name}-{key}"
                one = leased(record, revision=revisions[key], Name=f"Name {value}", MRR=f"{value}.00").intent
                planned = PlannedIntent(intent=one, shadow=False, decision=b"{}", charter="v1")
                hall.state.commit(told(Changes(intents=[planned])), now=hall.clock())
            case ("flip", policy):
                hall.flip(policy)
            case ("deliver", moments):
                hall.flips = list(moments)
                await hall.deliver()
            case ("lease and die", policy):
                now = hall.clock()
                hall.outbox.claim(target="crm", limit=10, now=now, lease_until=now + LEASE, paused_flows=frozenset())
                hall.flip(policy)
            case _:
                raise AssertionError(step)
    # Whatever is left is tried once more as the policy stands now, and once more with everything allowed.
    await hall.deliver()
    hall.flip(Policy())
    await hall.deliver()


async def test_the_oracle_sees_a_write_that_no_gate_asked(database: Database) -> None:
    hall = Hall(database=database)
    await act(hall, [("want", "a", 1)])
    assert hall.begun == 1
    assert hall.forbidden == []
    hall.flip(Policy(paused=True))
    await hall.write(
        object_spec(MAPPINGS["accounts"]), [RecordWrite(key="a", fields={"Name": "X"}, idempotency_key="k")]
    )
    assert [(key, name) for key, name, _ in hall.forbidden] == [("a", "Name")]


async def test_a_flip_while_a_call_waits_for_its_turn_stops_it(database: Database) -> None:
    hall = Hall(database=database)
    for value, flipped in enumerate((Policy(), Policy(paused=True), Policy(thrown=frozenset({"writes"})))):
        one = leased("a", revision=value + 1, Name=f"Name {value}", MRR=f"{value}.00").intent
        planned = PlannedIntent(intent=one, shadow=False, decision=b"{}", charter="v1")
        hall.state.commit(told(Changes(intents=[planned])), now=hall.clock())
        # What rests, the read, the gate; then the call waits.
        hall.flips = [None, None, None, flipped]
        await hall.deliver()
        assert (hall.begun, hall.forbidden) == (1, [])
        hall.flip(Policy())
    await hall.deliver()
    assert (hall.begun, hall.forbidden) == (2, [])

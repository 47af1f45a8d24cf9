"""A small company in a store, made through the store's own ports: events in every state, writes of every outcome."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec
from litestar import Litestar
from litestar.testing import TestClient
from sqlalchemy import update

from accordant.analytics.movements import Movement, StatedSubscription, movements
from accordant.canonical.charter import Audience, Charter, FlowPart, OwnershipPart, Phase, SystemPart
from accordant.canonical.conflicts import (
    Choice,
    Claim,
    Conflict,
    ConflictDecision,
    ConflictRule,
    Contested,
    Ruling,
    Side,
    conflict_of,
    stand_of,
)
from accordant.canonical.entities import Account, PaymentMethod, RecurringPrice, Subscription, SubscriptionItem
from accordant.canonical.events import EventType, business_event
from accordant.canonical.intents import (
    Applied,
    Compared,
    FieldChange,
    IntentState,
    RefusalClass,
    Refused,
    Uncertain,
    WireValue,
    WriteOutcome,
    WriteReceipt,
    plan_intent,
)
from accordant.canonical.observations import Standpoint
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.canonical.standing import MethodMark, PaymentMark, Standing
from accordant.governance.decide import Switches
from accordant.governance.phases import Tier
from accordant.kernel.errors import RejectedError
from accordant.kernel.hashing import digest
from accordant.kernel.ids import EntityId, derived_id
from accordant.kernel.money import Money
from accordant.operations.bookkeeper import Bookkeeper
from accordant.operations.people_office import PeopleOffice
from accordant.operations.phase_office import PhaseOffice
from accordant.operations.redrive import Redriven
from accordant.operations.redrive_checks import Installed, RedriveOrder, check_order
from accordant.operations.rehearsal_desk import RehearsalDesk
from accordant.operations.replay import ReplayCount
from accordant.operations.restore import ConflictClosed, Prospect, Restored, RestoreOrder
from accordant.operations.review_room import ReviewRoom
from accordant.operations.settle_letter import Finding
from accordant.pipeline.plan import Rulebook, write_rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import Found
from accordant.ports.connector import Envelope
from accordant.ports.inbox import Arrival, WorkState
from accordant.ports.outbox import Verdict
from accordant.ports.replay import ReplayJob, ReplayOrder
from accordant.ports.state import (
    Changes,
    DesiredRecord,
    LanePark,
    Link,
    ObservationRecord,
    PlannedIntent,
    Settlement,
    StoredEntity,
    StoredStanding,
)
from accordant.runtime.worker import shielded
from accordant.store.alerts import AlertQueue
from accordant.store.conflicts import SqlConflictBook, keep_decisions
from accordant.store.cursors import Cursors
from accordant.store.engine import Database
from accordant.store.history import SqlHistory
from accordant.store.inbox import SqlInbox
from accordant.store.ledger_desk import SqlLedgerDesk
from accordant.store.outbox import SqlOutbox
from accordant.store.people import SqlPeople
from accordant.store.phases import SqlPhaseBook
from accordant.store.rehearsals import SqlRehearsalBook
from accordant.store.review_desk import SqlReviewDesk
from accordant.store.schema import switch, write_intent
from accordant.store.state import SqlState
from accordant.store.vault import Vault
from accordant.web.console.routes import console_application
from tests.integration.store.rows import an_entry, told

NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
REFUSAL = "Salesforce refused this Account: the field Billing_Status__c was deleted there. Restore it, then retry."
CHARTER = Charter(
    company="Northwind Labs",
    systems={
        "stripe": SystemPart(connector="stripe", owner="Finance"),
        "salesforce": SystemPart(connector="salesforce", owner="RevOps"),
    },
    ownership=(
        OwnershipPart(
            entity=EntityKind.ACCOUNT, system_of_record="stripe", readers=("salesforce",), purpose="Who pays what."
        ),
    ),
    mappings={},
    flows=(
        FlowPart(
            name="accounts",
            entity=EntityKind.ACCOUNT,
            source="stripe",
            target="salesforce",
            object="Account",
            phase=Phase.AUTOMATED,
        ),
        FlowPart(
            name="subscriptions",
            entity=EntityKind.SUBSCRIPTION,
            source="stripe",
            target="salesforce",
            object="Subscription__c",
            phase=Phase.READ_ONLY,
        ),
    ),
)
DECISION = msgspec.json.encode(
    {
        "effect": "allow",
        "write": ["MRR__c"],
        "held": [],
        "shadow": [],
        "refused": [],
        "reasons": [{"rule": "ownership", "effect": "allow", "fields": ["MRR__c"], "text": "Stripe owns this value."}],
    }
)


class ConsoleDesk:
    """The hub as the console sees it, on a real store; what was asked of it is kept in order."""

    def __init__(
        self,
        database: Database,
        *,
        token: str | None = None,
        hosts: tuple[str, ...] = (),
        charter: Charter = CHARTER,
    ) -> None:
        self.database = database
        self.charter = charter
        self.environment = "demo"
        self.console_token = token
        self.console_key = b"a key of the test's own, 32 bytes"
        self.people = PeopleOffice(
            SqlPeople(database), self.clock, alarm=AlertQueue(database).add, random_bytes=os.urandom
        )
        self.phase_office = PhaseOffice(
            SqlPhaseBook(database),
            lambda: write_rulebook(charter, dict.fromkeys(charter.systems, Tier.GOLD)),
            lambda: Switches.thrown(*SqlState(database).policy()),
            self.clock,
            tiers=lambda one: dict.fromkeys(one.systems, Tier.GOLD),
            facts=dict,
            people=self.people,
        )
        self.bookkeeper = Bookkeeper(
            SqlLedgerDesk(database), self.state, Cursors(database), rulebook=lambda: self.rulebook, clock=self.clock
        )
        self.folders: dict[str, str] = {}
        self.rehearsals = RehearsalDesk(
            SqlRehearsalBook(database),
            self.clock,
            live=SqlState(database),
            history=SqlHistory(database, SqlInbox(database, Vault(database, bytes(32)))),
            scratch=lambda _: nullcontext((SqlState(database), False)),
            in_force=lambda: write_rulebook(charter, dict.fromkeys(charter.systems, Tier.GOLD)),
            proposed=lambda: write_rulebook(charter, dict.fromkeys(charter.systems, Tier.GOLD)),
            connectors={},
            shield=shielded,
            folders=lambda: tuple(self.folders),
            version_of=lambda name: self.folders[name],
        )
        self.audience = Audience.SUPPORT
        self.allowed_hosts = ("testserver.local", *hosts)
        self.asked: list[tuple[str, ...]] = []
        self.bodies: dict[int, bytes] = {}
        self.closed: dict[str, str] = {}
        self.court = (False, "")
        self.now = NOW
        self.replanned: list[str] = []
        #: What the owner said of subscriptions, where a test looks at how the revenue of a customer moved.
        self.past: tuple[StatedSubscription, ...] = ()
        self.review_room = ReviewRoom(
            desk=SqlReviewDesk(database),
            outbounds={},
            rulebook=lambda: write_rulebook(CHARTER, dict.fromkeys(CHARTER.systems, Tier.GOLD)),
            replan=self.replanned.append,
            clock=self.clock,
        )

    def clock(self) -> datetime:
        return self.now

    def movements(self, account_id: str, *, as_of: datetime, zone: tzinfo) -> tuple[Movement, ...]:
        return movements(self.past if account_id else (), as_of=as_of, zone=zone)

    @property
    def rulebook(self) -> Rulebook:
        return write_rulebook(self.charter, dict.fromkeys(self.charter.systems, Tier.GOLD))

    @property
    def state(self) -> SqlState:
        return SqlState(self.database)

    def replan_accounts(self, *, account_ids: tuple[str, ...] | None) -> int:
        self.replanned += account_ids or ()
        return len(account_ids or ())

    @property
    def recovery(self) -> ConsoleDesk:
        return self

    def redrive(self, ids: Sequence[str], order: RedriveOrder) -> Redriven:
        check_order(order, installed=Installed(release="0.1.0", charter="c0ffee"), redrivers=())
        self.asked.append(("redrive", order.actor, *ids))
        with self.database.write_unaudited() as connection:
            done = connection.execute(
                update(write_intent)
                .where(write_intent.c.id.in_(ids), write_intent.c.state == "dead")
                .values(state="pending")
            )
        return Redriven(intents=tuple(ids[: done.rowcount]))

    def settle(self, letter: str, finding: Finding) -> Redriven | None:
        raise RejectedError(f"{letter} can be asked for.")

    def is_unaskable(self, target: str, object_name: str) -> bool:
        return False

    def count_replay(self, order: ReplayOrder) -> ReplayCount:
        return ReplayCount(classes=())

    def begin_replay(self, order: ReplayOrder) -> ReplayJob:
        raise RejectedError("There is no settled event to replay there.")

    def pause(self, flow: str, actor: str, reason: str) -> None:
        self.asked.append(("pause", flow, actor, reason))
        throw_switch(self.database, f"flow:{flow}", reason=reason, by=actor)

    def resume(self, flow: str, actor: str) -> None:
        self.asked.append(("resume", flow, actor))
        with self.database.write_unaudited() as connection:
            connection.execute(switch.delete().where(switch.c.name == f"flow:{flow}"))

    def prospects(self, conflict_id: str) -> tuple[Prospect, ...]:
        if conflict_id in self.closed:
            raise ConflictClosed(self.closed[conflict_id])
        offered = (Choice.OWNER, "Beta Ltd", False, ""), (Choice.TARGET, "Beta Limited", *self.court)
        return tuple(
            Prospect(
                choice=choice,
                record="salesforce:Account/cus_beta",
                field="Name",
                value=value,
                wanted="Beta Ltd",
                is_refused=refused,
                because=because,
            )
            for choice, value, refused, because in offered
        )

    def restore(self, order: RestoreOrder) -> Restored:
        self.asked.append(("restore", order.conflict_id, order.choice.value, order.actor, order.reason))
        if not order.reason.strip():
            raise RejectedError("A conflict is decided by a named person for a stated reason.", remedy="Say why.")
        chosen = next(one for one in self.prospects(order.conflict_id) if one.choice is order.choice)
        decision = ConflictDecision(
            conflict_id=order.conflict_id,
            number=1,
            choice=order.choice,
            actor=order.actor,
            reason=order.reason,
            at=self.now,
        )
        with self.database.write_unaudited() as connection:
            keep_decisions(connection, [decision])
        return Restored(decision=decision, prospect=chosen)

    def open_event(self, seq: int) -> bytes | None:
        return self.bodies.get(seq)


def throw_switch(database: Database, name: str, *, reason: str, by: str) -> None:
    with database.write_unaudited() as connection:
        micros = int(NOW.timestamp() * 1_000_000)
        connection.execute(switch.insert().values(name=name, reason=reason, thrown_by=by, thrown_at=micros))


def browse(desk: ConsoleDesk) -> TestClient[Litestar]:
    """A visitor of a console on ``desk``; redirects are not followed."""
    return TestClient(console_application(desk), base_url="http://testserver.local", raise_server_exceptions=False)


class Company:
    """Fills a store. Every verb is one thing that happened, as the rooms would have left it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.state = SqlState(database)
        self.outbox = SqlOutbox(database)
        self.vault = Vault(database, bytes(32))
        self.inbox = SqlInbox(database, self.vault)
        self.events = 0
        self.versions: dict[str, int] = {}
        self.revisions: dict[str, int] = {}

    def receive(self, event_type: str, lane: str, *, at: datetime, body: bytes = b"{}", external_id: str = "") -> int:
        self.events += 1
        envelope = Envelope(
            external_id=external_id or f"evt_{self.events:04d}",
            event_type=event_type,
            lane=lane,
            occurred_at=at - timedelta(seconds=1),
        )
        arrival = Arrival(
            connection="stripe", envelope=envelope, headers=b"{}", body=body, digest=digest(body), received_at=at
        )
        self.inbox.accept([arrival])
        return self.events

    def settle(self, seq: int, state: WorkState, reason: str | None, *, at: datetime) -> None:
        parks = []
        if state is WorkState.DEAD:
            parks = [LanePark(lane="stripe:customer/cus_x", direction="inbound", cause=f"event/{seq}", reason="x")]
        settlement = Settlement(seq=seq, state=state, reason=reason, due_at=at)
        self.state.commit(told(Changes(settlements=[settlement], parks=parks)), now=at)

    def describe(self, customer: str, name: str | None, *, at: datetime, seq: int, mrr_minor: int = 0) -> EntityRef:
        """An account with a monthly subscription worth ``mrr_minor`` EUR, paid a day before ``at``."""
        ref = EntityRef(EntityKind.ACCOUNT, EntityId(derived_id("acc", "stripe", "customer", customer)))
        account = Account(
            external_id=customer, name=name, email=f"billing@{customer}.example", currency="EUR",
            has_payment_method=True, created_at=at - timedelta(days=200),
        )  # fmt: skip
        source = ExternalRef("stripe", "customer", customer)
        version = self.versions.get(ref.id, 0) + 1
        self.versions[ref.id] = version
        stored = StoredEntity(
            ref=ref, source=source, root_id=ref.id, version=version, observed_at=at, standpoint=Standpoint.NOTICE,
            digest=digest(f"{customer}{version}".encode()), entity=account, cause=seq,
        )  # fmt: skip
        standing = StoredStanding(account_id=ref.id, version=version, standing=_standing(customer, mrr_minor, at))
        amount = Money(mrr_minor or 100, "EUR")
        happened = business_event(
            EventType.PAYMENT_APPLIED, subject=ExternalRef("stripe", "charge", f"ch_{customer}"), root=source,
            occurred_at=at - timedelta(days=1), amount=amount, change=str(version),
        )  # fmt: skip
        self.state.commit(
            told(
                Changes(
                    links=[Link(source=source, entity=ref)] if version == 1 else [],
                    entities=[stored],
                    standings=[standing],
                    observations=[
                        ObservationRecord(
                            seq=seq, entity_id=ref.id, outcome="advanced", reason=None, version=version, observed_at=at
                        )
                    ],
                    business_events=[(seq, ref.id, happened)],
                    settlements=[Settlement(seq=seq, state=WorkState.PROCESSED, reason=None, due_at=at)],
                    audit=[
                        AuditEntry(
                            kind="registry.account.advanced",
                            actor="accordant",
                            subject=str(ref),
                            cause=seq,
                            at=at,
                            body={},
                        )
                    ],
                )
            ),
            now=at,
        )
        return ref

    def want(
        self,
        ref: EntityRef,
        key: str,
        fields: dict[str, WireValue],
        *,
        at: datetime,
        seq: int,
        flow: str = "accounts",
        shadow: bool = False,
        held: str | None = None,
    ) -> str:
        """A desired record with its intent; the record's name."""
        part = next(one for one in CHARTER.flows if one.name == flow)
        name = f"{part.target}:{part.object}/{key}"
        revision = self.revisions.get(name, 0) + 1
        self.revisions[name] = revision
        intent = plan_intent(
            flow=flow, target=part.target, object_name=part.object, key_field="External_Id__c", key=key, entity=ref,
            lane=f"{part.target}:{ref.id}", step=0, fields=fields, cause=seq, planned_at=at, revision=revision,
            changes=tuple(FieldChange(field, None, value) for field, value in sorted(fields.items())),
        )  # fmt: skip
        desired = DesiredRecord(
            ref=name, flow=flow, target=part.target, object=part.object, key=key, entity_id=ref.id,
            lane=f"{part.target}:{ref.id}", revision=revision, input_digest=intent.input_digest, fields=fields,
            notes=(), cause=seq,
        )  # fmt: skip
        planned = PlannedIntent(intent=intent, shadow=shadow, decision=DECISION, charter="abc123def456", held=held)
        self.state.commit(told(Changes(desired=[desired], intents=[planned])), now=at)
        return name

    def deliver(self, *, at: datetime, outcome: WriteOutcome, before: dict[str, WireValue] | None = None) -> int:
        """Lease what is due at Salesforce and give it all this outcome."""
        leased = self.outbox.claim(
            target="salesforce", limit=1000, now=at, lease_until=at + timedelta(minutes=2), paused_flows=frozenset()
        )
        verdicts = []
        for one in leased:
            after = {**(before or {}), **one.intent.fields} if isinstance(outcome, Applied) else None
            receipt = WriteReceipt(
                intent_id=one.intent.id, attempt=one.attempt, outcome=outcome, before=before, after=after,
                request_id="req-1", settled_at=at,
            )  # fmt: skip
            state, park = _state_of(outcome), None
            if state is IntentState.DEAD:
                park = LanePark(
                    lane=one.intent.lane, direction="outbound", cause=f"intent/{one.intent.id}", reason=REFUSAL
                )
            target_id = f"001{digest(one.intent.key.encode()).hex()[:12].upper()}"
            verdicts.append(
                Verdict(
                    leased=one, state=state, due_at=at + timedelta(minutes=5), receipt=receipt, park=park,
                    reason=_reason(state),
                    audit=an_entry(one.intent.key),
                    target_id=target_id if before is not None or after is not None else None,
                    link=Link(source=ExternalRef("salesforce", one.intent.object, target_id), entity=one.intent.entity)
                    if after is not None
                    else None,
                )
            )  # fmt: skip
        self.outbox.settle(verdicts, now=at)
        return len(leased)


def _state_of(outcome: WriteOutcome) -> IntentState:
    match outcome:
        case Applied():
            return IntentState.APPLIED
        case Compared():
            return IntentState.SHADOWED
        case Uncertain():
            return IntentState.UNCERTAIN
        case Refused():
            return IntentState.DEAD
        case _:
            return IntentState.ALREADY_APPLIED


def _reason(state: IntentState) -> str | None:
    return {IntentState.DEAD: REFUSAL, IntentState.UNCERTAIN: "No answer came."}.get(state)


def _standing(customer: str, mrr_minor: int, at: datetime) -> Standing:
    mark = PaymentMark(payment_id=f"pay_{customer}", at=at - timedelta(days=1), amount=Money(mrr_minor or 100, "EUR"))
    method = MethodMark(
        payment_id=mark.payment_id,
        at=mark.at,
        succeeded=True,
        method=PaymentMethod(type="card", brand="visa", last4="4242"),
    )
    recurring = RecurringPrice(currency="EUR", unit_minor=str(mrr_minor), interval="month", interval_count=1)
    item = SubscriptionItem(
        external_id=f"si_{customer}", price_id="price_1", product_id="prod_1", plan_name="Pro", quantity=1,
        recurring=recurring, period_starts_at=at - timedelta(days=10), period_ends_at=at + timedelta(days=20),
    )  # fmt: skip
    subscription = Subscription(
        external_id=f"sub_{customer}", customer_id=customer, status="active", currency="EUR", items=(item,),
        started_at=at - timedelta(days=100), period_starts_at=at - timedelta(days=10),
        period_ends_at=at + timedelta(days=20),
    )  # fmt: skip
    return Standing(
        subscriptions=(subscription,) if mrr_minor else (),
        collected=(Money(7 * (mrr_minor or 100), "EUR"),),
        last_payment=mark,
        first_payment=mark,
        method_mark=method,
    )


def fields_of(name: str | None, mrr: str, status: str = "active") -> dict[str, WireValue]:
    return {"Name": name, "MRR__c": mrr, "Billing_Status__c": status, "Plan__c": "Pro", "Is_Deleted__c": False}


def seed_company(database: Database, desk: ConsoleDesk | None = None) -> Company:
    """Four accounts: two agree, one was refused (and compared only), one is uncertain; and events set aside."""
    company = Company(database)
    start = NOW - timedelta(minutes=50)
    body = b'{"id":"evt_0001","data":{"object":{"email":"ada@acme.example","name":"Ada Lovelace","amount":120000}}}'
    for index, (customer, name, mrr) in enumerate(
        [("cus_acme", "Acme Robotics GmbH", 120000), ("cus_beta", "Beta Bakery", 4900), ("cus_gamma", None, 9900)]
    ):
        at = start + timedelta(minutes=9 * index)
        seq = company.receive("invoice.payment_succeeded", f"customer/{customer}", at=at, body=body)
        ref = company.describe(customer, name, at=at + timedelta(milliseconds=12), seq=seq, mrr_minor=mrr)
        company.want(ref, customer, fields_of(name, f"{mrr // 100}.00"), at=at + timedelta(milliseconds=14), seq=seq)
        company.deliver(at=at + timedelta(milliseconds=380), outcome=Applied(target_id="001", created=True))
        if desk is not None:
            desk.bodies[seq] = body
    late = start + timedelta(minutes=30)
    seq = company.receive("customer.subscription.updated", "customer/cus_beta", at=late, body=body + b" ")
    beta = company.describe("cus_beta", "Beta Bakery", at=late + timedelta(milliseconds=9), seq=seq, mrr_minor=9800)
    shadow_at = late + timedelta(milliseconds=20)
    company.want(beta, "sub_beta", {"MRR__c": "98.00", "Status__c": "active"}, at=shadow_at, seq=seq,
                 flow="subscriptions", shadow=True)  # fmt: skip
    company.deliver(
        at=late + timedelta(seconds=1), outcome=Compared(("MRR__c",)), before={"MRR__c": "49.00", "Status__c": "active"}
    )
    company.want(beta, "cus_beta", fields_of("Beta Bakery", "98.00"), at=late + timedelta(seconds=2), seq=seq)
    company.deliver(
        at=late + timedelta(seconds=3),
        outcome=Refused(cause=RefusalClass.DATA_QUALITY, code="INVALID_FIELD", message=REFUSAL),
    )
    delta_at = start + timedelta(minutes=40)
    seq = company.receive("customer.created", "customer/cus_delta", at=delta_at)
    delta = company.describe("cus_delta", "Delta Freight Ltd", at=delta_at, seq=seq, mrr_minor=250000)
    company.want(delta, "cus_delta", fields_of("Delta Freight Ltd", "2500.00"), at=delta_at, seq=seq)
    company.deliver(at=delta_at + timedelta(seconds=2), outcome=Uncertain("the connection broke off."))
    _set_aside(company, NOW - timedelta(minutes=4))
    return company


def _set_aside(company: Company, at: datetime) -> None:
    seq = 0
    for event_type, state, reason in [
        ("treasury.flow.created", WorkState.PARKED, "Events of the type treasury.flow.created are not supported yet."),
        ("invoice.paid", WorkState.QUARANTINED, "The amount is not a whole number. (at data.object.amount_paid)"),
        ("charge.refunded", WorkState.DEAD, "Accordant could not process this event: KeyError: 'charge'"),
    ]:
        seq = company.receive(event_type, "customer/cus_x", at=at)
        company.settle(seq, state, reason, at=at + timedelta(milliseconds=5))
    company.receive("charge.refunded", "customer/cus_x", at=at, body=b'{"other":1}', external_id=f"evt_{seq:04d}")
    company.events -= 1
    company.receive("customer.updated", "customer/cus_acme", at=NOW - timedelta(seconds=2))


def open_conflict(
    database: Database,
    *,
    account_id: str,
    value: WireValue = "Beta Limited",
    rule: ConflictRule = ConflictRule.PERSON,
    winner: Side | None = None,
    at: datetime = NOW,
    record: str = "salesforce:Account/cus_beta",
) -> Conflict:
    """Somebody typed another name into the CRM."""
    contested = Contested(
        field="Name",
        owner=Claim(field="Name", value="Beta Ltd", system="stripe", at=at - timedelta(hours=2), seq=1),
        target=Claim(field="Name", value=value, system="salesforce", at=at - timedelta(minutes=7), by="Grace"),
        confirmed="Beta Ltd",
        confirmed_at=at - timedelta(days=1),
        revision=3,
        ruling=Ruling(rule=rule, winner=winner, sentence="Somebody changed Name at salesforce; a person decides."),
    )
    conflict = conflict_of(
        contested,
        record=record,
        flow="accounts",
        target_id="001BETA",
        account_id=account_id,
        found_at=at,
        found_by="courier",
    )
    entry = AuditEntry(
        kind="archive.conflict.opened", actor="accordant", subject=conflict.record, cause=None, at=at, body={}
    )
    found = Found(conflict=conflict, stand=stand_of(conflict, against="Beta Ltd"), entry=entry)
    assert SqlConflictBook(database).note([found]) == 1
    return conflict

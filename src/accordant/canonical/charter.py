"""The charter: how a company describes its systems, who owns what, and which flows may write. Typed, immutable,
versioned by digest.

These are the words of the folder of YAML; `governance.charter` checks what the types cannot say.
"""

from enum import StrEnum
from functools import cached_property

import msgspec

from accordant.canonical.books import LedgerPart
from accordant.canonical.clearances import CheckKind, CheckStatus, GateAction
from accordant.canonical.commissions import CommissionsPart
from accordant.canonical.documents import DocumentKind
from accordant.canonical.events import EventType
from accordant.canonical.matching import Rung, UnmatchedPolicy
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.refs import EntityKind
from accordant.kernel.hashing import fingerprint


class Phase(StrEnum):
    """How far a flow may go. A wider phase includes what the narrower allows."""

    DRAFT = "draft"
    READ_ONLY = "read_only"
    CONTROLLED = "controlled"
    AUTOMATED = "automated"


class Automation(StrEnum):
    """What a flow sets off beside the record it writes. Classes are widened one at a time (requirement 125).

    A record sync sets off nothing. The others act only when their flow is automated.
    """

    RECORD_SYNC = "record_sync"
    RENEWALS = "renewals"
    SUPPORT_ENRICHMENT = "support_enrichment"
    FINANCE_NOTIFICATIONS = "finance_notifications"
    CUSTOMER_FACING = "customer_facing"
    MONEY_MOVING = "money_moving"


class SyncMode(StrEnum):
    """Whether a flow runs on each event or on a schedule."""

    REAL_TIME = "real_time"
    BATCH = "batch"


class Trigger(StrEnum):
    """What lets the first write of a record go: that its conditions hold, or besides that a person releases it."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Winner(StrEnum):
    """Which value stays when two systems changed one field."""

    SYSTEM_OF_RECORD = "system_of_record"
    LATEST = "latest"
    PERSON = "person"


class Direction(StrEnum):
    """Which way an entity moves, seen from its system of record.

    Inbound is taken in and told to nobody; outbound goes from its owners to the readers; both lets the owners of single
    facts also write those into the system of record.
    """

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"


class FieldType(StrEnum):
    """How a value is spelled in the target field."""

    TEXT = "text"
    NUMBER = "number"
    CURRENCY = "currency"
    FLAG = "flag"
    DATE = "date"
    INSTANT = "instant"
    LOOKUP = "lookup"


class Audience(StrEnum):
    """Who reads an answer: what is covered for them is said in the charter. The engineer sees the least."""

    SUPPORT = "support"
    REVOPS = "revops"
    FINANCE = "finance"
    COMPLIANCE = "compliance"
    ENGINEER = "engineer"


class Sensitivity(StrEnum):
    """What kind of value it is; each kind has one shortened form."""

    OPEN = "open"
    NAME = "name"
    EMAIL = "email"
    PHONE = "phone"
    ADDRESS = "address"
    ACCOUNT_NUMBER = "account_number"
    TAX_ID = "tax_id"
    FREE_TEXT = "free_text"
    RESTRICTED = "restricted"


class Mask(StrEnum):
    """How much of a value is shown: all of it, its shortened form, or that there is one."""

    SHOW = "show"
    PART = "part"
    HIDE = "hide"


class CustomerModel(StrEnum):
    """Who a billing customer is: a company with people in it, or one person."""

    B2B = "b2b"
    B2C = "b2c"


class SeveralCustomers(StrEnum):
    """What becomes of several billing customers that are one record's: their figures are added up in it, or it keeps
    those of the first, and each further one gets a record of its own below it with its own figures.
    """

    ROLL_UP = "roll_up"
    PARENT_CHILD = "parent_child"


class IntegrationPath(StrEnum):
    """How a system is reached: by this hub's connector, through one that somebody wrapped, or by the vendor's own."""

    DIRECT = "direct"
    WRAPPER = "wrapper"
    NATIVE = "native"


class RecordAttribute(StrEnum):
    """What of a target's record tells whose it is."""

    NAME = "name"
    EMAIL = "email"
    WEBSITE = "website"
    TAX_ID = "tax_id"
    PHONE = "phone"
    POSTCODE = "postcode"
    COUNTRY = "country"
    PARENT = "parent"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every part refuses keys it does not know: a misspelt setting must not silently do nothing."""


class SystemPart(_Part, frozen=True, kw_only=True):
    """One connected system. ``settings`` belong to the connector; a value ``env:NAME`` is read from the environment
    when it starts.

    ``rate_per_s`` is the highest rate of calls the hub may make, ``deliveries_per_s`` of signed deliveries it takes in
    before it asks the sender to slow down. ``stand_in`` says that this is a simulator on the same
    machine: only then may the hub call a loopback address. ``silence_s``: type of event -> the pause in seconds after
    which its system is asked whether deliveries are lost; types that are not named are judged by their own past.

    ``path`` is how the system is reached, ``path_because`` who decided so and why. Of a path that is not this hub's
    own, ``assurances`` say in writing what the hub cannot see to (`governance/check_systems.py` names them).
    """

    connector: str
    owner: str
    stakeholders: tuple[str, ...] = ()
    settings: dict[str, str | int | bool | tuple[str, ...]] = {}
    rate_per_s: int = 20
    deliveries_per_s: int = 50_000
    stand_in: bool = False
    silence_s: dict[str, int] = {}
    path: IntegrationPath = IntegrationPath.DIRECT
    path_because: str = ""
    assurances: dict[str, str] = {}


class OwnershipPart(_Part, frozen=True, kw_only=True):
    """Who owns an entity. ``fields`` are exceptions: canonical field -> system of record. ``purpose`` is the one
    written sentence.

    ``financial`` owns every financial fact that ``fields`` does not name, where the system of record may not: a CRM
    can own the customer, never what the customer owes.
    """

    entity: EntityKind
    system_of_record: str
    readers: tuple[str, ...]
    purpose: str
    direction: Direction = Direction.OUTBOUND
    winner: Winner = Winner.SYSTEM_OF_RECORD
    financial: str | None = None
    fields: dict[str, str] = {}


class FieldPart(_Part, frozen=True, kw_only=True):
    """One target field, filled from exactly one of ``source`` (a fact), ``path`` (into the owner's entity, as in
    ``metadata.segment``) and ``expression`` (of facts, docs/reference/expressions.md).

    Text longer than ``length`` characters is cut there only when ``truncate`` says so. ``places`` are the decimals an
    amount keeps; one with more is held, never rounded. ``timezone`` says whose day an instant falls on in a date field.
    ``values`` translates canonical words into the target's picklist. A ``lookup`` field finds its record by
    ``lookup_object`` and ``lookup_key``. ``once``: given when the record is made, and the target's own from then on.
    """

    source: str = ""
    path: str = ""
    expression: str = ""
    type: FieldType = FieldType.TEXT
    length: int | None = None
    truncate: bool = False
    places: int | None = None
    timezone: str = ""
    values: dict[str, str] = {}
    lookup_object: str | None = None
    lookup_key: str | None = None
    once: bool = False


class MappingPart(_Part, frozen=True, kw_only=True):
    """What one target object is made of. ``key_field`` is the target's external-id field and ``key_source`` the fact
    that fills it.
    """

    entity: EntityKind
    object: str
    key_field: str
    key_source: str = "external_id"
    fields: dict[str, FieldPart]


class ConditionPart(_Part, frozen=True, kw_only=True):
    """What has to hold before a flow makes a record: ``when`` is an expression of its facts that is true then
    (docs/reference/expressions.md), ``otherwise`` the sentence a person reads while it is not.
    """

    name: str
    when: str
    otherwise: str


class FlowPart(_Part, frozen=True, kw_only=True):
    """One route: an entity of one system to an object of another.

    ``write_fields`` are the target fields a controlled flow may write; empty means none. Lags in seconds.
    ``schedule`` says when a batch flow is sent: crontab's five fields in the company's zone. What was planned until
    then leaves, what comes later waits for the next time.
    ``phase`` is the widest that is wished: more than read-only also needs a grant (`canonical/phases.py`).
    ``documents``: which kinds of ledger document the flow carries, for an ERP that has an object of its own for some;
    empty means all. ``owner`` answers for the flow; without one whoever owns its entity's system does.
    ``trigger`` and ``conditions`` are about the first write of each record; what has begun goes on by itself.
    ``prices``: product code of the source -> price of the target, for lines that name no price themselves.
    """

    name: str
    entity: EntityKind
    source: str
    target: str
    object: str
    phase: Phase
    automation: Automation = Automation.RECORD_SYNC
    write_fields: tuple[str, ...] = ()
    sync: SyncMode = SyncMode.REAL_TIME
    schedule: str | None = None
    expected_lag_s: int = 60
    incident_lag_s: int = 900
    verify: str = ""
    paused: bool = False
    documents: tuple[DocumentKind, ...] = ()
    owner: str = ""
    trigger: Trigger = Trigger.AUTOMATIC
    conditions: tuple[ConditionPart, ...] = ()
    prices: dict[str, str] = {}

    @property
    def opens(self) -> bool:
        """Whether the first write of a record waits for something."""
        return self.trigger is Trigger.MANUAL or bool(self.conditions)


class SchedulesPart(_Part, frozen=True, kw_only=True):
    """What the hub does by itself, and when: crontab's five fields in the company's zone; None for never.

    ``reconcile`` compares what changed since the last comparison, ``reconcile_whole`` every record of each flow.
    ``checkpoint`` verifies the trail up to its head and notes the head. ``sweep`` fetches events that were never
    delivered, ``fetch`` asks systems that send nothing by themselves what changed there, ``settlement`` what each
    payout settled; ``silence`` asks after types of event that are delivered less often than usual. ``movements`` counts
    how recurring revenue moved, for whoever has it mapped. ``books`` posts what was held and can be posted now.
    ``sagas`` looks how far changes have come that are followed over several systems. ``vat`` asks the register of
    value-added tax numbers where its answer is missing or old.
    """

    reconcile: str | None = "0 3 * * mon-sat"
    reconcile_whole: str | None = "0 3 * * sun"
    drift: str | None = "0 5 * * *"
    checkpoint: str | None = "30 5 * * *"
    sweep: str | None = "*/15 * * * *"
    fetch: str | None = "*/2 * * * *"
    settlement: str | None = "40 * * * *"
    silence: str | None = "20 * * * *"
    movements: str | None = "40 * * * *"
    books: str | None = "*/5 * * * *"
    sagas: str | None = "* * * * *"
    vat: str | None = "50 * * * *"


class GatePart(_Part, frozen=True, kw_only=True):
    """One compliance gate: ``action`` on records of ``entity`` is held until ``check`` of the customer found one of
    ``opens_on``, on evidence of at most ``evidence_days_max`` days.

    ``flows`` narrows it to those; empty means every flow of the entity. ``purpose`` says why it stands there,
    ``next_action`` who has to do what while it holds: both are read by support.
    """

    name: str
    check: CheckKind
    entity: EntityKind
    purpose: str
    next_action: str
    action: GateAction = GateAction.WRITE
    opens_on: tuple[CheckStatus, ...] = (CheckStatus.PASSED,)
    evidence_days_max: int = 365
    flows: tuple[str, ...] = ()


class VatPart(_Part, frozen=True, kw_only=True):
    """Customers' value-added tax numbers are asked of the European Commission's register, for the gates that want it.

    ``requester`` is the company's own number: without it the register gives no consultation number as evidence. An
    answer older than ``recheck_days`` is asked for again. ``address`` is the Commission's own where it is empty;
    ``stand_in`` says that it is a simulator on this machine.
    """

    requester: str = ""
    recheck_days: int = 30
    address: str = ""
    stand_in: bool = False


class AlertsPart(_Part, frozen=True, kw_only=True):
    """Where alerts go: the address of a Slack-compatible incoming webhook, usually ``env:NAME``."""

    slack_webhook: str | None = None


class SensitivityPart(_Part, frozen=True, kw_only=True):
    """What is personal, and who may see how much of it; what is left out has a safe default.

    ``facts``: entity -> canonical field -> kind of value. ``fields``: ``system:Object.Field`` -> kind, for a target
    field whose kind does not follow from its fact. ``masks``: audience -> kind -> how much is shown.
    """

    facts: dict[EntityKind, dict[str, Sensitivity]] = {}
    fields: dict[str, Sensitivity] = {}
    masks: dict[Audience, dict[Sensitivity, Mask]] = {}


class PhasesPart(_Part, frozen=True, kw_only=True):
    """What the hub has to show before a flow is widened, and who may approve it.

    ``clean_days`` days in a row the comparison with the target found nothing unexplained; ``min_events`` events of the
    source were understood, ``event_types`` among them; ``sampled_traces`` writes are followed from event to receipt.
    ``observe_days`` lie between two classes of automation. Only ``approvers`` approve, each by name; nobody does when
    none is named. ``exempt_stand_ins``: a flow that writes to a simulator on this machine needs no grant.
    """

    clean_days: int = 7
    min_events: int = 100
    event_types: tuple[EventType, ...] = (
        EventType.CUSTOMER_CREATED,
        EventType.SUBSCRIPTION_ACTIVATED,
        EventType.CONTRACT_AMENDED,
        EventType.PAYMENT_FAILED,
        EventType.SUBSCRIPTION_CANCELLED,
    )
    sampled_traces: int = 20
    observe_days: int = 14
    approvers: tuple[str, ...] = ()
    exempt_stand_ins: bool = True


class IdentityPart(_Part, frozen=True, kw_only=True):
    """Whose record a billing customer is, found before a new one is made. Without this part nothing is looked for.

    ``rungs`` are the steps that may link, strongest first; none named means all that suit the ``model``. Scores are of
    names, 0 to 100: ``link_name_min`` together with a domain links, ``review_name_min`` together with a place or phone
    asks a person, below ``flag_name_below`` a link by tax id is flagged. ``free_mail_domains`` and ``shared_domains``
    add to the lists of domains that speak for no company. ``systems`` are the targets in which records are looked for;
    none named means all that accounts flow to. ``references``: target system -> key of the billing customer's metadata
    that holds the record's id there. ``fields``: target system -> attribute -> its field.
    """

    model: CustomerModel = CustomerModel.B2B
    rungs: tuple[Rung, ...] = ()
    link_name_min: int = 85
    review_name_min: int = 92
    flag_name_below: int = 60
    unmatched: UnmatchedPolicy = UnmatchedPolicy.CREATE
    several_customers: SeveralCustomers = SeveralCustomers.ROLL_UP
    free_mail_domains: tuple[str, ...] = ()
    shared_domains: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    references: dict[str, str] = {}
    fields: dict[str, dict[RecordAttribute, str]] = {}


class CourierPart(_Part, frozen=True, kw_only=True):
    """How stubborn the courier is. Delays in seconds; after ``attempts_max`` tries the lane parks."""

    attempts_max: int = 8
    backoff_base_s: int = 1
    backoff_max_s: int = 300


class LanesPart(_Part, frozen=True, kw_only=True):
    """When a lane stops, and who starts it again.

    ``receives_max`` is in how many deaths of a worker an event may have been in work, at last alone, before it is set
    aside and its lane waits. ``redrivers`` are the people who may put dead letters back; none named means everybody
    who gives a name.
    """

    receives_max: int = 5
    redrivers: tuple[str, ...] = ()


class RedFlagsPart(_Part, frozen=True, kw_only=True):
    """What stops a customer's writes until people have looked, and how many of them.

    ``stop_on`` are the kinds that are looked for, ``two_persons`` those of them that two different people have to
    approve; of the others one is enough. Only ``approvers`` approve, each by name; everybody with a name where none is
    named. ``reuses_max`` is how often one key may come for something else before that is a red flag. ``own_users``:
    target system -> who the hub is there, so that a change in that name without a receipt is seen. ``pauses`` are
    classes of automation that stand still for everybody while any flag is open.
    """

    stop_on: tuple[RedFlagKind, ...] = tuple(RedFlagKind)
    two_persons: tuple[RedFlagKind, ...] = (RedFlagKind.CREDIT_OVER_TOTAL, RedFlagKind.UNEXPLAINED_REVERSAL)
    approvers: tuple[str, ...] = ()
    reuses_max: int = 2
    own_users: dict[str, str] = {}
    pauses: tuple[Automation, ...] = ()

    @property
    def watched_reuses(self) -> int | None:
        """``reuses_max`` where it is looked for, else None."""
        return self.reuses_max if RedFlagKind.KEY_REUSE in self.stop_on else None


class Charter(_Part, frozen=True, kw_only=True, dict=True):
    """A company's rules, whole."""

    company: str
    timezone: str = "UTC"
    systems: dict[str, SystemPart]
    ownership: tuple[OwnershipPart, ...]
    mappings: dict[str, tuple[MappingPart, ...]]
    flows: tuple[FlowPart, ...]
    gates: tuple[GatePart, ...] = ()
    vat: VatPart | None = None
    alerts: AlertsPart = AlertsPart()
    courier: CourierPart = CourierPart()
    lanes: LanesPart = LanesPart()
    schedules: SchedulesPart = SchedulesPart()
    identity: IdentityPart | None = None
    phases: PhasesPart = PhasesPart()
    red_flags: RedFlagsPart = RedFlagsPart()
    sensitivity: SensitivityPart = SensitivityPart()
    ledger: LedgerPart | None = None
    commissions: CommissionsPart | None = None

    @cached_property
    def version(self) -> str:
        """The first twelve digits of the charter's fingerprint: equal rules, equal version. Taken once."""
        return fingerprint(msgspec.to_builtins(self))[:12]

    def mapping_of(self, flow: FlowPart) -> MappingPart | None:
        """The mapping that serves a flow, or None when the charter has none (the check refuses that)."""
        for mapping in self.mappings.get(flow.target, ()):
            if mapping.object == flow.object and mapping.entity == flow.entity:
                return mapping
        return None


def identity_systems(charter: Charter) -> tuple[str, ...]:
    """The targets in which the records of accounts are looked for, in the order of the flows."""
    if charter.identity is None:
        return ()
    targets = dict.fromkeys(flow.target for flow in charter.flows if flow.entity is EntityKind.ACCOUNT)
    return tuple(name for name in targets if not charter.identity.systems or name in charter.identity.systems)

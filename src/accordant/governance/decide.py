"""Room 5, the court: may these fields of this record be written there, now? One function per rule, and all are heard.

The same function is asked when a write is planned and again before its first byte leaves. Next: `pipeline/plan.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Self

import msgspec

from accordant.canonical.charter import Automation, FieldPart, FlowPart, MappingPart, Phase, Trigger
from accordant.canonical.phases import Grant
from accordant.canonical.red_flags import FlagStop
from accordant.governance.financial import is_financial
from accordant.governance.gates import CompiledGate, GateVerdict
from accordant.governance.grants import Ceiling, ceiling_of
from accordant.governance.openings import OpeningVerdict, held_because
from accordant.governance.ownership import OwnershipMatrix, facts_of
from accordant.governance.phases import is_wider, narrower

#: The switch that stops every write of the installation.
ALL_WRITES = "writes"
#: The switch that stops writes that change nothing about money or subscriptions.
NONESSENTIAL = "nonessential"
#: The switch that stops automations that contact customers or move money.
CUSTOMERS_AND_MONEY = "customers-and-money"
_CUSTOMERS_AND_MONEY = frozenset({Automation.CUSTOMER_FACING, Automation.MONEY_MOVING})

#: The rule that speaks for the compliance gates: what it holds is planned anew once the gate opens.
GATE_RULE = "gate"

#: The rule that speaks for open red flags: what it holds is planned anew once people have approved.
FLAG_RULE = "red-flag"

#: The rule that speaks for openings: what it holds is planned anew once its conditions hold and it is released.
OPENING_RULE = "opening"

#: The rule that speaks for past events that are walked again.
REPLAY_RULE = "replay"

_HELD_APART = frozenset({GATE_RULE, FLAG_RULE, OPENING_RULE})
_NO_FIELDS: frozenset[str] = frozenset()


def flow_switch(flow: str) -> str:
    """The name of the switch that pauses a flow."""
    return f"flow:{flow}"


def system_switch(system: str) -> str:
    """The name of the switch that pauses everything from and to a system."""
    return f"system:{system}"


def object_switch(target: str, object_name: str) -> str:
    """The name of the switch that pauses writes to one object of a system."""
    return f"object:{target}/{object_name}"


def class_switch(automation: Automation) -> str:
    """The name of the switch that pauses a class of automation."""
    return f"class:{automation.value}"


class Effect(StrEnum):
    """What becomes of a write: sent, computed and compared only, kept until something is lifted, or never made."""

    ALLOW = "allow"
    SHADOW = "shadow"
    HOLD = "hold"
    REFUSE = "refuse"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule said. No ``fields`` means every field that was asked about; ``text`` is a sentence for a person."""

    rule: str
    effect: Effect
    fields: tuple[str, ...] = ()
    text: str


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What people have stopped, and how far they let each flow go. ``is_frozen`` stops every write.

    ``objects`` are spelled ``system/Object``. ``grants`` holds the newest grant of each flow that has one, ``flags``
    what open red flags stop, by customer (an empty name for those of which nobody knows whose they are).
    """

    flows: frozenset[str] = _NO_FIELDS
    systems: frozenset[str] = _NO_FIELDS
    objects: frozenset[str] = _NO_FIELDS
    classes: frozenset[Automation] = frozenset()
    is_frozen: bool = False
    is_nonessential_frozen: bool = False
    grants: dict[str, Grant] = {}
    flags: dict[str, tuple[FlagStop, ...]] = {}

    @classmethod
    def thrown(cls, names: Iterable[str], grants: Iterable[Grant] = (), flags: Iterable[FlagStop] = ()) -> Self:
        """The switches thrown under these names, beside what was granted and what red flags stop."""
        flagged: dict[str, tuple[FlagStop, ...]] = {}
        for flag in flags:
            flagged[flag.account_id or ""] = (*flagged.get(flag.account_id or "", ()), flag)
        named: dict[str, set[str]] = {}
        for name in names:
            kind, _, rest = name.partition(":")
            named.setdefault(kind, set()).add(rest)
        classes = {automation for automation in Automation if automation.value in named.get("class", ())}
        return cls(
            flows=frozenset(named.get("flow", ())),
            systems=frozenset(named.get("system", ())),
            objects=frozenset(named.get("object", ())),
            classes=frozenset(classes | (_CUSTOMERS_AND_MONEY if CUSTOMERS_AND_MONEY in named else set())),
            is_frozen=ALL_WRITES in named,
            is_nonessential_frozen=NONESSENTIAL in named,
            grants={grant.flow: grant for grant in grants},
            flags=flagged,
        )

    def rests(self, flow: "CompiledFlow") -> bool:
        """Whether a switch stops every write of this flow."""
        return (
            self.is_frozen
            or flow.name in self.flows
            or flow.record in self.objects
            or flow.automation in self.classes
            or not self.systems.isdisjoint({flow.source, flow.target})
        )


NOTHING_STOPPED = Switches()


class CompiledFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow with everything about it that does not change until the charter does. ``compile_flow`` makes it.

    ``own_fields`` are the mapped fields whose facts the source owns; ``foreign`` says of each other one whose it is.
    ``phase`` is the narrower of the flow's own and what its connectors have earned, which ``cap`` says where it counts;
    ``spoken`` is what each phase says. ``record`` is the object as ``system/Object``; ``essential`` are the fields that
    tell of money or subscriptions; ``stands_on_flags``: it stands still for everybody while any red flag is open.
    ``meaning`` is what a grant has to cover, unless the flow is ``exempt`` from one.
    """

    name: str
    source: str
    target: str
    record: str
    automation: Automation
    phase: Phase
    meaning: str
    exempt: bool
    is_paused: bool
    write_fields: frozenset[str]
    own_fields: frozenset[str]
    essential: frozenset[str]
    stands_on_flags: bool
    foreign: dict[str, str]
    cap: str
    spoken: dict[Phase, Reason]
    gates: tuple[CompiledGate, ...] = ()
    #: Why the target takes no record of this object today; empty where it does.
    stopped: str = ""
    #: What the first write of a record waits for; None for nothing but its conditions, and those are none.
    trigger: Trigger | None = None

    def ceiling(self, switches: Switches) -> Ceiling:
        """How far the flow may go now, by charter, tier and grant."""
        return ceiling_of(
            switches.grants.get(self.name),
            wished=self.phase,
            meaning=self.meaning,
            write_fields=self.write_fields,
            exempt=self.exempt,
        )


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What the court is asked. ``fields`` are target fields that would change.

    ``problems`` are target fields whose value could not be spelled; they are asked about whether or not they are among
    ``fields``. A ``replay`` walks past events again and sends nothing. ``changing`` are those of ``fields`` that the
    target does not hold yet; None before anybody has looked there. ``contested`` are fields that wait for a person's
    word on a conflict, each with the sentence; ``kept`` those whose value is not the owner's, by such a word.
    ``verdicts`` are those of the flow's gates by name; a gate nobody asked holds. ``accounts`` are the customers the
    record is of, for whom red flags may be open. ``opening`` is what is to be said of the first write of a record.
    """

    flow: CompiledFlow
    fields: frozenset[str]
    switches: Switches = NOTHING_STOPPED
    replay: bool = False
    problems: frozenset[str] = _NO_FIELDS
    changing: frozenset[str] | None = None
    contested: Mapping[str, str] = {}
    kept: frozenset[str] = _NO_FIELDS
    verdicts: dict[str, GateVerdict] = {}
    accounts: tuple[str, ...] = ()
    opening: OpeningVerdict | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The court's answer. The four sets hold each field that was asked about exactly once.

    ``write`` may be sent now, ``held`` once its holds are lifted, ``shadow`` is computed and compared only, ``refused``
    is not made. ``effect`` is that of the write as a whole: allow when anything may be sent; else hold when everything
    waits, since what is held is not even compared until it is released; else shadow; else refuse.
    """

    effect: Effect
    write: frozenset[str]
    held: frozenset[str]
    shadow: frozenset[str]
    refused: frozenset[str]
    reasons: tuple[Reason, ...]

    @property
    def gated(self) -> frozenset[str]:
        """Those of the held fields that a gate, a red flag or an opening holds: planned anew once that is over."""
        named = (reason.fields for reason in self.reasons if reason.rule in _HELD_APART)
        return self.held.intersection(_NO_FIELDS.union(*named))

    @property
    def because(self) -> str:
        """Why not everything is sent, in sentences for a person; empty when everything is."""
        return " ".join(reason.text for reason in self.reasons if reason.effect is not Effect.ALLOW)


def compile_flow(
    flow: FlowPart,
    *,
    mapping: MappingPart,
    owners: OwnershipMatrix,
    tier_cap: Phase,
    meaning: str,
    exempt: bool,
    gates: tuple[CompiledGate, ...] = (),
    stands_on_flags: bool = False,
) -> CompiledFlow:
    """Prepare a flow for the court. ``tier_cap`` is the widest phase that its connectors have earned.

    ``meaning`` and ``exempt`` are those of `governance/grants.py`.
    """
    foreign = {
        name: objection
        for name, field in mapping.fields.items()
        if (objection := _objection(owners, flow, name, field))
    }
    phase = narrower(flow.phase, tier_cap)
    is_capped = is_wider(flow.phase, phase)
    cap = f" The charter asks for {flow.phase}; its connectors have earned {phase}." if is_capped else ""
    return CompiledFlow(
        name=flow.name,
        source=flow.source,
        target=flow.target,
        record=f"{flow.target}/{flow.object}",
        automation=flow.automation,
        phase=phase,
        meaning=meaning,
        exempt=exempt,
        is_paused=flow.paused,
        write_fields=frozenset(flow.write_fields),
        own_fields=frozenset(mapping.fields.keys() - foreign.keys()),
        essential=frozenset(
            name
            for name, field in mapping.fields.items()
            if any(is_financial(flow.entity, fact) for fact in facts_of(field))
        ),
        stands_on_flags=stands_on_flags,
        foreign=foreign,
        cap=cap,
        spoken={phase: _spoken(flow, phase, cap) for phase in Phase},
        gates=gates,
        trigger=flow.trigger if flow.opens else None,
    )


def _objection(owners: OwnershipMatrix, flow: FlowPart, name: str, field: FieldPart) -> str | None:
    """Why the flow may never write this field; None when it may. Each fact it is made of has to be the source's."""
    for fact in facts_of(field):
        told = owners.objection(flow.entity, fact, source=flow.source, target=flow.target)
        if told is not None:
            return f"{name} is not written: {told}."
    return None


def _spoken(flow: FlowPart, phase: Phase, cap: str) -> Reason:
    effects = {Phase.DRAFT: Effect.REFUSE, Phase.READ_ONLY: Effect.SHADOW}
    sentences = {
        Phase.DRAFT: f"The flow {flow.name} is a draft and does nothing.",
        Phase.READ_ONLY: f"The flow {flow.name} is read-only: the target is compared, nothing is sent.",
        Phase.CONTROLLED: f"The flow {flow.name} is controlled and may write the fields released for it.",
        Phase.AUTOMATED: f"The flow {flow.name} is automated and may write every mapped field.",
    }
    return Reason(rule="phase", effect=effects.get(phase, Effect.ALLOW), text=sentences[phase] + cap)


# -- the rules -------------------------------------------------------------------------------------------------------


def by_ownership(case: Case) -> Reason | None:
    """Only the system of record may speak for a fact, and only through a mapped field."""
    named = case.fields - case.flow.own_fields
    if not named:
        return None
    fields = tuple(sorted(named))
    text = " ".join(case.flow.foreign.get(field) or f"{field} is not in the mapping." for field in fields)
    return Reason(rule="ownership", effect=Effect.REFUSE, fields=fields, text=text)


def by_mapping(case: Case) -> Reason | None:
    """A field whose value cannot be spelled waits for a corrected value or mapping; its neighbors go on."""
    if not case.problems:
        return None
    fields = tuple(sorted(case.problems))
    text = f"No value can be written for {', '.join(fields)}: see the mapping problem of each."
    return Reason(rule="mapping", effect=Effect.HOLD, fields=fields, text=text)


def by_conflict(case: Case) -> Reason | None:
    """A field over which two sides disagree waits for a person, where the charter or the loop breaker says so."""
    waiting = tuple(sorted(case.fields & case.contested.keys()))
    if not waiting:
        return None
    text = " ".join(dict.fromkeys(case.contested[field] for field in waiting))
    return Reason(rule="conflict", effect=Effect.HOLD, fields=waiting, text=text)


def by_kept_value(case: Case) -> Reason | None:
    """A person may keep another value than the owner's, but never of the financial state."""
    forbidden = tuple(sorted(case.kept & case.flow.essential))
    if not forbidden:
        return None
    text = f"{', '.join(forbidden)} is part of the financial state: {case.flow.source} wins always."
    return Reason(rule="financial", effect=Effect.REFUSE, fields=forbidden, text=text)


def by_phase(case: Case) -> Reason | None:
    """How far the flow may go by charter, tier and grant, and for a controlled flow which fields were released."""
    flow = case.flow
    ceiling = flow.ceiling(case.switches)
    phase = ceiling.phase
    told = f"{flow.cap} {ceiling.text}".rstrip() if ceiling.text else flow.cap
    # What a person releases one by one is no automation, whatever class it stops with.
    is_automation = flow.automation is not Automation.RECORD_SYNC and flow.trigger is not Trigger.MANUAL
    if phase is Phase.CONTROLLED and is_automation:
        text = (
            f"The flow {flow.name} sets off {_class_words(flow.automation)}, and acts only when it is automated.{told}"
        )
        return Reason(rule="phase", effect=Effect.SHADOW, text=text)
    if phase is Phase.CONTROLLED:
        outside = case.fields - flow.write_fields
        if outside:
            fields = tuple(sorted(outside))
            text = f"The flow {flow.name} is controlled and does not release {', '.join(fields)}.{told}"
            return Reason(rule="phase", effect=Effect.SHADOW, fields=fields, text=text)
    spoken = flow.spoken[phase]
    return msgspec.structs.replace(spoken, text=f"{spoken.text} {ceiling.text}") if ceiling.text else spoken


def _class_words(automation: Automation) -> str:
    return automation.value.replace("_", " ")


def by_replay(case: Case) -> Reason | None:
    """Past events that are walked again are compared with what came of them, and change nothing."""
    if not case.replay:
        return None
    return Reason(rule=REPLAY_RULE, effect=Effect.SHADOW, text="This is a replay: nothing is sent.")


def by_freeze(case: Case) -> Reason | None:
    """One switch stops every write."""
    if not case.switches.is_frozen:
        return None
    return Reason(
        rule="freeze", effect=Effect.HOLD, text="All writes are stopped; they go on when a person lifts that."
    )


def by_paused_system(case: Case) -> Reason | None:
    """A paused system is neither written to nor believed."""
    paused = [name for name in (case.flow.source, case.flow.target) if name in case.switches.systems]
    if not paused:
        return None
    text = f"Paused: {' and '.join(paused)}. Its writes go on when a person resumes it."
    return Reason(rule="paused-system", effect=Effect.HOLD, text=text)


def by_target(case: Case) -> Reason | None:
    """A target that lacks the object or its key takes no record: everything waits until it is back."""
    if not case.flow.stopped:
        return None
    return Reason(rule="target", effect=Effect.HOLD, text=case.flow.stopped)


def by_paused_flow(case: Case) -> Reason | None:
    """A flow is paused in the charter or by a switch; it resumes in the phase it had."""
    if not case.flow.is_paused and case.flow.name not in case.switches.flows:
        return None
    where = "in the charter" if case.flow.is_paused else "by a switch"
    text = f"The flow {case.flow.name} is paused {where}. It goes on when a person resumes it."
    return Reason(rule="paused-flow", effect=Effect.HOLD, text=text)


def by_paused_object(case: Case) -> Reason | None:
    """One object of a system is paused: nothing is written to its records."""
    if case.flow.record not in case.switches.objects:
        return None
    text = f"Writes to {case.flow.record} are paused. They go on when a person resumes them."
    return Reason(rule="paused-object", effect=Effect.HOLD, text=text)


def by_paused_class(case: Case) -> Reason | None:
    """A class of automation is paused, with every flow that sets it off."""
    if case.flow.automation not in case.switches.classes:
        return None
    text = f"Automations of the class {_class_words(case.flow.automation)} are paused until a person resumes them."
    return Reason(rule="paused-class", effect=Effect.HOLD, text=text)


def by_nonessential(case: Case) -> Reason | None:
    """While the nonessential is frozen, a write goes out only if it changes something about money or subscriptions.

    Whether it does is known once the target was read; until then the rule has nothing to say.
    """
    if not case.switches.is_nonessential_frozen or case.changing is None:
        return None
    if case.changing & case.flow.essential:
        return None
    text = "Nonessential writes are frozen, and this one changes nothing about money or subscriptions."
    return Reason(rule="nonessential", effect=Effect.HOLD, text=text)


def by_gate(case: Case) -> Reason | None:
    """Compliance gates: what they stand before is held until the customer's checks open them."""
    closed = [
        (gate, verdict)
        for gate in case.flow.gates
        if (verdict := case.verdicts.get(gate.part.name)) is None or not verdict.is_open
    ]
    fields = tuple(sorted(case.fields & _NO_FIELDS.union(*(gate.fields for gate, _ in closed))))
    if not fields:
        return None
    unasked = "holds: what is recorded of this customer was not looked up."
    told = [str(verdict) if verdict is not None else f"{gate.part.name} {unasked}" for gate, verdict in closed]
    return Reason(rule=GATE_RULE, effect=Effect.HOLD, fields=fields, text=" ".join(told))


def by_red_flag(case: Case) -> Reason | None:
    """While a red flag is open nothing of its customer is written by the flows it names, until people approved."""
    if not case.switches.flags or not case.fields:
        return None
    stops = [
        stop
        for account in case.accounts
        for stop in case.switches.flags.get(account, ())
        if not stop.flows or case.flow.name in stop.flows
    ]
    told = [f"Red flag {stop.flag}: {stop.why}" for stop in stops]
    if not told and case.flow.stands_on_flags:
        told = [f"While a red flag is open, {_class_words(case.flow.automation)} stands still."]
    if not told:
        return None
    text = f"{' '.join(told)} It goes on once that is approved."
    return Reason(rule=FLAG_RULE, effect=Effect.HOLD, fields=tuple(sorted(case.fields)), text=text)


def by_opening(case: Case) -> Reason | None:
    """The first write of a record waits for its conditions, and for a person where the charter says so."""
    text = held_because(case.flow.name, case.flow.trigger, case.opening)
    if not text or not case.fields:
        return None
    return Reason(rule=OPENING_RULE, effect=Effect.HOLD, fields=tuple(sorted(case.fields)), text=text)


def is_of_a_switch(reason: Reason, flow: CompiledFlow) -> bool:
    """Whether a person threw a switch and will release it: true now, and no part of what a record is."""
    return reason.rule in _SWITCHED or (reason.rule == "paused-flow" and not flow.is_paused)


_SWITCHED = frozenset({"freeze", "paused-system", "paused-object", "paused-class", "nonessential"})

Rule = Callable[[Case], Reason | None]

#: Every rule, in the order in which its reason is told. A rule sees facts and never another rule's answer.
RULES: tuple[Rule, ...] = (
    by_ownership,
    by_mapping,
    by_conflict,
    by_kept_value,
    by_phase,
    by_replay,
    by_freeze,
    by_paused_system,
    by_paused_flow,
    by_target,
    by_paused_object,
    by_paused_class,
    by_nonessential,
    by_gate,
    by_red_flag,
    by_opening,
)


def decide(case: Case) -> Decision:
    """Hear every rule; each field goes where the strictest puts it: refused, else shadow, else held, else write."""
    if not case.problems <= case.fields:
        case = msgspec.structs.replace(case, fields=case.fields | case.problems)
    refused = shadow = held = _NO_FIELDS
    reasons: list[Reason] = []
    for rule in RULES:
        reason = rule(case)
        if reason is None:
            continue
        reasons.append(reason)
        named = case.fields.intersection(reason.fields) if reason.fields else case.fields
        match reason.effect:
            case Effect.REFUSE:
                refused |= named
            case Effect.SHADOW:
                shadow |= named
            case Effect.HOLD:
                held |= named
            case Effect.ALLOW:
                pass
    shadow -= refused
    held -= refused | shadow
    write = case.fields - refused - shadow - held
    return Decision(
        effect=_effect_of(write, held, shadow, refused, reasons),
        write=write,
        held=held,
        shadow=shadow,
        refused=refused,
        reasons=tuple(reasons),
    )


def _effect_of(
    write: frozenset[str],
    held: frozenset[str],
    shadow: frozenset[str],
    refused: frozenset[str],
    reasons: Sequence[Reason],
) -> Effect:
    if write:
        return Effect.ALLOW
    if refused and not (held or shadow):
        return Effect.REFUSE
    # What was said of the write as a whole, the strictest first; it also answers a case that asks about no field.
    whole = {reason.effect for reason in reasons if not reason.fields}
    for effect in (Effect.REFUSE, Effect.HOLD):
        if effect in whole:
            return effect
    if shadow or Effect.SHADOW in whole:
        return Effect.SHADOW
    return Effect.HOLD if held else Effect.ALLOW


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Decision)


def encode_decision(decision: Decision) -> bytes:
    """The decision as it is kept beside the write it allowed or stopped."""
    return _ENCODER.encode(decision)


def decode_decision(data: bytes) -> Decision:
    """The decision stored as ``data``. Raises msgspec.ValidationError when the bytes are not one."""
    return _DECODER.decode(data)

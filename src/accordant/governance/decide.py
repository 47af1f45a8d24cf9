"""Room 5, the court: may these fields of this record be written there, now? One function per rule, and all are heard.

The same function is asked when a write is planned and again before its first byte leaves. Next: `pipeline/plan.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Self

import msgspec

from accordant.canonical.charter import FieldPart, FlowPart, MappingPart, Phase
from accordant.governance.ownership import OwnershipMatrix, facts_of
from accordant.governance.phases import is_wider, narrower

#: The switch that stops every write of the installation.
ALL_WRITES = "writes"

_NO_FIELDS: frozenset[str] = frozenset()


def flow_switch(flow: str) -> str:
    """The name of the switch that pauses a flow."""
    return f"flow:{flow}"


def system_switch(system: str) -> str:
    """The name of the switch that pauses everything from and to a system."""
    return f"system:{system}"


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
    """What a person has stopped. ``is_frozen`` stops every write."""

    flows: frozenset[str] = _NO_FIELDS
    systems: frozenset[str] = _NO_FIELDS
    is_frozen: bool = False

    @classmethod
    def thrown(cls, names: Iterable[str]) -> Self:
        """The switches thrown under these names; names that stop no write (a class of automation) are left out."""
        parts = [name.partition(":") for name in names]
        return cls(
            flows=frozenset(name for kind, _, name in parts if kind == "flow"),
            systems=frozenset(name for kind, _, name in parts if kind == "system"),
            is_frozen=any(kind == ALL_WRITES for kind, _, _ in parts),
        )


NOTHING_STOPPED = Switches()


class CompiledFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow with everything about it that does not change until the charter does. ``compile_flow`` makes it.

    ``own_fields`` are the mapped fields whose facts the source owns; ``foreign`` says of each other one whose it is.
    ``phase`` is the narrower of the flow's own and what its connectors have earned, which ``cap`` says where it counts;
    ``spoken`` is what the phase says.
    """

    name: str
    source: str
    target: str
    phase: Phase
    is_paused: bool
    write_fields: frozenset[str]
    own_fields: frozenset[str]
    foreign: dict[str, str]
    cap: str
    spoken: Reason


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What the court is asked. ``fields`` are target fields that would change.

    ``problems`` are target fields whose value could not be spelled; they are asked about whether or not they are among
    ``fields``. A ``replay`` walks past events again and sends nothing.
    """

    flow: CompiledFlow
    fields: frozenset[str]
    switches: Switches = NOTHING_STOPPED
    replay: bool = False
    problems: frozenset[str] = _NO_FIELDS


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
    def because(self) -> str:
        """Why not everything is sent, in sentences for a person; empty when everything is."""
        return " ".join(reason.text for reason in self.reasons if reason.effect is not Effect.ALLOW)


def compile_flow(flow: FlowPart, *, mapping: MappingPart, owners: OwnershipMatrix, tier_cap: Phase) -> CompiledFlow:
    """Prepare a flow for the court. ``tier_cap`` is the widest phase that its connectors have earned."""
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
        phase=phase,
        is_paused=flow.paused,
        write_fields=frozenset(flow.write_fields),
        own_fields=frozenset(mapping.fields.keys() - foreign.keys()),
        foreign=foreign,
        cap=cap,
        spoken=_spoken(flow, phase, cap),
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


def by_phase(case: Case) -> Reason | None:
    """How far the flow may go, and for a controlled flow which fields were released."""
    if case.flow.phase is Phase.CONTROLLED:
        outside = case.fields - case.flow.write_fields
        if outside:
            fields = tuple(sorted(outside))
            text = f"The flow {case.flow.name} is controlled and does not release {', '.join(fields)}.{case.flow.cap}"
            return Reason(rule="phase", effect=Effect.SHADOW, fields=fields, text=text)
    return case.flow.spoken


def by_replay(case: Case) -> Reason | None:
    """Past events that are walked again are compared with what came of them, and change nothing."""
    if not case.replay:
        return None
    return Reason(rule="replay", effect=Effect.SHADOW, text="This is a replay: nothing is sent.")


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


def by_paused_flow(case: Case) -> Reason | None:
    """A flow is paused in the charter or by a switch; it resumes in the phase it had."""
    if not case.flow.is_paused and case.flow.name not in case.switches.flows:
        return None
    where = "in the charter" if case.flow.is_paused else "by a switch"
    text = f"The flow {case.flow.name} is paused {where}. It goes on when a person resumes it."
    return Reason(rule="paused-flow", effect=Effect.HOLD, text=text)


Rule = Callable[[Case], Reason | None]

#: Every rule, in the order in which its reason is told. A rule sees facts and never another rule's answer.
RULES: tuple[Rule, ...] = (
    by_ownership,
    by_mapping,
    by_phase,
    by_replay,
    by_freeze,
    by_paused_system,
    by_paused_flow,
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

"""How far a flow may go by what was granted: the phase in force is the narrowest of charter, grant and tier.

A grant covers a flow as it was described when it was given. When the charter gives it another meaning, the flow falls
back to read-only until somebody approves it again. Pure. Next: `decide.py`, which asks this for every write.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import msgspec

from accordant.canonical.charter import Charter, FlowPart, OwnershipPart, Phase
from accordant.canonical.people import same_person
from accordant.canonical.phases import Grant
from accordant.governance.gates import stands_before
from accordant.governance.phases import is_wider, narrower, spoken
from accordant.kernel.hashing import fingerprint

#: What of a flow does not change what it does: how far it may go, how quickly, and where a person looks.
_NOT_MEANING = frozenset(
    {"phase", "write_fields", "paused", "sync", "schedule", "expected_lag_s", "incident_lag_s", "verify", "owner"}
)
#: What of a system says which records are read and written, beside how often and by whose order.
_OF_SYSTEM = ("connector", "settings", "stand_in")
_OF_OWNERSHIP = ("entity", "system_of_record", "direction", "winner", "financial", "fields")


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """The widest phase that was granted; ``text`` says why it is no wider, empty where nothing is withheld."""

    phase: Phase
    text: str = ""


def meaning_of(charter: Charter, flow: FlowPart) -> str:
    """The digest of everything that decides what a flow does. Released fields are compared one by one instead.

    Settings left at their default are left out, so that a newer version of Accordant voids no grant.
    """
    mapping = charter.mapping_of(flow)
    ownership = next((part for part in charter.ownership if part.entity == flow.entity), None)
    systems = [charter.systems.get(name) for name in (flow.source, flow.target)]
    return fingerprint(
        {
            "flow": {name: value for name, value in _said(flow).items() if name not in _NOT_MEANING},
            "mapping": _said(mapping) if mapping is not None else None,
            "ownership": _only(ownership, _OF_OWNERSHIP),
            "systems": [_only(system, _OF_SYSTEM) for system in systems],
            # Whoever takes a compliance gate away needs the same second person as whoever widens the flow.
            "gates": [_said(gate) for gate in charter.gates if stands_before(gate, flow)],
        }
    )


def _only(part: OwnershipPart | msgspec.Struct | None, names: Collection[str]) -> dict[str, Any] | None:
    return None if part is None else {name: value for name, value in _said(part).items() if name in names}


def _said(part: msgspec.Struct) -> dict[str, Any]:
    """What a part of the charter says beside its defaults, all the way down."""
    said = {}
    for name, default in _defaults(type(part)):
        value = getattr(part, name)
        if value != default:
            said[name] = _plain(value)
    return said


@lru_cache(maxsize=64)
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """The settings of a kind of part with their defaults. Reading them off the type is slow, and a type has but one."""
    return tuple(
        (field.name, field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default)
        for field in msgspec.structs.fields(kind)
    )


def _plain(value: Any) -> Any:  # noqa: ANN401  whatever a charter may hold
    match value:
        case msgspec.Struct():
            return _said(value)
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return msgspec.to_builtins(value)


def is_exempt(charter: Charter, flow: FlowPart) -> bool:
    """Whether a flow needs no grant: it writes to a simulator on this machine, and the charter does not ask for one."""
    target = charter.systems.get(flow.target)
    return charter.phases.exempt_stand_ins and target is not None and target.stand_in


def ceiling_of(
    grant: Grant | None, *, wished: Phase, meaning: str, write_fields: frozenset[str], exempt: bool
) -> Ceiling:
    """The widest phase this grant allows a flow with this meaning that wishes for this phase; never a wider one."""
    gap = "" if exempt or grant is None else _gap(grant, meaning, write_fields, wished)
    if grant is None:
        limit = wished if exempt else Phase.READ_ONLY
        text = "Nobody has granted it more than read-only."
    elif gap:
        limit, text = narrower(grant.phase, Phase.READ_ONLY), gap
    elif grant.is_narrowing:
        limit, text = grant.phase, f"{grant.granted_by} narrowed it to {spoken(grant.phase)}: {grant.reason}"
    else:
        limit, text = grant.phase, f"No more than {spoken(grant.phase)} was granted."
    return Ceiling(phase=limit, text=text) if is_wider(wished, limit) else Ceiling(phase=wished)


def _gap(grant: Grant, meaning: str, write_fields: frozenset[str], wished: Phase) -> str:
    """Why a grant does not cover a flow; empty where it does."""
    if not is_wider(grant.phase, Phase.READ_ONLY):
        return ""
    if not grant.granted_by or not grant.requested_by or same_person(grant.granted_by, grant.requested_by):
        return "Its grant does not name two persons."
    if grant.meaning != meaning:
        return (
            "The charter describes it otherwise than when it was approved (its mapping, owners or systems changed); "
            "it has to be approved again."
        )
    added = write_fields.difference(grant.write_fields)
    if added and narrower(wished, grant.phase) is Phase.CONTROLLED:
        return f"The charter releases {', '.join(sorted(added))}, which nobody approved; it has to be approved again."
    return ""

"""Ask every target how it describes its objects today, and remember it: drift is told once, held, and told when cured.

Only reads. Fields that drifted are held before a write could fail (`mapping/fitting.py`); the rest goes on.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from accordant.canonical.charter import Charter, MappingPart, Phase
from accordant.canonical.shapes import DescribedField, SeenShape, TargetDrift
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.kernel.hashing import fingerprint
from accordant.mapping.fitting import find_drift
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import Outbound
from accordant.ports.shapes import ShapeBook, ShapeChange


class Cured(msgspec.Struct, frozen=True, kw_only=True):
    """An object that fits again. ``records`` were settled meanwhile and may lack what was held."""

    system: str
    object: str
    records: frozenset[str]


class DriftRound(msgspec.Struct, frozen=True, kw_only=True):
    """What a round found. ``drift`` is everything that does not fit now, by system.

    ``changed`` says whether anything is otherwise than last time; ``unasked`` holds the targets that could not be
    asked, each with the reason: what was remembered of them stays.
    """

    drift: dict[str, tuple[TargetDrift, ...]]
    cured: tuple[Cured, ...]
    changed: bool
    unasked: dict[str, str]


async def check_drift(
    *, charter: Charter, outbounds: Mapping[str, Outbound], book: ShapeBook, now: datetime
) -> DriftRound:
    """One round over every object that a flow writes. Raises TransientError when the store cannot go on."""
    known = {(shape.system, shape.object): shape for shape in book.shapes()}
    changes: list[ShapeChange] = []
    cured: list[Cured] = []
    unasked: dict[str, str] = {}
    for system, outbound in outbounds.items():
        for name, mappings in used_mappings(charter, system).items():
            try:
                fields = await described(outbound, name)
            except AccordantError as error:
                unasked[system] = str(error)
                break
            old = known.get((system, name))
            shape = _seen((system, name), fields, mappings, old, now)
            known[system, name] = shape
            changes.append(_change(shape, old, now))
            if old is not None and old.drifted_at is not None and set(old.drift) - set(shape.drift):
                records = book.records_settled_since(system, name, old.drifted_at)
                cured.append(Cured(system=system, object=name, records=records))
    book.keep(changes)
    drift: dict[str, tuple[TargetDrift, ...]] = {}
    for (system, _), shape in known.items():
        if shape.drift and system in outbounds:
            drift[system] = (*drift.get(system, ()), *shape.drift)
    return DriftRound(
        drift=drift,
        cured=tuple(cured),
        changed=any(change.entry is not None for change in changes),
        unasked=unasked,
    )


def used_mappings(charter: Charter, system: str) -> dict[str, tuple[MappingPart, ...]]:
    """The mappings of a system that a flow uses, by object; what only drafts would use is not asked for."""
    found: dict[str, tuple[MappingPart, ...]] = {}
    for flow in charter.flows:
        mapping = charter.mapping_of(flow)
        if flow.target == system and mapping is not None and flow.phase is not Phase.DRAFT:
            held = found.get(mapping.object, ())
            found[mapping.object] = held if mapping in held else (*held, mapping)
    return found


async def described(outbound: Outbound, object_name: str) -> tuple[DescribedField, ...] | None:
    """What a target says of an object, None when it has none of that name. Raises as ``Outbound.describe``, else."""
    try:
        return await outbound.describe(object_name)
    except RejectedError:
        return None


def _seen(
    place: tuple[str, str],
    fields: tuple[DescribedField, ...] | None,
    mappings: Sequence[MappingPart],
    old: SeenShape | None,
    now: datetime,
) -> SeenShape:
    drift = tuple(dict.fromkeys(one for mapping in mappings for one in find_drift(mapping, fields)))
    since = old.drifted_at if old is not None and old.drifted_at is not None else now
    return SeenShape(
        system=place[0],
        object=place[1],
        fields=fields,
        digest=fingerprint([msgspec.to_builtins(one) for one in fields] if fields is not None else None),
        seen_at=now,
        drift=drift,
        drifted_at=since if drift else None,
    )


def _change(shape: SeenShape, old: SeenShape | None, now: datetime) -> ShapeChange:
    before = old.drift if old is not None else ()
    new = [one for one in shape.drift if one not in before]
    gone = [one for one in before if one not in shape.drift]
    told = [f"{one.problem} {one.remedy}" for one in new]
    told += [f"No longer so: {one.problem}" for one in gone]
    if told:
        told.append("What does not fit is held until then; everything else goes on.")
    is_same = old is not None and old.digest == shape.digest and not told
    entry = AuditEntry(
        kind="operations.drift.found" if shape.drift else "operations.drift.none",
        actor="accordant",
        subject=f"{shape.system}:{shape.object}",
        cause=None,
        at=now,
        body={"digest": shape.digest, "drift": [one.problem for one in shape.drift]},
    )
    return ShapeChange(shape=shape, alert="\n".join(told) or None, entry=None if is_same else entry)

"""Ask a target how it describes its objects and compare that with the mapping: what it would refuse is told now.

Only reads. What the target cannot say (a validation rule, a trigger) shows in the first shadow writes instead.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from accordant.canonical.charter import FieldPart, MappingPart
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import DescribedField, Outbound


class TargetDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a target is not what the mapping takes it for. ``field`` is None for a whole object."""

    object: str
    field: str | None
    problem: str
    remedy: str


async def check_target(*, outbound: Outbound, mappings: Sequence[MappingPart]) -> tuple[TargetDrift, ...]:
    """Everything in which the target's own description differs from what these mappings need.

    Raises RateLimited, TargetUnavailable, AuthorizationExpired when the target cannot be asked.
    """
    found: list[TargetDrift] = []
    for mapping in mappings:
        try:
            described = await outbound.describe(mapping.object)
        except RejectedError as error:
            remedy = f"Add {mapping.object} there, or let our user see it."
            found.append(TargetDrift(object=mapping.object, field=None, problem=error.message, remedy=remedy))
            continue
        found += _differences(mapping, {field.name.lower(): field for field in described})
    return tuple(found)


def _differences(mapping: MappingPart, described: Mapping[str, DescribedField]) -> Iterator[TargetDrift]:
    key = described.get(mapping.key_field.lower())
    if key is None:
        yield _drift(mapping, mapping.key_field, "is missing", "Add it as the external id, and let our user edit it.")
    elif not key.external_id:
        yield _drift(mapping, mapping.key_field, "is no external id", "Mark it as external id and unique.")
    for name, part in mapping.fields.items():
        held = described.get(name.lower())
        if held is None:
            yield _drift(
                mapping, name, "is missing, or our user may not see it", "Add it, or take it out of the mapping."
            )
        else:
            yield from _field(mapping, name, part, held)


def _field(mapping: MappingPart, name: str, part: FieldPart, held: DescribedField) -> Iterator[TargetDrift]:
    if not held.writable:
        yield _drift(mapping, name, "may not be written", "Let our user edit it, or take it out of the mapping.")
    if part.length is not None and held.length is not None and held.length < part.length:
        problem = f"holds {held.length} characters, and the mapping says {part.length}"
        yield _drift(mapping, name, problem, "Lengthen it there, or lower the length in the mapping.")
    lacking = [value for value in part.values.values() if held.picklist is not None and value not in held.picklist]
    if lacking:
        yield _drift(
            mapping, name, f"does not take {', '.join(map(repr, lacking))}", "Add these to its list of values."
        )


def _drift(mapping: MappingPart, field: str, problem: str, remedy: str) -> TargetDrift:
    return TargetDrift(
        object=mapping.object, field=field, problem=f"{mapping.object}.{field} {problem}.", remedy=remedy
    )

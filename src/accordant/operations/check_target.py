"""Ask a target how it describes its objects and compare that with the mapping: what it would refuse is told now.

Only reads. What the target cannot say (a validation rule, a trigger) shows in the first shadow writes instead.
"""

from collections.abc import Sequence

from accordant.canonical.charter import MappingPart
from accordant.canonical.shapes import TargetDrift
from accordant.mapping.fitting import find_drift
from accordant.operations.check_drift import described
from accordant.ports.connector import Outbound


async def check_target(*, outbound: Outbound, mappings: Sequence[MappingPart]) -> tuple[TargetDrift, ...]:
    """Everything in which the target's own description differs from what these mappings need.

    Raises RateLimited, TargetUnavailable, AuthorizationExpired when the target cannot be asked.
    """
    found: list[TargetDrift] = []
    for mapping in mappings:
        found += find_drift(mapping, await described(outbound, mapping.object))
    return tuple(found)

"""`accordant simulate`: the hub against every fault that production knows, in memory, on your own charter."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from accordant.kernel.errors import ConfigurationError

Tier = Literal["quick", "nightly", "release"]
_SCHEDULES: dict[Tier, int] = {"quick": 2_000, "nightly": 100_000, "release": 1_000_000}
_LONG: dict[Tier, int] = {"quick": 10, "nightly": 500, "release": 5_000}
_DEFAULT = 1_000


def simulate(
    *,
    schedules: Annotated[int | None, Parameter(help="How many schedules to play; 1000 if neither is given.")] = None,
    tier: Annotated[Tier | None, Parameter(help="As many schedules as a tier of the fault catalogue asks.")] = None,
    seed: Annotated[int, Parameter(help="Seed of the first; each schedule has the next.")] = 0,
    charter: Annotated[Path | None, Parameter(help="Folder of your charter; else that of the demo.")] = None,
    replay: Annotated[int | None, Parameter(help="Play the schedule of this seed and print all that happened.")] = None,
    long: Annotated[
        bool,
        Parameter(negative="", help="Long schedules: about 4,000 events of 20 customers, three phases, an incident."),
    ] = False,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Play schedules of faults against the hub and check after each that nothing was lost and nothing done twice."""
    from accordant.cli.simulated_hub import play

    if schedules is not None and tier is not None:
        raise ConfigurationError("A run has a number of schedules or a tier.", remedy="Leave one of them out.")
    counts = _LONG if long else _SCHEDULES
    wanted = schedules if schedules is not None else counts[tier] if tier is not None else _DEFAULT
    return play(charter, schedules=wanted, seed=seed, is_long=long, replay_seed=replay, as_json=json)

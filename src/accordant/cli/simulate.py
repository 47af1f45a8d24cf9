"""`accordant simulate`: the hub against every fault that production knows, in memory, on your own charter."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def simulate(
    *,
    schedules: Annotated[int, Parameter(help="How many schedules to play.")] = 1_000,
    seed: Annotated[int, Parameter(help="Seed of the first; each schedule has the next.")] = 0,
    charter: Annotated[Path | None, Parameter(help="Folder of your charter; else that of the demo.")] = None,
    replay: Annotated[int | None, Parameter(help="Play the schedule of this seed and print all that happened.")] = None,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Play schedules of faults against the hub and check after each that nothing was lost and nothing done twice."""
    from accordant.cli.simulated_hub import play

    return play(charter, schedules=schedules, seed=seed, replay_seed=replay, as_json=json)

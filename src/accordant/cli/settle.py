"""`accordant settle`: what a person found of a write whose target cannot be asked what became of it."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.render import emit, say
from accordant.kernel.errors import RejectedError


def settle(
    letter: Annotated[str, Parameter(help="The dead letter by its id: int_...")],
    /,
    *,
    found_as: Annotated[str | None, Parameter(help="The write is there: the record's own id at the target.")] = None,
    absent: Annotated[
        bool, Parameter(negative="", help="Nothing of the write is there: it goes back to the head of its lane.")
    ] = False,
    evidence: Annotated[str, Parameter(help="Where that was seen: a link or a reference that others can open.")] = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Say what became of a write to a target that cannot be asked. Look there first: the word is kept in the trail."""
    if absent == (found_as is not None):
        raise RejectedError(
            "Say what was found.", remedy="Give --found-as ID where the write is there, or --absent where it is not."
        )
    return asyncio.run(_settle(common, letter, found_as, evidence, actor=person(who, common=common)))


async def _settle(common: Common, letter: str, found_as: str | None, evidence: str, *, actor: str) -> int:
    from accordant.operations.settle_letter import Finding

    async with opened_hub(common) as hub:
        done = hub.recovery.settle(letter, Finding(actor=actor, evidence=evidence, found_as=found_as))
    if common.json:
        emit({"letter": letter, "found_as": found_as, "redriven": done})
    elif done is None:
        say(f"{letter} counts as made, as {found_as}. Its lane goes on unless another dead letter closes it.")
    elif done.refused:
        say(f"That it is absent is kept. It was not put back: {done.refused[0].reason}")
    else:
        say(f"{letter} went back to the head of its lane: today's record is written.")
    return 1 if done is not None and done.refused else 0

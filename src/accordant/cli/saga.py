"""`accordant saga`: how far a change has come through billing, books, ERP and CRM, what holds it, and its way back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.render import emit, say, shown, table

if TYPE_CHECKING:
    from accordant.operations.saga_desk import SagaDesk
    from accordant.orchestration.saga import Saga

saga_app = App(name="saga", help="Changes followed over several systems: list, show, undo.")

SagaName = Annotated[str, Parameter(help="A saga, as in sga_123.")]


@asynccontextmanager
async def _desk(common: Common) -> "AsyncIterator[SagaDesk]":
    from accordant.web.saga_desk import saga_desk

    async with opened_hub(common) as hub:
        yield saga_desk(hub)


@saga_app.command(name="list")
def list_sagas(
    *, limit: Annotated[int, Parameter(help="So many, those that run first.")] = 50, common: Common = COMMON
) -> int:
    """The sagas that run and the newest that ended, looked at just now. Exit code 1 where one needs a person."""
    return asyncio.run(_list(common, limit))


async def _list(common: Common, limit: int) -> int:
    async with _desk(common) as desk:
        desk.round()
        found = desk.book.latest(limit=limit)
    if common.json:
        emit({"sagas": found})
    else:
        table(
            "Sagas",
            ("Saga", "What", "Of", "Since", "Steps", "Stands at", "What holds it"),
            (
                (
                    one.id,
                    one.kind.value.replace("_", " "),
                    one.subject,
                    one.began_at,
                    f"{one.done_count} of {len(one.steps)}",
                    one.phase.value if one.current is None else one.current.step.value.replace("_", " "),
                    "" if one.current is None else one.current.told,
                )
                for one in found
            ),
            whole=("Saga",),
        )
        if not found:
            say("No saga was begun yet. One begins when a contract is won or amended.")
    return 1 if any(one.needs_person for one in found) else 0


@saga_app.command
def show(saga: SagaName, /, *, common: Common = COMMON) -> int:
    """One saga: every step with what it rests on, and what holds the next. Exit code 1 where it needs a person."""
    return asyncio.run(_show(common, saga))


async def _show(common: Common, name: str) -> int:
    async with _desk(common) as desk:
        found = desk.look(desk.find(name))
    return _tell(common, found)


@saga_app.command
def undo(
    saga: SagaName,
    /,
    *,
    because: Annotated[str, Parameter(help="Why it is taken back.")],
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Take a saga back: its steps are waited for in the other order, as billing takes back what they rest on."""
    return asyncio.run(_undo(common, saga, because, person(who, common=common)))


async def _undo(common: Common, name: str, because: str, actor: str) -> int:
    async with _desk(common) as desk:
        back = desk.undo(name, actor=actor, because=because)
    _tell(common, back)
    return 0


def _tell(common: Common, found: "Saga") -> int:
    if common.json:
        emit({"saga": found, "needs_person": found.needs_person})
        return 1 if found.needs_person else 0
    say(f"{found.kind.value.replace('_', ' ').capitalize()} of {found.subject}: {found.phase.value}.")
    say(f"It began {found.began_at:%Y-%m-%d %H:%M} UTC with {found.cause}. Correlation {found.correlation}.")
    if found.undone_because is not None:
        say(f"{found.undone_by} has it undone: {found.undone_because}")
    table(
        "Steps",
        ("", "Step", "Stands", "What was seen", "It rests on"),
        (
            (number, one.step.value.replace("_", " "), one.sight.value.replace("_", " "), one.told, one.proof or "")
            for number, one in enumerate(found.steps, start=1)
        ),
        whole=("It rests on",),
    )
    for one in found.findings:
        say(f"Finding of {shown(one.found_at)}: {one.told}")
    return 1 if found.needs_person else 0

"""`accordant review`: what only a person can say about whose record it is: list, show, and six ways to answer."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

from cyclopts import App, Parameter

from accordant.cli.operate import Because, Who
from accordant.cli.options import COMMON, Common, charter_in_force, now, opened_hub, opened_store, person
from accordant.cli.render import amounts, counted, emit, say, table
from accordant.kernel.errors import RejectedError

if TYPE_CHECKING:
    from accordant.store.engine import Database
    from accordant.views.review import CaseView

review_app = App(name="review", help="Say whose record it is where only a person can; every answer can be undone.")

Name = Annotated[str, Parameter(help="A case (rev_...), or the customer by its id at its owner.")]
Record = Annotated[str, Parameter(help="The record's own id in the target.")]


@review_app.command(name="list")
def list_cases(*, common: Common = COMMON) -> int:
    """What waits for a person, the most recurring revenue first. Exit code 1 when anything waits."""
    from accordant.views.review import review_queue

    with opened_store(common) as database:
        queue = review_queue(database, now=now(), zone=_zone(database))
    if common.json:
        emit(queue)
        return 1 if queue.open else 0
    table(
        "Whose record is it?",
        ("Case", "Customer", "At", "A month", "Offered", "Why"),
        (
            (
                one.id,
                (one.party.name if one.party is not None else None) or one.customer,
                f"{one.system} {one.object}",
                amounts(one.party.mrr if one.party is not None else None),
                one.records,
                one.why,
            )
            for one in queue.cases
        ),
        right=("A month", "Offered"),
        whole=("Case",),
    )
    say(f"{counted(queue.open, 'question')} waiting. `accordant review show CASE` lays the records side by side.")
    return 1 if queue.open else 0


@review_app.command
def show(case: Annotated[str, Parameter(help="The case, rev_...")], /, *, common: Common = COMMON) -> int:
    """One case: the customer beside each record that is offered, what speaks for it, and what was decided so far."""
    from accordant.views.review import case_view

    with opened_store(common) as database:
        seen = case_view(database, case, now=now(), zone=_zone(database))
    if seen is None:
        raise RejectedError(f"There is no case {case[:60]!r}.", remedy="`accordant review list` shows what waits.")
    if common.json:
        emit(seen)
    else:
        _tell_case(seen)
    return 0


def _zone(database: "Database") -> ZoneInfo:
    charter = charter_in_force(database)
    return ZoneInfo(charter.timezone if charter is not None else "UTC")


def _tell_case(seen: "CaseView") -> None:
    case = seen.decided.case
    who = (seen.party.name if seen.party is not None else None) or case.subject.external_id
    worth = amounts(seen.party.mrr if seen.party is not None else None)
    say(f"{who}, {case.subject.external_id}, {worth} a month: which {case.object} of {case.system} is it?", case.why)
    say(f"State: {seen.decided.state}.")
    for record in seen.records:
        table(
            f"{record.candidate.id}, by its {record.rung}",
            ("", "Customer", "Record", "Compared"),
            ((line.attribute, line.ours, line.theirs, line.verdict) for line in record.lines),
        )
        for one in record.considered.evidence:
            word = "against" if one.against else "for"
            say(f"  {one.what} speaks {word} it ({one.strength} of 100): {one.ours} / {one.theirs}")
    table(
        "Decided so far",
        ("No.", "What", "Record", "By", "When", "Why"),
        ((one.number, one.action, one.target_id or "", one.actor, one.at, one.reason) for one in seen.history),
        right=("No.",),
    )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Word:
    """What goes with every answer."""

    because: Because = ""
    system: Annotated[str | None, Parameter(help="The target, where the customer has records in several.")] = None
    who: Who = None


_WORD = Word()


@review_app.command
def accept(name: Name, record: Record, /, *, word: Word = _WORD, common: Common = COMMON) -> int:
    """This record is the customer's: link it, and let its writes go on."""
    return asyncio.run(_decide(common, "accept", name, record, word))


@review_app.command
def create(name: Name, /, *, word: Word = _WORD, common: Common = COMMON) -> int:
    """None of them is: have a record of its own made."""
    return asyncio.run(_decide(common, "create", name, None, word))


@review_app.command
def reject(
    name: Name,
    record: Annotated[str | None, Parameter(help="One record; all that are offered if it is left out.")] = None,
    /,
    *,
    word: Word = _WORD,
    common: Common = COMMON,
) -> int:
    """This record is not the customer's: never offer the two to each other again."""
    return asyncio.run(_decide(common, "reject", name, record, word))


@review_app.command
def split(name: Name, /, *, word: Word = _WORD, common: Common = COMMON) -> int:
    """Take a wrong link apart: the customer's facts do not go to that record any more."""
    return asyncio.run(_decide(common, "split", name, None, word))


@review_app.command
def undo(name: Name, /, *, word: Word = _WORD, common: Common = COMMON) -> int:
    """Take back the last decision that stands. Both stay in the history."""
    return asyncio.run(_decide(common, "undo", name, None, word))


async def _decide(common: Common, action: str, name: str, record: str | None, word: Word) -> int:
    from accordant.canonical.review import ReviewAction
    from accordant.operations.review import Declined

    async with opened_hub(common) as hub:
        answer = await hub.review_room.decide(
            ReviewAction(action),
            name,
            actor=person(word.who, common=common),
            reason=word.because,
            target_id=record,
            system=word.system,
        )
    if isinstance(answer, Declined):
        raise RejectedError(answer.sentence, remedy=answer.remedy)
    if common.json:
        emit(answer)
    else:
        say(answer.sentence, *((answer.by_hand,) if answer.by_hand else ()))
    return 0


@review_app.command
def duplicates(
    system: Annotated[str, Parameter(help="The target whose records are looked through, by its name in the charter.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Records of a target that are one and the same by the ladder, as the last scan saw them. Exit code 1 for any."""
    return asyncio.run(_duplicates(common, system))


async def _duplicates(common: Common, system: str) -> int:
    async with opened_hub(common) as hub:
        found = hub.review_room.duplicates(system)
    if common.json:
        emit(found)
        return 1 if found else 0
    for group in found:
        table(
            f"Keep {group.survivor.id}: {group.survivor.name or 'no name'}",
            ("Record", "Name", "Customers", "Because of"),
            ((one.record.id, one.record.name or "", one.customers, one.because) for one in group.others),
            right=("Customers",),
            whole=("Record",),
        )
    say(f"{counted(len(found), 'group')} of duplicates. `accordant review merge` takes customers to the one to keep.")
    return 1 if found else 0


@review_app.command
def merge(
    survivor: Annotated[str, Parameter(help="The record that is kept, by its own id.")],
    *others: Annotated[str, Parameter(help="The records that are the same.")],
    system: Annotated[str, Parameter(help="The target, by its name in the charter.")],
    because: Because = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Take the customers of duplicate records to the one that is kept. The records are merged in the target by hand."""
    return asyncio.run(_merge(common, system, (survivor, *others), because, person(who, common=common)))


async def _merge(common: Common, system: str, records: tuple[str, ...], because: str, actor: str) -> int:
    from accordant.operations.review import Declined

    async with opened_hub(common) as hub:
        answers = await hub.review_room.merge(system, records[0], records[1:], actor=actor, reason=because)
    declined = [answer for answer in answers if isinstance(answer, Declined)]
    if common.json:
        emit(answers)
        return 1 if declined else 0
    for answer in answers:
        say(answer.sentence, *((answer.remedy,) if isinstance(answer, Declined) else ()))
    if not declined:
        say(f"Merge {', '.join(records[1:])} into {records[0]} in {system} by hand now: no interface of it does that.")
    return 1 if declined else 0

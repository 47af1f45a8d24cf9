"""`accordant conflicts`: list, show, restore, release. A person's word on two values for one field."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from accordant.canonical.charter import Audience
from accordant.cli.options import (
    COMMON,
    AudienceOption,
    Common,
    charter_in_force,
    now,
    opened_hub,
    opened_store,
    person,
)
from accordant.cli.render import counted, emit, field_text, say, shown, table
from accordant.governance.sensitivity import LEAST, lens
from accordant.kernel.errors import RejectedError

if TYPE_CHECKING:
    from accordant.canonical.conflicts import Choice, Claim
    from accordant.operations.restore import Prospect, Restored
    from accordant.views.conflicts import ConflictLine

conflicts_app = App(name="conflicts", help="Two values for one field: what was kept, what lost, and what you decide.")

Who = Annotated[str | None, Parameter(name="--as", help="Your name, for the trail; else the operating system's user.")]
Reason = Annotated[str, Parameter(help="Why, in a sentence for the trail.")]


@conflicts_app.command(name="list")
def list_conflicts(
    *,
    all_of_them: Annotated[bool, Parameter(name="--all", negative="", help="Those a rule decided, too.")] = False,
    record: Annotated[str, Parameter(help="Only those of one record: system:Object/key.")] = "",
    audience: AudienceOption = LEAST,
    common: Common = COMMON,
) -> int:
    """Fields that wait for your decision; with --all every conflict, newest first. Exit code 1 when any waits."""
    from accordant.views.conflicts import conflicts
    from accordant.views.masked import masked

    with opened_store(common) as database:
        only_open = not all_of_them and not record
        found = conflicts(database, now=now(), only_open=only_open, record=record)
        found = masked(found, lens(charter_in_force(database), audience))
    if common.json:
        emit(found)
        return 1 if found.open else 0
    if not found.lines:
        say("No field waits for a person." if only_open else "There was no conflict yet.")
    table(
        "Conflicts",
        ("Conflict", "State", "Record", "Field", "Owner's value", "Target's value", "Rule"),
        (
            (
                line.conflict.id,
                line.state.value,
                line.conflict.record,
                line.conflict.contested.field,
                field_text(line.conflict.contested.owner.value),
                field_text(line.conflict.contested.target.value),
                line.conflict.contested.ruling.rule.replace("_", " "),
            )
            for line in found.lines
        ),
        whole=("Conflict",),
    )
    if found.before is not None:
        say(f"Older ones are left out: there are {counted(found.total, 'conflict')} in all.")
    return 1 if found.open else 0


@conflicts_app.command
def show(
    conflict_id: Annotated[str, Parameter(help="The conflict: cfl_...")],
    /,
    *,
    audience: AudienceOption = LEAST,
    common: Common = COMMON,
) -> int:
    """Both values with their origins, the rule, and what each of your choices would do now."""
    return asyncio.run(_show(common, conflict_id, audience))


async def _show(common: Common, conflict_id: str, audience: Audience) -> int:
    from accordant.operations.restore import ConflictUnknown
    from accordant.views.conflicts import conflict_line
    from accordant.views.masked import masked

    async with opened_hub(common) as hub:
        line = conflict_line(hub.database, conflict_id, now=hub.clock(), zone=hub.rulebook.zone)
        if line is None:
            raise ConflictUnknown(f"There is no conflict {conflict_id[:60]!r}.")
        offered: tuple[Prospect, ...] = ()
        closed = ""
        try:
            offered = hub.prospects(conflict_id)
        except RejectedError as error:
            closed = str(error)
        seen = lens(hub.charter, audience)
        line, offered = masked(line, seen), masked(offered, seen)
    if common.json:
        emit({"conflict": line, "choices": offered, "closed": closed})
    else:
        _tell(line, offered, closed)
    return 0


def _tell(line: "ConflictLine", offered: "tuple[Prospect, ...]", closed: str) -> None:
    contested = line.conflict.contested
    say(
        f"{contested.field} of {line.conflict.record} ({line.conflict.target_id}): {line.state.value}.",
        f"Found {shown(line.conflict.found_at)} by {line.conflict.found_by}. {contested.ruling.sentence}",
    )
    table(
        "Two values",
        ("Side", "System", "Value", "Since", "By", "Event"),
        (_side("owner", contested.owner), _side("target", contested.target)),
        right=("Event",),
    )
    say(f"Last confirmed {shown(contested.confirmed_at)}: {field_text(contested.confirmed)}.")
    if line.stand is not None:
        say(f"In force now: {line.stand.sentence}")
    table(
        "Decided",
        ("When", "By", "Choice", "Why"),
        ((one.at, one.actor, one.choice.value, one.reason) for one in line.decisions),
    )
    table(
        "Your choices",
        ("Choice", "Would write", "Now"),
        ((one.choice.value, field_text(one.value), _outlook(one)) for one in offered),
    )
    if closed:
        say(closed)


def _side(name: str, claim: "Claim") -> tuple[object, ...]:
    return (name, claim.system, field_text(claim.value), claim.at, claim.by or "unknown", claim.seq or "")


def _outlook(one: "Prospect") -> str:
    if one.is_refused:
        return f"refused: {one.because}"
    return f"waits: {one.because}" if one.because else "is written at once"


@conflicts_app.command
def restore(
    conflict_id: Annotated[str, Parameter(help="The conflict: cfl_...")],
    /,
    *,
    value: Annotated[
        Literal["owner", "target"] | None,
        Parameter(help="Whose value the field shall have; the one that lost if it is left out."),
    ] = None,
    reason: Reason = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Give a field the value that lost, or decide one that waits. It stays until the owner says something new."""
    from accordant.canonical.conflicts import Choice

    chosen = None if value is None else Choice(value)
    return asyncio.run(_decide(common, conflict_id, chosen, reason=reason, actor=person(who, common=common)))


@conflicts_app.command
def release(
    conflict_id: Annotated[str, Parameter(help="The conflict of a field the loop breaker stopped: cfl_...")],
    /,
    *,
    reason: Reason = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Let a field be written again that went back and forth too often."""
    from accordant.canonical.conflicts import Choice

    return asyncio.run(_decide(common, conflict_id, Choice.RELEASE, reason=reason, actor=person(who, common=common)))


async def _decide(common: Common, conflict_id: str, choice: "Choice | None", *, reason: str, actor: str) -> int:
    from accordant.canonical.conflicts import Choice, Side
    from accordant.operations.restore import ConflictClosed, ConflictUnknown, RestoreOrder
    from accordant.views.masked import masked

    async with opened_hub(common) as hub:
        conflict = hub.conflicts.find(conflict_id)
        if conflict is None:
            raise ConflictUnknown(f"There is no conflict {conflict_id[:60]!r}.")
        if choice is None:
            winner = conflict.contested.ruling.winner
            if winner is None:
                raise ConflictClosed("No value has lost yet: the field waits.", remedy="Add --value owner or target.")
            choice = Choice.TARGET if winner is Side.OWNER else Choice.OWNER
        done = hub.restore(RestoreOrder(conflict_id=conflict_id, choice=choice, actor=actor, reason=reason))
        done = masked(done, lens(hub.charter))
    if common.json:
        emit(done)
    else:
        _tell_done(conflict_id, done)
    return 0


def _tell_done(conflict_id: str, done: "Restored") -> None:
    outlook = f"It waits: {done.prospect.because}" if done.prospect.because else "The courier writes it next."
    say(f"Decided for {conflict_id}: {done.decision.choice.value}.")
    say(f"The field is to hold {field_text(done.prospect.value)}. {outlook}")

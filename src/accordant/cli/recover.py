"""Commands for what went wrong: `redrive`, `replay`, and `patterns`, which names what keeps going wrong."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.canonical.charter import Automation
from accordant.cli.operate import Because, Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.rehearse import instant
from accordant.cli.render import Meter, counted, emit, err, say, shown, table
from accordant.governance.sensitivity import lens
from accordant.kernel.errors import RejectedError
from accordant.ports.replay import ReplayClass, ReplayJob, ReplayOrder, ReplayScope
from accordant.views.masked import masked

if TYPE_CHECKING:
    from accordant.bootstrap import Hub
    from accordant.operations.patterns import LetterGroup
    from accordant.operations.redrive import Redriven, RedriveRefusal

patterns_app = App(name="patterns", help="What keeps going wrong: list, name.")

_REFUSALS_SHOWN = 20


def redrive(
    *ids: Annotated[str, Parameter(help="Dead letters by id: int_... or event/NUMBER.")],
    matching: Annotated[str | None, Parameter(help="All whose reason, name or place holds this text.")] = None,
    pattern: Annotated[str | None, Parameter(help="All of this error pattern, by its key or its name.")] = None,
    because: Because = "",
    defect: Annotated[str, Parameter(help="What was mended, so that it will go this time.")] = "",
    fix: Annotated[str, Parameter(help="Where: accordant VERSION, charter VERSION, or a reference of your own.")] = "",
    count_only: Annotated[
        bool, Parameter(negative="", help="Say how many would go back and what is missing; change nothing.")
    ] = False,
    waive_window: Annotated[
        bool, Parameter(negative="", help="Let somebody else redrive letters whose event is too old.")
    ] = False,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Put dead letters back at the head of their lanes. Without ids, --matching or --pattern: list them by pattern."""
    if matching is not None and pattern is not None:
        raise RejectedError("Choose by a text or by a pattern, not both.", remedy="Leave one of them out.")
    actor = person(who, common=common)
    if count_only or waive_window:
        return asyncio.run(_look(common, ids, matching, pattern, actor=actor, because=because, waive=waive_window))
    return asyncio.run(
        _redrive(common, ids, matching, pattern, because=because, defect=defect, fix=fix, yes=yes, actor=actor)
    )


def _chosen(
    hub: "Hub", ids: tuple[str, ...], matching: str | None, pattern: str | None
) -> "tuple[list[str], tuple[LetterGroup, ...]]":
    """The letters that were named, with the groups they lie in. Raises RejectedError where there are none."""
    groups = hub.recovery.groups(text=matching or "", pattern=pattern or "")
    chosen = list(ids) or [name for group in groups for name in group.ids]
    if not chosen:
        said = f"tells of {matching!r}" if pattern is None else f"is of the pattern {pattern!r}"
        raise RejectedError(f"No dead letter {said}.", remedy="Run `accordant redrive` to list them.")
    return chosen, masked(groups, lens(hub.charter))


async def _redrive(
    common: Common,
    ids: tuple[str, ...],
    matching: str | None,
    pattern: str | None,
    *,
    because: str,
    defect: str,
    fix: str,
    yes: bool,
    actor: str,
) -> int:
    from accordant.operations.redrive_checks import RedriveOrder

    async with opened_hub(common) as hub:
        if not ids and matching is None and pattern is None:
            _list_letters(common, masked(hub.recovery.groups(), lens(hub.charter)))
            return 0
        chosen, groups = _chosen(hub, ids, matching, pattern)
        if not yes and not _agreed(chosen, groups):
            return 2
        done = hub.recovery.redrive(chosen, RedriveOrder(actor=actor, reason=because, defect=defect, fix=fix))
    _tell_redriven(common, done)
    return 1 if done.refused else 0


async def _look(
    common: Common,
    ids: tuple[str, ...],
    matching: str | None,
    pattern: str | None,
    *,
    actor: str,
    because: str,
    waive: bool,
) -> int:
    async with opened_hub(common) as hub:
        chosen, groups = _chosen(hub, ids, matching, pattern)
        waived = hub.recovery.waive(chosen, actor=actor, reason=because) if waive else ()
        plan = hub.recovery.plan(chosen, actor=actor)
    if common.json:
        emit(
            {
                "chosen": len(chosen),
                "waived": waived,
                "intents": [intent.id for intent in plan.intents],
                "events": [event.seq for event in plan.events],
                "refused": plan.refused,
            }
        )
        return 0
    if waive:
        say(f"The window is waived for {counted(len(waived), 'dead letter')}, for seven days. Somebody else redrives.")
        return 0
    say(
        f"{counted(len(chosen), 'dead letter')}: {counted(len(plan.intents), 'write')} and "
        f"{counted(len(plan.events), 'event')} would go back to the head of their lanes. Nothing was changed."
    )
    _tell_groups(chosen, groups)
    _tell_refused(plan.refused)
    return 0


def _list_letters(common: Common, groups: "tuple[LetterGroup, ...]") -> None:
    if common.json:
        emit({"groups": groups})
        return
    if not groups:
        say("There are no dead letters. Writes that are refused for good and events that fail are listed here.")
    table(
        "Dead letters",
        ("Count", "Pattern", "First", "What and why"),
        (
            (group.count, _called(group), group.ids[0], f"{group.where.capitalize()}: {group.reason}")
            for group in groups
        ),
        right=("Count",),
        whole=("First", "Pattern"),
    )
    _tell_remedies(groups)


def _called(group: "LetterGroup") -> str:
    return group.pattern.key if group.known is None else group.known.name


def _tell_remedies(groups: "tuple[LetterGroup, ...]") -> None:
    for known in dict.fromkeys(group.known for group in groups if group.known is not None):
        say(f"{known.name}: {known.remedy} ({known.named_by})")


def _tell_groups(chosen: list[str], groups: "tuple[LetterGroup, ...]") -> None:
    for group in groups:
        count = len(set(group.ids) & set(chosen))
        if count:
            say(f"  {shown(count)} × {group.where}: {group.reason}")


def _agreed(chosen: list[str], groups: "tuple[LetterGroup, ...]") -> bool:
    """Ask on a terminal; anywhere else say what would happen and how to have it happen."""
    console = err()
    console.print(f"To be put back at the head of their lanes: {counted(len(chosen), 'dead letter')}.")
    for group in groups:
        count = len(set(group.ids) & set(chosen))
        if count:
            console.print(f"  {shown(count)} × {group.where}: {group.reason}", markup=False)
    if not sys.stdin.isatty():
        console.print("Nothing was changed. Add --yes to do it.")
        return False
    return console.input("Put them back? [y/N] ", markup=False).strip().lower() in {"y", "yes"}


def _tell_redriven(common: Common, done: "Redriven") -> None:
    if common.json:
        emit(done)
        return
    say(f"Put back: {counted(len(done.intents), 'write')}, {counted(len(done.events), 'event')}.")
    if done.waiting_lanes:
        say(f"Still stopped over other dead letters of theirs: {counted(len(done.waiting_lanes), 'lane')}.")
    _tell_refused(done.refused)


def _tell_refused(refused: "tuple[RedriveRefusal, ...]") -> None:
    table("Refused", ("Dead letter", "Why"), ((one.id, one.reason) for one in refused[:_REFUSALS_SHOWN]))
    if len(refused) > _REFUSALS_SHOWN:
        say(f"and {shown(len(refused) - _REFUSALS_SHOWN)} more; --json holds them all.")


@patterns_app.command(name="list")
def list_patterns(*, common: Common = COMMON) -> int:
    """What dead letters tell, grouped by error pattern, and the patterns that people described."""
    return asyncio.run(_list_patterns(common))


async def _list_patterns(common: Common) -> int:
    async with opened_hub(common) as hub:
        groups = masked(hub.recovery.groups(), lens(hub.charter))
        known = hub.recovery.patterns.known()
    counts: dict[str, int] = {}
    texts = {one.key: one.text for one in known.values()}
    for group in groups:
        counts[group.pattern.key] = counts.get(group.pattern.key, 0) + group.count
        texts[group.pattern.key] = group.pattern.text
    order = sorted(texts, key=lambda key: (-counts.get(key, 0), texts[key]))
    if common.json:
        emit(
            {
                "patterns": [
                    {"key": key, "text": texts[key], "count": counts.get(key, 0), "known": known.get(key)}
                    for key in order
                ]
            }
        )
        return 0
    if not order:
        say("No error pattern was met or described yet.")
    table(
        "Error patterns",
        ("Key", "Now", "Name", "What it says"),
        ((key, counts.get(key, 0), known[key].name if key in known else "", texts[key]) for key in order),
        right=("Now",),
        whole=("Key",),
    )
    for key in order:
        if key in known:
            say(f"{known[key].name}: {known[key].remedy} ({known[key].named_by})")
    return 0


@patterns_app.command(name="name")
def name_pattern(
    key: Annotated[str, Parameter(help="The pattern's key, from `accordant patterns list`.")],
    name: Annotated[str, Parameter(help="What to call it.")],
    /,
    *,
    remedy: Annotated[str, Parameter(help="What helps, for whoever meets it next.")],
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Give an error pattern a name and a remedy; both are shown wherever it is met again."""
    return asyncio.run(_name_pattern(common, key, name, remedy=remedy, actor=person(who, common=common)))


async def _name_pattern(common: Common, key: str, name: str, *, remedy: str, actor: str) -> int:
    async with opened_hub(common) as hub:
        described = hub.recovery.describe(key, name=name, remedy=remedy, actor=actor)
    if common.json:
        emit(described)
    else:
        say(f"{described.key} is called {described.name} now. Its remedy is shown wherever it is met.")
    return 0


def replay(
    *,
    event: Annotated[int | None, Parameter(help="One event, by its number.")] = None,
    entity: Annotated[str | None, Parameter(help="All events of one entity: its id, or SYSTEM:TYPE/ID.")] = None,
    event_type: Annotated[str | None, Parameter(name="--type", help="All events of one type.")] = None,
    window: Annotated[
        tuple[str, str] | None, Parameter(help="What arrived from the first instant until the second.")
    ] = None,
    everything: Annotated[bool, Parameter(name="--all", negative="", help="Every event that was settled.")] = False,
    only: Annotated[
        list[ReplayClass] | None, Parameter(name="--class", help="money, subscription or support; all in this order.")
    ] = None,
    include_automations: Annotated[
        list[Automation] | None, Parameter(help="Classes of automation that may act. None of them does otherwise.")
    ] = None,
    resume_job: Annotated[str | None, Parameter(name="--resume", help="Go on with a replay by its id.")] = None,
    count_only: Annotated[bool, Parameter(negative="", help="Say how many events; change nothing.")] = False,
    because: Because = "",
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Walk past events once more, money first: what was missed is done, what was done is not done twice."""
    named = [one for one in (event, entity, event_type, window) if one is not None]
    if resume_job is None and not named and not everything:
        raise RejectedError("Nothing was chosen.", remedy="Name --event, --entity, --type, --window or --all.")
    scope = ReplayScope(
        event=event,
        entity=entity,
        event_type=event_type,
        since=instant(window[0] if window else None, "--window"),
        until=instant(window[1] if window else None, "--window"),
    )
    order = ReplayOrder(
        scope=scope,
        actor=person(who, common=common),
        reason=because,
        classes=tuple(only or ReplayClass),
        automations=tuple(include_automations or ()),
    )
    return asyncio.run(_replay(common, order, job_id=resume_job, count_only=count_only, yes=yes))


async def _replay(common: Common, order: ReplayOrder, *, job_id: str | None, count_only: bool, yes: bool) -> int:
    async with opened_hub(common) as hub:
        if job_id is None:
            count = hub.recovery.count_replay(order)
            told = ", ".join(f"{shown(number)} {name.value}" for name, number in count.classes)
            if count_only:
                if common.json:
                    emit({"total": count.total, "classes": dict(count.classes)})
                else:
                    say(f"To walk: {counted(count.total, 'event')} ({told}). Nothing was changed.")
                return 0
            if not yes and not _may_replay(f"To walk: {counted(count.total, 'event')} ({told})."):
                return 2
        with Meter("Walking") as meter:
            job = (
                hub.recovery.replay(order, progress=meter)
                if job_id is None
                else hub.recovery.resume_replay(job_id, progress=meter)
            )
    return _tell_replay(common, job)


def _may_replay(told: str) -> bool:
    console = err()
    console.print(told)
    if not sys.stdin.isatty():
        console.print("Nothing was changed. Add --yes to do it.")
        return False
    return console.input("Walk them? [y/N] ", markup=False).strip().lower() in {"y", "yes"}


def _tell_replay(common: Common, job: ReplayJob) -> int:
    seen = job.progress
    if common.json:
        emit(job)
    else:
        say(
            f"Walked {counted(seen.done, 'event')} as {job.id}.",
            f"Changed something: {shown(seen.changed)}; planned because of it: {counted(seen.intents, 'write')}.",
        )
        if seen.stopped:
            say(f"{counted(seen.stopped, 'event')} could not be processed.")
        if seen.doubtful:
            say(
                f"{counted(len(seen.doubtful), 'event')} need their owner asked: "
                "run accordant reconcile --source SYSTEM --repair, or redrive them where they stand aside."
            )
    return 1 if seen.stopped or seen.doubtful else 0

"""Commands that start something: `reconcile`, `pause`, `resume`. Each says what it did, to how many."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from accordant.canonical.charter import Audience
from accordant.cli.options import COMMON, AudienceOption, Common, now, opened_hub, person
from accordant.cli.render import Meter, amounts, counted, emit, field_text, say, shown, table
from accordant.governance.sensitivity import LEAST, lens
from accordant.kernel.errors import RejectedError
from accordant.views.masked import masked

if TYPE_CHECKING:
    from accordant.bootstrap import Hub
    from accordant.operations.compare_source import SourceComparison
    from accordant.operations.reconcile import Reconciliation
    from accordant.ports.reconcile import Discrepancy

_ROUNDS_MAX = 100_000
_STOPPABLE = (
    "A flow, system:NAME, object:SYSTEM/OBJECT, class:AUTOMATION, nonessential, customers-and-money, or writes."
)

Who = Annotated[str | None, Parameter(name="--as", help="Your name, for the trail; else the operating system's user.")]
Because = Annotated[str, Parameter(help="Why, in a sentence for the trail.")]


def reconcile(
    flow: Annotated[str | None, Parameter(help="One flow; every flow if it is left out.")] = None,
    /,
    *,
    source: Annotated[
        str | None, Parameter(help="Compare this owner's customers and subscriptions with the hub.")
    ] = None,
    hierarchy: Annotated[
        bool, Parameter(negative="", help="Compare which customers stand below which, in the CRM and elsewhere.")
    ] = False,
    bills: Annotated[
        str | None, Parameter(help="Compare this owner's bills with the hub, its books and the ERP at once.")
    ] = None,
    repair: Annotated[bool, Parameter(negative="", help="Put right what may be, then compare again.")] = False,
    limit: Annotated[int, Parameter(help="Findings to print; all of them are kept.")] = 20,
    audience: AudienceOption = LEAST,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Compare what targets hold with what they should hold, field by field. Exit code 1 when anything is found."""
    if hierarchy:
        if flow is not None or source is not None or repair:
            raise RejectedError(
                "Hierarchies are compared by themselves, and only people put them right.",
                remedy="Leave the flow, --source and --repair out.",
            )
        return asyncio.run(_reconcile_hierarchy(common, audience, limit=limit, actor=person(who, common=common)))
    if bills is not None:
        if flow is not None or source is not None or repair:
            raise RejectedError(
                "Bills are compared by themselves, and nothing is put right by that.",
                remedy="Leave the flow, --source and --repair out.",
            )
        return asyncio.run(_reconcile_bills(common, bills, audience, limit=limit, actor=person(who, common=common)))
    if source is not None:
        if flow is not None:
            raise RejectedError("Compare a flow or a source, not both.", remedy="Leave one of them out.")
        return asyncio.run(
            _reconcile_source(common, source, audience, repair=repair, limit=limit, actor=person(who, common=common))
        )
    return asyncio.run(
        _reconcile_flows(common, flow, audience, repair=repair, limit=limit, actor=person(who, common=common))
    )


async def _reconcile_flows(
    common: Common, flow: str | None, audience: Audience, *, repair: bool, limit: int, actor: str
) -> int:
    async with opened_hub(common) as hub:
        names = [flow] if flow is not None else [part.name for part in hub.charter.flows]
        found = [await _compare(hub, name, actor) for name in names]
        planned = 0
        if repair:
            for one in found:
                planned += hub.repair(one.run.id, actor=actor).records if one.repairable else 0
            await _deliver(hub, names)
            found = [await _compare(hub, name, actor) for name in names]
        found = masked(found, lens(hub.charter, audience))
    if common.json:
        emit({"repaired": planned, "flows": [_as_json(one, limit) for one in found]})
    else:
        if repair:
            say(f"Planned again and delivered: {counted(planned, 'record')}. This is how they compare now.")
        _tell_comparisons(found, limit)
    return 0 if all(one.is_clean for one in found) else 1


async def _compare(hub: "Hub", flow: str, actor: str) -> "Reconciliation":
    with Meter(f"Comparing {flow}") as meter:
        return await hub.reconcile(flow, actor=actor, progress=meter)


async def _deliver(hub: "Hub", flows: list[str]) -> None:
    """Carry out what was planned here and now; a server that runs meanwhile shares the work through leases."""
    targets = {route.flow.target for name in flows if (route := hub.rulebook.route(name)) is not None}
    for target in sorted(targets):
        for _ in range(_ROUNDS_MAX):
            if await hub.deliver_round(target) == 0:
                break


async def _reconcile_source(
    common: Common, system: str, audience: Audience, *, repair: bool, limit: int, actor: str
) -> int:
    async with opened_hub(common) as hub:
        with Meter(f"Reading {system}") as meter:
            found = await hub.compare_source(system, actor=actor, feed=repair, progress=meter)
        if found.fed:
            await _process(hub)
            with Meter(f"Reading {system} again") as meter:
                again = await hub.compare_source(system, actor=actor, progress=meter)
            found = msgspec.structs.replace(again, fed=found.fed)
        found = masked(found, lens(hub.charter, audience))
    if common.json:
        emit({"fed": found.fed, "statuses": found.statuses, "comparison": _as_json(found.reconciliation, limit)})
    else:
        _tell_source(system, found, limit)
    return 0 if found.reconciliation.is_clean else 1


async def _reconcile_hierarchy(common: Common, audience: Audience, *, limit: int, actor: str) -> int:
    from accordant.charters import connector_facts
    from accordant.operations.compare_hierarchy import compare_hierarchies, sides_of

    async with opened_hub(common) as hub:
        sides = sides_of(hub.charter, hub.outbounds, {one.name: one.category for one in connector_facts().values()})
        with Meter("Reading hierarchies") as meter:
            found = await compare_hierarchies(
                sides=sides, book=hub.book, state=hub.state, actor=actor, clock=hub.clock, progress=meter
            )
        found = masked(found, lens(hub.charter, audience))
    names = [f"{one.system}:{one.object}" for one in sides]
    if common.json:
        emit({"compared": names, "comparison": _as_json(found, limit)})
    else:
        say(f"Looked at: {', '.join(names)}." if names else "No target of a flow of accounts keeps a hierarchy.")
        _tell_comparisons([found], limit)
    return 0 if found.is_clean else 1


async def _reconcile_bills(common: Common, system: str, audience: Audience, *, limit: int, actor: str) -> int:
    from accordant.web.bill_walk import compare_bills_of

    async with opened_hub(common) as hub:
        with Meter(f"Reading the bills of {system}") as meter:
            found = await compare_bills_of(hub, system, actor=actor, progress=meter)
        found = masked(found, lens(hub.charter, audience))
    if common.json:
        emit({"comparison": _as_json(found, limit)})
    else:
        _tell_comparisons([found], limit)
    return 0 if found.is_clean else 1


async def _process(hub: "Hub") -> None:
    for _ in range(_ROUNDS_MAX):
        if hub.process_round() == 0 and await hub.reread_round() == 0:
            return


def _as_json(found: "Reconciliation", limit: int) -> dict[str, object]:
    return {
        "run": found.run,
        "verdict": _verdict(found),
        "in_flight": found.in_flight,
        "counts": found.counts,
        "exposure": found.exposure,
        "unknown_exposure": found.unknown_exposure,
        "repairable": found.repairable,
        "findings": found.shown[:limit],
    }


def _verdict(found: "Reconciliation") -> str:
    if found.is_empty:
        return "nothing compared"
    return "clean" if found.is_clean else "findings"


def _tell_comparisons(found: "list[Reconciliation]", limit: int) -> None:
    table(
        "Compared",
        ("Flow", "Records", "Fields", "In flight", "Findings", "At stake a month", "Verdict"),
        (
            (
                one.run.flow,
                one.run.records,
                one.run.fields,
                one.in_flight,
                one.run.discrepancies,
                _stake(one),
                _verdict(one),
            )
            for one in found
        ),
        right=("Records", "Fields", "In flight", "Findings"),
    )
    for one in found:
        _tell_findings(one, limit)
    if any(one.is_empty for one in found):
        say("Where nothing was compared, nothing is proved: no record is desired or held there yet.")


def _stake(found: "Reconciliation") -> str:
    if not found.run.discrepancies:
        return "none"
    unknown = f"{shown(found.unknown_exposure)} of unknown worth" if found.unknown_exposure else ""
    return " + ".join(part for part in (amounts(found.exposure) if found.exposure else "", unknown) if part)


def _tell_findings(found: "Reconciliation", limit: int) -> None:
    table(
        f"Findings in {found.run.flow}",
        ("What", "Cause", "Field", "Count"),
        ((one.kind.replace("_", " "), one.cause.replace("_", " "), one.field or "", one.count) for one in found.counts),
        right=("Count",),
    )
    table(
        f"The first {shown(min(limit, len(found.shown)))} of {shown(found.run.discrepancies)}",
        ("Record", "Finding"),
        ((one.record, _finding(one)) for one in found.shown[:limit]),
        whole=("Record",),
    )
    if found.repairable:
        say(f"{counted(found.repairable, 'finding')} can be put right: add --repair.")


def _finding(one: "Discrepancy") -> str:
    """What is different, in a sentence or two."""
    if one.field is None:
        return f"{one.kind.replace('_', ' ').capitalize()}. {one.explanation}"
    return f"{one.field} is {field_text(one.actual)} and should be {field_text(one.expected)}. {one.explanation}"


def _tell_source(system: str, found: "SourceComparison", limit: int) -> None:
    table(
        f"{system} against the hub",
        ("Kind", "Status", f"At {system}", "In the hub"),
        ((one.kind.value, one.status, one.at_owner, one.in_hub) for one in found.statuses),
        right=(f"At {system}", "In the hub"),
    )
    if found.fed:
        say(f"Taken in from {system}: {counted(found.fed, 'answer')}. This is how they compare now.")
    _tell_comparisons([found.reconciliation], limit)


def pause(
    what: Annotated[str, Parameter(help=_STOPPABLE)],
    /,
    *,
    because: Because = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Stop a flow, an object, a system, a class of automation or every write, at once. Intake goes on."""
    return _switch(common, what, because, person(who, common=common), thrown=True)


def resume(
    what: Annotated[str, Parameter(help=_STOPPABLE)],
    /,
    *,
    because: Because = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Let what was stopped by a switch go on. What was planned meanwhile is sent as today's desired record."""
    return _switch(common, what, because, person(who, common=common), thrown=False)


def _switch(common: Common, what: str, because: str, actor: str, *, thrown: bool) -> int:

    from accordant.cli.options import charter_in_force, opened_store
    from accordant.operations.pause import pause as throw
    from accordant.operations.pause import resume as release
    from accordant.operations.pause import switch_of
    from accordant.store.switches import SqlSwitchboard

    with opened_store(common) as database:
        charter = charter_in_force(database)
        if charter is None:
            raise RejectedError("No charter was in force here yet.", remedy="Run `accordant serve` once.")
        switch = switch_of(charter, what)
        board = SqlSwitchboard(database)
        act = throw if thrown else release
        changed = act(switch=switch, actor=actor, reason=because, board=board, now=now())
    state = "stopped" if thrown else "released"
    if common.json:
        emit({"switch": switch, "state": state, "changed": changed})
    elif changed:
        say(f"{switch} is {state}, as {actor} asked: {because}")
    else:
        say(f"{switch} was {state} already; nothing changed.")
    return 0

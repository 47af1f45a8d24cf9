"""`accordant phase`: how far each flow may go, what is missing for more, and the two hands that widen it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.canonical.charter import Phase
from accordant.cli.operate import Because, Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.render import emit, say, table
from accordant.governance.access import Act
from accordant.governance.sensitivity import LEAST, lens

if TYPE_CHECKING:
    from accordant.canonical.phases import EvidencePack, Grant
    from accordant.operations.pack import Choice
    from accordant.views.phases import FlowPhase

phase_app = App(name="phase", help="How far each flow may go: status, request, approve, narrow, export.")

Flow = Annotated[str, Parameter(help="The flow.")]


@phase_app.command
def status(
    flow: Annotated[str | None, Parameter(help="One flow, with its evidence; every flow if it is left out.")] = None,
    /,
    *,
    common: Common = COMMON,
) -> int:
    """How far each flow may go and why, and the proposals that wait for a second person."""
    return asyncio.run(_status(common, flow))


async def _status(common: Common, flow: str | None) -> int:
    from accordant.views.phases import phase_board

    async with opened_hub(common) as hub:
        board = phase_board(hub.database, hub.charter, hub.phase_office.standing(), now=hub.clock())
        pack = None if flow is None else hub.phase_office.evidence(flow)
    shown = [line for line in board if flow is None or line.flow == flow]
    if common.json:
        emit({"flows": shown, "evidence": pack})
    else:
        _tell_board(shown)
        if pack is not None:
            _tell_pack(pack)
    return 0 if pack is None or pack.is_green else 1


def _tell_board(board: "list[FlowPhase]") -> None:
    table(
        "Phases",
        ("Flow", "In force", "Charter", "Class", "Why no more"),
        ((one.flow, one.in_force, one.wished, one.automation, one.text) for one in board),
        whole=("Flow",),
    )
    table(
        "Waiting for a second person",
        ("Proposal", "Flow", "Phase", "Requested by", "Until"),
        (
            (kept.id, kept.flow, kept.wished, kept.requested_by, f"{kept.expires_at:%Y-%m-%d %H:%M}")
            for one in board
            for kept in one.proposals
        ),
        whole=("Proposal",),
    )


def _tell_pack(pack: "EvidencePack") -> None:
    verdict = "green" if pack.is_green else "not green"
    say(f"Evidence for {pack.flow}, from {pack.before} to {pack.wished}: {verdict}.")
    if pack.waived:
        say(f"None is asked for: {pack.waived}")
    table(
        "Evidence",
        ("Item", "Holds", "Figure", "What was found"),
        ((one.name, one.is_green, one.figure, one.text) for one in pack.items),
    )


@phase_app.command
def request(
    flow: Flow,
    phase: Annotated[Phase, Parameter(help="One step wider than it is.")],
    /,
    *,
    because: Because = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Ask for one wider phase. The hub collects the evidence; it is refused while anything of it is red."""
    return asyncio.run(_request(common, flow, phase, because=because, actor=person(who, Act.REQUEST, common=common)))


async def _request(common: Common, flow: str, phase: Phase, *, because: str, actor: str) -> int:
    async with opened_hub(common) as hub:
        proposal, pack = hub.phase_office.request(flow, phase, actor=actor, reason=because)
        approvers = hub.charter.phases.approvers
    if common.json:
        emit({"proposal": proposal, "evidence": pack})
        return 0
    _tell_pack(pack)
    say(
        f"Requested as {proposal}, for seven days.",
        f"One of {', '.join(approvers) or 'nobody (phases.approvers is empty)'}, other than {actor}, may approve it:",
        f"  accordant phase approve {proposal} --as NAME --because REASON",
    )
    return 0


@phase_app.command
def approve(
    proposal: Annotated[str, Parameter(help="The proposal, ask_...")],
    /,
    *,
    because: Because = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Grant what another person requested: this flow, this phase, these fields, on this evidence, once."""
    return asyncio.run(_approve(common, proposal, because=because, actor=person(who, Act.APPROVE, common=common)))


async def _approve(common: Common, proposal: str, *, because: str, actor: str) -> int:
    async with opened_hub(common) as hub:
        grant = hub.phase_office.approve(proposal, actor=actor, reason=because)
    _tell_grant(common, grant)
    return 0


@phase_app.command
def narrow(
    flow: Flow,
    phase: Annotated[Phase, Parameter(help="Narrower than it is.")],
    /,
    *,
    because: Because = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Take a flow back, at once. One person is enough; going forward again asks for evidence and two."""
    return asyncio.run(_narrow(common, flow, phase, because=because, actor=person(who, Act.STOP, common=common)))


async def _narrow(common: Common, flow: str, phase: Phase, *, because: str, actor: str) -> int:
    async with opened_hub(common) as hub:
        grant = hub.phase_office.narrow(flow, phase, actor=actor, reason=because)
    _tell_grant(common, grant)
    return 0


def _tell_grant(common: Common, grant: "Grant") -> None:
    if common.json:
        emit({"grant": grant})
        return
    fields = ", ".join(grant.write_fields) or "none"
    say(f"{grant.flow} is {grant.phase}, by {grant.granted_by}: {grant.reason}", f"Fields: {fields}.")


@phase_app.command
def export(
    what: Annotated[
        str | None,
        Parameter(help="A proposal (ask_...), or a flow for today's evidence; without one the connectors alone."),
    ] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="The archive to write.")] = Path("evidence.zip"),
    common: Common = COMMON,
) -> int:
    """Write evidence as one file: a flow's pack, what each connector can and what proves it, and all digests."""
    from accordant.operations.pack import pack_file

    pack, choice = asyncio.run(_collect(common, what))
    out.write_bytes(pack_file(pack, choice))
    if common.json:
        green = {} if pack is None else {"green": pack.is_green}
        emit({"file": str(out), **green, "connectors": len(choice.connectors), "samples": len(choice.samples)})
    else:
        say(f"The evidence for {'the connectors' if pack is None else pack.flow} is in {out}.")
    return 0


async def _collect(common: Common, what: str | None) -> "tuple[EvidencePack | None, Choice]":
    from accordant.charters import connector_evidence
    from accordant.operations.pack import Choice
    from accordant.views.masked import masked
    from accordant.views.samples import trace_samples

    async with opened_hub(common) as hub:
        pack = None
        if what is not None:
            pack = hub.phases.read(what).pack if what.startswith("ask_") else hub.phase_office.evidence(what)
        systems = sorted(hub.charter.systems.items())
        samples = tuple(sample for name, _ in systems for sample in trace_samples(hub.database, name))
        choice = Choice(
            connectors=connector_evidence(),
            connections=tuple((name, system.connector) for name, system in systems),
            samples=masked(samples, lens(hub.charter, LEAST)),
        )
    return pack, choice

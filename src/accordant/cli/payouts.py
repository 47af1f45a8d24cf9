"""`accordant payouts`: what each payout consists of, down to the payments, and which units nobody can explain."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.cli.options import COMMON, Common, opened_hub, opened_store
from accordant.cli.render import emit, say, shown, table

if TYPE_CHECKING:
    from accordant.analytics.settlement import PayoutTrace
    from accordant.operations.settlement import SettlementReport

payouts_app = App(name="payouts", help="Payouts, followed to the payments they consist of.")


@payouts_app.default
def list_payouts(
    *,
    limit: Annotated[int, Parameter(help="The newest so many.")] = 50,
    common: Common = COMMON,
) -> int:
    """The newest payouts and whether every unit of them is explained. Exit code 1 when one is not."""
    from accordant.views.payouts import payouts

    with opened_store(common) as database:
        found = payouts(database, limit=limit)
    if common.json:
        emit({"payouts": [_as_json(system, one) for system, one in found]})
    else:
        table(
            "Payouts",
            ("System", "Payout", "Status", "Arrives", "Amount", "Movements", "Unexplained", "At the bank", "Finding"),
            (
                (
                    system,
                    one.payout.external_id,
                    one.payout.status,
                    one.payout.arrives_on,
                    shown(one.payout.amount),
                    len(one.lines),
                    shown(one.difference) if one.is_listed else "",
                    "" if one.arrival.line is None else one.arrival.line.booked_on,
                    one.findings[0] if one.findings else "",
                )
                for system, one in found
            ),
            right=("Amount", "Movements", "Unexplained"),
            whole=("Payout",),
        )
        if not found:
            say("No payout is known yet. They come with the events payout.created and payout.paid.")
    return 1 if any(one.findings for _, one in found) else 0


@payouts_app.command
def trace(
    payout_id: Annotated[str, Parameter(help="Its owner's id, as in po_123.")], /, *, common: Common = COMMON
) -> int:
    """One payout: each movement with its fee, and the payment, bill and customer behind it.

    Exit code 1 when something of it is not explained.
    """
    from accordant.views.payouts import payout

    with opened_store(common) as database:
        system, found = payout(database, payout_id)
    if common.json:
        emit(_as_json(system, found))
        return 1 if found.findings else 0
    table(
        f"Payout {payout_id} of {system}: {shown(found.payout.amount)}, {found.payout.status}",
        ("Movement", "Type", "Amount", "Fee", "Net", "Comes of", "Bill", "Customer", "Transfers", "Merchant"),
        (
            (
                one.movement.external_id,
                one.movement.type.replace("_", " "),
                shown(one.movement.amount),
                shown(one.movement.fee),
                shown(one.movement.net),
                one.movement.source_id or "",
                one.invoice_id or "",
                one.customer_id or "",
                ", ".join(part.movement.reference or part.movement.external_id for part in one.funded_by),
                one.merchant or "",
            )
            for one in found.lines
        ),
        right=("Amount", "Fee", "Net"),
        whole=("Movement", "Comes of"),
    )
    if (line := found.arrival.line) is not None:
        say(f"The bank booked {shown(line.amount)} on {line.booked_on} as {line.reference}.")
    for told in found.findings:
        say(told)
    if not found.findings:
        say(f"{len(found.lines):,} movements come to {shown(found.net)}: every unit is explained.")
    return 1 if found.findings else 0


@payouts_app.command
def ask(
    system: Annotated[str | None, Parameter(help="One system; every one that tells if left out.")] = None,
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Ask what the paid payouts settled. What is told enters the inbox; a running server works it off."""
    from accordant.operations.settlement import told_of_settlement

    reports = asyncio.run(_ask(common, system))
    if common.json:
        emit({"settlements": reports})
    else:
        for one in reports:
            say(told_of_settlement(one))
        if not reports:
            say("No system tells what its payouts settled, or none has an API key.")
    return 0


async def _ask(common: Common, system: str | None) -> "list[SettlementReport]":
    from accordant.web.lookout import Lookout

    async with opened_hub(common) as hub:
        lookout = Lookout(hub)
        return [await lookout.settle(name) for name in ((system,) if system is not None else lookout.settling)]


def _as_json(system: str, one: "PayoutTrace") -> dict[str, object]:
    return {
        "system": system,
        "payout": one.payout,
        "movements": one.lines,
        "net": one.net,
        "arrival": one.arrival,
        "difference": one.difference,
        "findings": one.findings,
    }

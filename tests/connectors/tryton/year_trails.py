"""From a line of Tryton's journal to billing's event and the opportunity, one of each kind of entry, and back."""

from __future__ import annotations

from typing import Any

import msgspec

from accordant.connectors.tryton.rpc import Rpc
from accordant.ledger.entries import JournalEntry
from accordant.views.journal import every_entry
from tests.connectors.ledger_story import Company
from tests.connectors.tryton.year_desk import Desk

ALL = {"language": "en"}
CANCELLED = " cancelled"
#: Entries that a month's end makes: there is no event behind them.
OF_NO_EVENT = frozenset(
    {
        "revenue_recognised",
        "revenue_unbilled",
        "unbilled_billed",
        "revalued",
        f"revalued{CANCELLED}",
    }
)
#: What billing says of a payout when it is asked: it has no event for that.
ASKED = "payout.settled"


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """Where one line of Tryton leads. ``lost`` is what was expected and not found."""

    rule: str
    line: str
    event_type: str | None
    bill: str | None
    opportunity: str | None
    lost: tuple[str, ...]


async def trails(one: Company, desk: Desk, rpc: Rpc, *, deal: str, customer: str) -> tuple[Trail, ...]:
    """One line of each kind, of the deal's customer where it has one of that kind; and the deal's own documents."""
    said = {event.id for event in one.stripe.events()}
    back = await desk.told("why", f"salesforce:Opportunity/{deal}")
    reached = {sent["target_id"] for trail in back["books"] for sent in trail["sent"]}
    found = []
    for rule, entry in sorted(_of_each_kind(one, customer).items()):
        line, document = await _line_of(rpc, entry.id)
        (told,) = (await desk.told("why", f"tryton:account.move.line/{line}"))["books"]
        found.append(
            _judged(rule, entry, told, line, said, deal if _is_of(entry, customer) else None, document, reached)
        )
    return tuple(found)


def _of_each_kind(one: Company, customer: str) -> dict[str, JournalEntry]:
    found: dict[str, JournalEntry] = {}
    rules: dict[str, str] = {}
    for entry in every_entry(one.hub.database):
        rules[entry.id] = entry.cause.rule
        rule = entry.cause.rule if entry.reverses is None else f"{rules[entry.reverses]}{CANCELLED}"
        if rule not in found or _is_of(entry, customer):
            found[rule] = entry
    return found


def _is_of(entry: JournalEntry, customer: str) -> bool:
    return (entry.party or "").endswith(customer)


def _judged(
    rule: str,
    entry: JournalEntry,
    told: dict[str, Any],
    line: int,
    said: set[str],
    deal: str | None,
    document: str,
    reached: set[str],
) -> Trail:
    lost = []
    if told["entry"]["id"] != entry.id:
        lost.append(f"entry {entry.id}")
    # What a person said of the books is a delivery of the hub's own.
    is_billings = told["connection"] == "stripe" and told["event_type"] != ASKED
    if rule not in OF_NO_EVENT and (told["event"] is None or (is_billings and told["event"] not in said)):
        lost.append("event")
    if deal is not None and told["bill"] is not None and not (told["opportunity"] or "").endswith(deal):
        lost.append("opportunity")
    if deal is not None and told["bill"] is not None and document not in reached:
        lost.append(f"{document} from the opportunity")
    return Trail(
        rule=rule,
        line=f"account.move.line/{line}",
        event_type=told["event_type"],
        bill=told["bill"],
        opportunity=told["opportunity"],
        lost=tuple(lost),
    )


async def _line_of(rpc: Rpc, key: str) -> tuple[int, str]:
    """A line of the document under a key, and the document."""
    moves = await rpc.find("account.move", [["description", "=", key]], ["state"], context=ALL)
    if moves:
        move, document = moves[0]["id"], f"account.move,{moves[0]['id']}"
    else:
        (invoice,) = await rpc.find("account.invoice", [["reference", "=", key]], ["move"], context=ALL)
        move, document = invoice["move"], f"account.invoice,{invoice['id']}"
    lines = await rpc.find("account.move.line", [["move", "=", move]], ["debit"], context=ALL, limit=None)
    return lines[0]["id"], document

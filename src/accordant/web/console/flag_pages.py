"""What does not fit, and may writing go on? The packet of a red flag, and the words of the people who decide."""

import asyncio
from collections.abc import Mapping
from functools import partial

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from accordant.canonical.intents import WireValue
from accordant.canonical.red_flags import RedFlag
from accordant.governance.access import Act
from accordant.governance.red_flags import approvals, persons_needed
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money
from accordant.operations.flag_desk import REASON_LENGTH_MAX, FlagDesk
from accordant.store.flags import SqlFlagBook
from accordant.store.state import SqlState
from accordant.views.packets import Packet, packet, packet_digest
from accordant.web.console import words
from accordant.web.console.frame import Answer, Console, Problem, Visitor, address, as_file
from accordant.web.console.threads import in_thread

_TOLD = {
    "approve": "Approved. Writing goes on for this customer.",
    "waits": "Your approval is kept. Another person has to agree before anything is written.",
    "refuse": "Refused. Writing stays stopped, and approvals given before count no more.",
}
_HEADER = ("system", "record", "field", "before", "after")


def _desk(console: Console) -> FlagDesk:
    hub = console.hub
    return FlagDesk(
        SqlFlagBook(hub.database),
        SqlState(hub.database),
        rulebook=lambda: hub.rulebook,
        digest_of=partial(packet_digest, hub.database),
        clock=hub.clock,
        people=hub.people,
    )


@get("/flags/{flag:str}")
@in_thread
def flag_page(
    request: Visitor, console: NamedDependency[Console], flag: FromPath[str], told: FromQuery[str] = ""
) -> Answer:
    """What does not fit, and may writing go on?"""
    return _page(request, console, flag, told=_TOLD.get(told, ""))


def _page(
    request: Visitor, console: Console, flag: str, *, told: str = "", problem: str = "", status_code: int = 200
) -> Answer:
    name = flag.removesuffix(".json").removesuffix(".csv")
    found = packet(console.hub.database, name)
    if found is None:
        raise Problem(404, "No such red flag", "No red flag has this id.", "Choose one of the list at /trouble.")
    file = as_file(request, {"digest": found.digest, "packet": found}, name="packet", header=_HEADER, rows=_rows(found))
    if file is not None:
        return file
    part = console.hub.charter.red_flags
    needed = persons_needed(part, found.flag.kind)
    return console.page(
        request,
        "flag.html",
        found=found,
        digest=found.digest,
        figures=_figures(found.flag),
        needed=needed,
        given=approvals(found.decisions, found.digest),
        approvers=part.approvers,
        told=told,
        problem=problem,
        reason_max=REASON_LENGTH_MAX,
        status_code=status_code,
    )


def _figures(flag: RedFlag) -> list[tuple[str, str, str]]:
    """What does not fit, in words: amounts with their currency, nothing where there was nothing to compare with."""
    names = sorted((flag.before.keys() | flag.after.keys()) - {"currency"})
    return [(_label(name), _figure(name, flag.before), _figure(name, flag.after)) for name in names]


def _label(name: str) -> str:
    return name.removesuffix("_minor").replace("_", " ") if name.islower() else name


def _figure(name: str, values: Mapping[str, WireValue]) -> str:
    value, currency = values.get(name), values.get("currency")
    if name not in values:
        return ""
    if name.endswith("_minor") and isinstance(value, int) and isinstance(currency, str):
        return str(words.money(Money(value, currency)))
    return str(words.wire(value))


def _rows(found: Packet) -> list[tuple[object, ...]]:
    flag = found.flag
    names = sorted(flag.before.keys() | flag.after.keys())
    rows: list[tuple[object, ...]] = [
        (flag.system, flag.subject, name, flag.before.get(name), flag.after.get(name)) for name in names
    ]
    for target in found.targets:
        before = target.before or {}
        rows += [(target.system, target.record, name, before.get(name), target.after[name]) for name in target.after]
    return rows


@post("/flags/{flag:str}/{act:str}")
async def decide_flag(
    request: Visitor, console: NamedDependency[Console], flag: FromPath[str], act: FromPath[str]
) -> Answer | Redirect:
    """Approve or refuse what was looked at."""
    fields = await console.checked_form(request, Act.APPROVE)
    try:
        told = await asyncio.to_thread(_carry_out, request, console, flag, act, fields)
    except RejectedError as error:
        return await asyncio.to_thread(partial(_page, request, console, flag, problem=str(error), status_code=409))
    return Redirect(address(f"/flags/{flag}", told=told), status_code=303)


def _carry_out(request: Visitor, console: Console, flag: str, act: str, fields: dict[str, str]) -> str:
    desk, reason = _desk(console), fields.get("reason", "").strip()
    kind = SqlFlagBook(console.hub.database).find(flag).flag.kind
    person = console.person(request)
    if person is None and persons_needed(console.hub.charter.red_flags, kind) > 1:
        raise RejectedError(
            "Two different people have to approve this, and nobody is signed in by name.",
            remedy="Give each person a token (accordant people add), or use accordant flags approve --as NAME here.",
        )
    actor = person or console.actor(request)
    match act:
        case "approve":
            outcome = desk.approve(flag, digest=fields.get("packet", ""), actor=actor, reason=reason)
            return "waits" if outcome.is_open else "approve"
        case "refuse":
            desk.refuse(flag, actor=actor, reason=reason)
            return "refuse"
        case _:
            raise Problem(404, "No such step", "A red flag is approved or refused.", "Go back to the packet.")

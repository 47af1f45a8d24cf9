"""`accordant flags`: red flags with their packets, and the words that take them down or keep them up."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.canonical.charter import Audience
from accordant.cli.operate import Because, Who
from accordant.cli.options import COMMON, AudienceOption, Common, charter_in_force, opened_hub, opened_store, person
from accordant.cli.render import counted, emit, field_text, say, table
from accordant.governance.access import Act
from accordant.governance.sensitivity import LEAST, lens
from accordant.kernel.errors import RejectedError
from accordant.views.masked import masked

if TYPE_CHECKING:
    from accordant.bootstrap import Hub
    from accordant.canonical.red_flags import RedFlag
    from accordant.operations.flag_desk import FlagDesk, FlagOutcome
    from accordant.store.engine import Database
    from accordant.views.packets import Packet

flags_app = App(name="flags", help="Red flags and their approval packets: list, show, approve, refuse, export.")

Flag = Annotated[str, Parameter(help="The red flag, flg_...")]


@flags_app.command(name="list")
def list_flags(*, common: Common = COMMON) -> int:
    """Red flags that are open: what does not fit, and whose writes stand still. Exit code 1 when there are any."""
    from accordant.views.packets import listed_flags

    with opened_store(common) as database:
        found = listed_flags(database)
    if common.json:
        emit({"flags": found})
    elif not found:
        say("No red flag is open. Money that does not fit together stops its customer's writes and is listed here.")
    else:
        table(
            "Red flags",
            ("Flag", "Kind", "About", "Since", "Why"),
            ((one.id, one.kind.replace("_", " "), one.subject, one.raised_at, one.why) for one in found),
            whole=("Flag",),
        )
    return 1 if found else 0


@flags_app.command
def show(flag: Flag, /, *, audience: AudienceOption = LEAST, common: Common = COMMON) -> int:
    """The approval packet of a red flag: event, objects, times, tries, and the values in every system."""
    found = _covered(common, flag, audience)
    if common.json:
        emit({"packet": found, "digest": found.digest})
    else:
        _tell(found, _digest(common, flag))
    return 0


@flags_app.command
def approve(
    flag: Flag,
    /,
    *,
    packet: Annotated[str, Parameter(help="The digest of the packet you looked at, from `accordant flags show`.")],
    because: Because = "",
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Say that it is right as it is; writing goes on once enough different people have. Exit code 1 until then."""
    return asyncio.run(
        _decide(common, flag, actor=person(who, Act.APPROVE, common=common), because=because, digest=packet)
    )


@flags_app.command
def refuse(flag: Flag, /, *, because: Because = "", who: Who = None, common: Common = COMMON) -> int:
    """Say that it is wrong: writing stays stopped, and approvals given before count no more."""
    return asyncio.run(
        _decide(common, flag, actor=person(who, Act.APPROVE, common=common), because=because, digest=None)
    )


@flags_app.command
def export(
    flag: Flag,
    /,
    *,
    out: Annotated[Path, Parameter(help="The file to write.")] = Path("packet.json"),
    audience: AudienceOption = LEAST,
    common: Common = COMMON,
) -> int:
    """Write the packet as one file, covered for its readers."""
    import msgspec

    found = _covered(common, flag, audience)
    content = {"digest": _digest(common, flag), "packet": found}
    out.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    if common.json:
        emit({"file": str(out)})
    else:
        say(f"The packet of {flag} is in {out}.")
    return 0


def _covered(common: Common, flag: str, audience: Audience) -> "Packet":
    with opened_store(common) as database:
        charter = charter_in_force(database)
        found = _packet(database, flag)
    if charter is None:
        raise RejectedError("No charter was in force here yet.", remedy="Run `accordant serve` once.")
    return masked(found, lens(charter, audience))


def _packet(database: "Database", flag: str) -> "Packet":
    from accordant.ports.flags import FlagUnknown
    from accordant.views.packets import packet

    found = packet(database, flag)
    if found is None:
        raise FlagUnknown(f"There is no red flag {flag[:60]!r}.")
    return found


def _digest(common: Common, flag: str) -> str:
    """That of the values themselves, whatever is covered of them."""
    with opened_store(common) as database:
        return _packet(database, flag).digest


def _desk(hub: "Hub") -> "FlagDesk":
    from functools import partial

    from accordant.operations.flag_desk import FlagDesk
    from accordant.store.flags import SqlFlagBook
    from accordant.views.packets import packet_digest

    return FlagDesk(
        SqlFlagBook(hub.database),
        hub.state,
        rulebook=lambda: hub.rulebook,
        digest_of=partial(packet_digest, hub.database),
        clock=hub.clock,
        people=hub.people,
    )


async def _decide(common: Common, flag: str, *, actor: str, because: str, digest: str | None) -> int:
    async with opened_hub(common) as hub:
        desk = _desk(hub)
        if digest is None:
            outcome = desk.refuse(flag, actor=actor, reason=because)
        else:
            outcome = desk.approve(flag, digest=digest, actor=actor, reason=because)
    _tell_outcome(common, outcome)
    return 1 if digest is not None and outcome.is_open else 0


def _tell_outcome(common: Common, outcome: "FlagOutcome") -> None:
    if common.json:
        emit(outcome)
        return
    said = f"{outcome.flag.id} was {'approved' if outcome.decision.verdict == 'approve' else 'refused'} by "
    say(f"{said}{outcome.decision.actor}: {outcome.decision.reason}")
    if not outcome.is_open:
        say("Writing goes on for its customer.")
    else:
        more = counted(outcome.missing, "different person", "different people")
        say(f"Nothing of its customer is written until {more} more have approved it.")


def _tell(found: "Packet", digest: str) -> None:
    flag = found.flag
    say(f"{flag.id}, {flag.kind.replace('_', ' ')}: {flag.why}", f"{'Open' if found.is_open else 'Approved'}.")
    event = found.event
    told = (
        "none: that is what does not fit"
        if event is None
        else f"{event.external_id} ({event.event_type}, event {event.seq})"
    )
    table(
        "What and when",
        ("", "Value"),
        (
            ("Source event", told),
            ("Affected", ", ".join(found.affected)),
            *_there(flag),
            ("Happened", (flag.said_at or "unknown") if event is None else event.occurred_at),
            ("Received", "unknown" if event is None else event.received_at),
            ("Raised", flag.raised_at),
            ("Packet", digest),
        ),
    )
    names = sorted(flag.before.keys() | flag.after.keys())
    table(
        f"At {flag.system}",
        ("Value", "Before", "After"),
        ((name, field_text(flag.before.get(name)), field_text(flag.after.get(name))) for name in names),
    )
    for target in found.targets:
        table(
            f"{target.record}, confirmed {target.confirmed_at or 'never'}",
            ("Field", "Holds", "Should hold"),
            (
                (name, field_text((target.before or {}).get(name)), field_text(target.after.get(name)))
                for name in target.differing
            ),
        )
        if not target.differing:
            say(f"{target.record} holds what it should.")
    table(
        "Tries",
        ("When", "What", "Try", "Outcome"),
        ((one.at, one.what, one.attempt, one.outcome) for one in found.tries),
        right=("Try",),
    )
    table(
        "Words",
        ("When", "Who", "Said", "Why"),
        ((one.at, one.actor, one.verdict.value, one.reason) for one in found.decisions),
    )


def _there(flag: "RedFlag") -> list[tuple[str, str]]:
    """The record at its target and who changed it, where a flag is about one."""
    if flag.target_id is None:
        return []
    return [("Record there", flag.target_id), ("Changed by", flag.changed_by or f"{flag.system} does not tell")]

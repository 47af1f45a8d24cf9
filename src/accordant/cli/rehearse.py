"""`accordant rehearse`: what a changed charter would change, before it is in force. Nothing is sent to anybody."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from accordant.canonical.rehearsal import RehearsalOrder
from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.render import Meter, amounts, counted, emit, field_text, say, table
from accordant.kernel.errors import ConfigurationError, RejectedError

if TYPE_CHECKING:
    from accordant.canonical.rehearsal import Difference, Rehearsal
    from accordant.operations.rehearse import Progress, Tell

_WORDS = {
    "new": "new",
    "gone": "no longer kept",
    "changed": "changed",
    "cleared": "cleared",
    "released": "sent from now on",
    "withheld": "no longer sent",
    "left_out": "left out",
    "held": "held",
    "refused": "refused",
}


def rehearse(
    *,
    flow: Annotated[str | None, Parameter(help="Compare this flow only.")] = None,
    since: Annotated[
        str | None, Parameter(help="Compare accounts that events since then spoke of: a day or an instant, UTC.")
    ] = None,
    until: Annotated[str | None, Parameter(help="Let history end there, and judge by what was known then.")] = None,
    quick: Annotated[bool, Parameter(negative="", help="Do not walk history again; take what is held.")] = False,
    sample: Annotated[int, Parameter(help="Differences to print; --out keeps all of them.")] = 20,
    out: Annotated[Path | None, Parameter(help="Write every difference to this file, one JSON object a line.")] = None,
    ordered: Annotated[
        str | None, Parameter(help="Hold the rehearsal of this id, which was ordered from the console.")
    ] = None,
    fail_on_difference: Annotated[bool, Parameter(negative="", help="Exit code 1 when anything differs.")] = False,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """What the charter in --charter would change if it were in force: walks stored history, sends nothing."""
    from accordant.canonical.rehearsal import RehearsalOrder

    if sample < 0:
        raise RejectedError("A sample has 0 differences or more.", remedy="Give --sample a number such as 20.")
    if ordered is not None:
        return asyncio.run(_hold_ordered(common, ordered))
    order = RehearsalOrder(
        flow=flow, since=instant(since, "--since"), until=instant(until, "--until"), quick=quick, sample=sample
    )
    found = asyncio.run(_rehearse(common, order, out, person(who, common=common)))
    if common.json:
        emit(found)
    else:
        _tell(found, out)
    return 1 if fail_on_difference and (found.differences or found.stopped) else 0


async def _hold_ordered(common: Common, run_id: str) -> int:
    async with opened_hub(common, proposed=True) as hub:
        with Meter("Rehearsing") as meter:
            found = hub.rehearsals.hold(run_id, progress=meter)
    say(f"{found.id}: {counted(found.differences, 'difference')}.")
    return 0


async def _rehearse(common: Common, order: "RehearsalOrder", out: Path | None, actor: str) -> "Rehearsal":
    async with opened_hub(common, proposed=True) as hub:
        with Meter("Rehearsing") as meter, _written_to(out) as tell:
            progress: Progress = meter
            return hub.rehearsals.rehearse(order, actor=actor, progress=progress, tell=tell)


@contextmanager
def _written_to(path: Path | None) -> Iterator["Tell | None"]:
    """Where every difference goes; the file appears whole, or not at all."""
    if path is None:
        yield None
        return
    encoder = msgspec.json.Encoder(order="deterministic")
    draft = path.with_name(f"{path.name}.part")
    try:
        with draft.open("wb") as file:

            def write(differences: "Sequence[Difference]") -> None:
                file.write(encoder.encode_lines(differences))

            yield write
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.", remedy="Name a file in a folder you may write to."
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def instant(text: str | None, flag: str) -> datetime | None:
    """An instant or a day as somebody typed it, in UTC. Raises RejectedError naming the option."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedError(
            f"{flag} {text!r} is no day and no instant.", remedy="Write it as 2026-03-01 or 2026-03-01T12:00:00Z."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _tell(found: "Rehearsal", out: Path | None) -> None:
    say(f"Charter {found.after} against {found.before}, which is in force.")
    _tell_history(found)
    if not found.differences:
        say(f"Nothing would differ in {counted(found.records, 'record')} of {counted(found.accounts, 'account')}.")
    else:
        say(f"{counted(found.differing, 'record')} of {found.records:,} would differ.")
    table(
        "What would differ",
        ("Flow", "Field", "How", "Count", "Sent", "There already", "Money"),
        (
            (one.flow, one.field or "whole record", _WORDS[one.kind], one.count, one.sent, one.there,
             amounts(one.money) if one.money else "")
            for one in found.counts
        ),
        right=("Count", "Sent", "There already", "Money"),
    )  # fmt: skip
    if found.unknown_money:
        say(f"Amounts in no known currency, not added up: {found.unknown_money:,}.")
    table(
        "For example",
        ("Record", "Field", "Today", "Then"),
        ((one.record, one.field or _WORDS[one.kind], field_text(one.before), _then(one)) for one in found.sample),
    )
    if found.unnamed:
        say(f"Without a name in their target, so not written: {counted(found.unnamed, 'record')}.")
        say(*(f"  {line}" for line in found.unnamed_sample))
    if found.due:
        say(f"Due anyway: {counted(found.due, 'record')} would be written without any change of the charter.")
    if out is not None:
        say(f"Every difference is in {out}. Personal values are covered.")
    say("Nothing was sent, and nothing came into force.")


def _then(one: "Difference") -> str:
    if one.kind in {"held", "refused", "gone"}:
        return f"{_WORDS[one.kind]}: {one.reason}" if one.reason else _WORDS[one.kind]
    if one.kind in {"released", "withheld", "left_out"}:
        return _WORDS[one.kind]
    return "" if one.field is None else field_text(one.after)


def _tell_history(found: "Rehearsal") -> None:
    if not found.walked:
        say("Quick: history was not walked again; entities were taken as they are held.")
        return
    left = found.left_out
    say(f"History was walked whole: {counted(found.events, 'event')}.")
    if found.until is not None:
        say(f"It ended at {found.until:%Y-%m-%d %H:%M} UTC; both charters are judged by what was known then.")
    elif found.unlike:
        say(
            f"Of {found.entities:,} entities {found.unlike:,} come out otherwise than they are held; "
            "their accounts are judged by what is held."
        )
        say(*(f"  {name}" for name in found.unlike_sample))
    else:
        say(f"It tells exactly what is held: {counted(found.entities, 'entity', 'entities')}.")
    if left.waiting or left.set_aside or left.erased:
        say(f"Left out: {left.waiting:,} waiting, {left.set_aside:,} set aside, {left.erased:,} erased.")
    if found.stopped:
        say(f"Not understood any more under this charter: {counted(found.stopped, 'event')}.")
        say(*(f"  {line}" for line in found.stopped_sample))

"""What a redrive asks before a dead letter goes back: a mended defect, a repeatable write, the window, the role.

Requirements 136 to 139: who may and under which checks. Pure; each answer is a sentence, or None where nothing is in
the way. Next: `redrive.py`, which asks.
"""

import re
from datetime import datetime, timedelta

import msgspec

from accordant.kernel.errors import RejectedError
from accordant.ports.connector import DestinationClass
from accordant.ports.redrive import WindowWaiver

#: For how long a second person's word lets a letter pass that its provider can no longer list.
WAIVER_LIFE = timedelta(days=7)

_RELEASE = re.compile(r"accordant[\s@/=-]*v?(\d+(?:\.\d+)*)", re.IGNORECASE)
_CHARTER = re.compile(r"charter[\s@/=-]*([0-9a-f]{6,64})", re.IGNORECASE)


class RedriveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who puts back, why, which defect was mended, and where: all of it is kept in the trail.

    ``fix`` refers to the mended state: ``accordant VERSION`` and ``charter VERSION`` are compared with what is running,
    anything else (a change at the target, a ticket) is taken at its word.
    """

    actor: str
    reason: str
    defect: str
    fix: str


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What is running now: the release of Accordant, and the version of the charter in force."""

    release: str
    charter: str


def check_order(order: RedriveOrder, *, installed: Installed, redrivers: tuple[str, ...]) -> None:
    """Raises RejectedError naming what the order lacks, a role it needs, or a fix that is not running here."""
    names = {"actor": order.actor, "reason": order.reason, "defect": order.defect, "fix": order.fix}
    lacking = [name for name, given in names.items() if not given.strip()]
    if lacking:
        raise RejectedError(
            f"A redrive needs its {' and its '.join(lacking)}.",
            remedy="Say who you are, why it is to be tried again, which defect was mended, and where that was done: "
            "accordant VERSION, charter VERSION, or a reference of your own.",
        )
    check_role(order.actor, redrivers)
    objection = fix_objection(order.fix, installed)
    if objection is not None:
        raise RejectedError(objection, remedy="Install or adopt it first, then redrive.")


def check_role(actor: str, redrivers: tuple[str, ...]) -> None:
    """Raises RejectedError where the charter names who may redrive, and this person is not among them."""
    if redrivers and actor.strip() not in redrivers:
        raise RejectedError(
            f"{actor.strip()} may not redrive.",
            remedy=f"The charter (lanes.redrivers) lets: {', '.join(redrivers)}.",
        )


def fix_objection(fix: str, installed: Installed) -> str | None:
    """Why the named fix is not running here; None when it is, or when it lies outside of Accordant."""
    if (named := _RELEASE.fullmatch(fix.strip())) is not None:
        if _numbers(installed.release) < _numbers(named.group(1)):
            return f"The fix is in Accordant {named.group(1)}; {installed.release} is running."
    elif (named := _CHARTER.fullmatch(fix.strip())) is not None:
        wanted = named.group(1).lower()
        if not installed.charter.startswith(wanted) and not wanted.startswith(installed.charter):
            return f"The fix is in the charter {wanted}; {installed.charter} is in force."
    return None


def write_objection(target: str, offers: DestinationClass | None, *, is_answered: bool) -> str | None:
    """Why a write to this target may not be repeated (check 2): it has to offer something against writing twice.

    ``is_answered``: of the record's last request it is known what became of it, by an answer or by a person's word.
    """
    if offers is None:
        return f"{target} is not there to be written; put its system back into the charter first."
    if offers is DestinationClass.NOTHING and not is_answered:
        return (
            f"{target} offers nothing against writing twice and cannot be asked what became of the write: look there, "
            "then say what you found (accordant settle)."
        )
    return None


def window_objection(
    *, said_at: datetime | None, window_days: int | None, waiver: WindowWaiver | None, actor: str, now: datetime
) -> str | None:
    """Why a letter is too old to go back by one person's word (check 3).

    ``said_at`` is the provider's stamp of the event behind it, None where none is; ``window_days`` is how far back the
    provider lists its events, None where it lists none. Past that nobody can compare with what was said since, so a
    second person has to let it pass.
    """
    if said_at is None or now - said_at <= timedelta(days=window_days or 0):
        return None
    age_days = (now - said_at).days
    until = (
        "its provider lists no events" if window_days is None else f"its provider lists events for {window_days} days"
    )
    told = f"The event behind it is {age_days} days old and {until}"
    if waiver is None or now - waiver.granted_at > WAIVER_LIFE:
        return f"{told}: a second person has to waive the window first."
    if waiver.granted_by == actor.strip():
        return f"{told}: {waiver.granted_by} waived the window, so somebody else has to redrive it."
    return None


def _numbers(release: str) -> tuple[int, ...]:
    """The leading numbers of a release, without zeros at its end: 0.2.0rc1 is (0, 2)."""
    found = re.match(r"\d+(?:\.\d+)*", release)
    parts = [int(part) for part in found.group().split(".")] if found is not None else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)

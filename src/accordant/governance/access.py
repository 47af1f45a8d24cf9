"""Which role may do what, in one table; what it does not name is refused. Pure.

Whoever hands out tokens may not approve, and whoever approves hands out none: no single token can do both
(`docs/decisions`, on people). Source: reliability rule T28 of the design, requirement 136.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from accordant.canonical.people import Person, PersonRole, bare_name, same_person
from accordant.kernel.errors import RejectedError

#: A token that nobody renews ends by itself.
LIFE_DEFAULT = timedelta(days=90)
LIFE_MAX = timedelta(days=366)
#: What was opened by breaking the glass is closed again the next day.
LIFE_OF_BROKEN_GLASS = timedelta(days=1)
_NAME_LENGTH_MAX = 80


class Act(StrEnum):
    """What is asked for."""

    LOOK = "look"
    STOP = "stop or narrow"
    OPERATE = "operate"
    REQUEST = "request a widening"
    APPROVE = "approve"
    ADMIT = "hand out tokens"


MAY: dict[PersonRole, frozenset[Act]] = {
    PersonRole.VIEWER: frozenset({Act.LOOK}),
    PersonRole.OPERATOR: frozenset({Act.LOOK, Act.STOP, Act.OPERATE, Act.REQUEST}),
    PersonRole.APPROVER: frozenset({Act.LOOK, Act.STOP, Act.APPROVE}),
    PersonRole.ADMIN: frozenset({Act.LOOK, Act.STOP, Act.ADMIT}),
}
#: Whose word counts for others: a token like this, handed out beside others, takes two persons.
_WEIGHTY = frozenset({PersonRole.ADMIN, PersonRole.APPROVER})
_NEVER_TOGETHER = frozenset({PersonRole.ADMIN, PersonRole.APPROVER})


class AccessRefused(RejectedError):
    """This person may not do this."""


def may(roles: Iterable[PersonRole], act: Act) -> bool:
    """Whether any of these roles allows ``act``."""
    return any(act in MAY[role] for role in roles)


def demand(person: Person, act: Act) -> None:
    """Raises: AccessRefused where no role of ``person`` allows ``act``."""
    if not may(person.roles, act):
        able = ", ".join(role.value for role in PersonRole if act in MAY[role])
        held = ", ".join(sorted(role.value for role in person.roles))
        raise AccessRefused(
            f"{person.name} is {held} and may not {act.value}.", remedy=f"Ask somebody with the role: {able}."
        )


def check_new(name: str, roles: frozenset[PersonRole], lasts: timedelta, *, held: Sequence[Person]) -> None:
    """Whether somebody may get a token like this. ``held`` are the persons whose tokens are active.

    Raises: RejectedError with what is wrong and what to do instead.
    """
    clean = name.strip()
    if not clean or len(clean) > _NAME_LENGTH_MAX or not clean.isprintable() or set(clean) & set("(),:\"'`<>"):
        raise RejectedError(
            "This is no name for a person.",
            remedy=f"Write the name as the charter's approvers have it, {_NAME_LENGTH_MAX} characters at most, "
            "without brackets, quotation marks, commas or colons.",
        )
    known = next((one for one in held if same_person(one.name, clean)), None)
    if known is not None:
        raise RejectedError(
            f"{known.name} has a token until {known.expires_at:%Y-%m-%d}.",
            remedy=f"Revoke it first: accordant people revoke {known.id}.",
        )
    if not roles:
        raise RejectedError("A person without a role may do nothing.", remedy="Give at least one role.")
    if roles >= _NEVER_TOGETHER:
        raise RejectedError(
            "Nobody both hands out tokens and approves.", remedy="Make them two persons, or leave one role out."
        )
    if not timedelta(0) < lasts <= LIFE_MAX:
        raise RejectedError(
            "A token lasts at least an hour and at most a year.", remedy=f"Give 1 to {LIFE_MAX.days} days."
        )


def check_admission(
    *, admin: Person | None, name: str, held: Sequence[Person], glass_broken: bool, now: datetime
) -> None:
    """Whether tokens may be handed out or taken here: by an admin, to somebody else; or by whoever set the hub up.

    As long as no admin has an active token, the machine itself is trusted, which is how the first one gets in.
    Raises: AccessRefused.
    """
    if glass_broken or not any(may(one.roles, Act.ADMIT) for one in held):
        return
    if admin is None:
        raise AccessRefused(
            "Tokens are handed out and taken back by an admin.",
            remedy="Set ACCORDANT_TOKEN to an admin's. Without any: --break-glass REASON, for a day, with an alarm.",
        )
    if not admin.is_active(now):
        raise AccessRefused(f"The token of {admin.name} is {admin.state(now)}.", remedy="Use an active one.")
    demand(admin, Act.ADMIT)
    if same_person(admin.name, bare_name(name)):
        raise AccessRefused("Nobody hands a token to themselves.", remedy="Ask another admin.")


def needs_second(roles: frozenset[PersonRole], *, admin: Person | None, held: Sequence[Person]) -> bool:
    """Whether a token with these roles, handed out by ``admin``, waits until another person vouches for its holder.

    Only where there is somebody to ask. The machine, which gives the first ones, and broken glass ask nobody.
    """
    others = (one for one in held if admin is not None and one.id != admin.id and one.roles & _WEIGHTY)
    return bool(roles & _WEIGHTY) and any(others)


def check_voucher(voucher: Person, person: Person, *, now: datetime) -> None:
    """Whether ``voucher`` may say that ``person`` is somebody else than who handed them the token.

    Raises: AccessRefused, RejectedError.
    """
    if not voucher.is_active(now) or not voucher.roles & _WEIGHTY:
        raise AccessRefused(
            f"{voucher.name} may not vouch for anybody.", remedy="Ask an approver or an admin with an active token."
        )
    if same_person(voucher.name, person.added_by) or voucher.id == person.id:
        raise AccessRefused(
            f"{person.name} has the token from {person.added_by}, and it takes another person to vouch for them.",
            remedy="Ask another approver or admin.",
        )
    if not person.is_waiting or not person.is_held(now):
        raise RejectedError(f"Nobody has to vouch for {person.name}: the token is {person.state(now)}.")


def one_hand(requester: Person | None, approver: Person | None) -> str | None:
    """Who alone stands behind both of two persons, so that they may be one: one hand gave both tokens, unvouched."""
    if requester is None or approver is None or not same_person(requester.added_by, approver.added_by):
        return None
    return approver.added_by if approver.vouched_by is None and requester.vouched_by is None else None

"""`accordant people`: who has a token, for what, until when, and who vouched for them.

A token is shown once and kept as a digest.
"""

from datetime import timedelta
from typing import Annotated

from cyclopts import App, Parameter

from accordant.canonical.people import Person, PersonRole
from accordant.cli.operate import Because
from accordant.cli.options import COMMON, TOKEN_VARIABLE, Common, opened_store, people_office, person, token_holder
from accordant.cli.render import emit, say, table
from accordant.governance.access import LIFE_DEFAULT, AccessRefused, Act

people_app = App(name="people", help="Who has a token: add, vouch, list, revoke.")

Glass = Annotated[
    str, Parameter(name="--break-glass", help="Why it goes without an admin's token; for one day, with an alarm.")
]


@people_app.command
def add(
    name: Annotated[str, Parameter(help="The person, as the charter's approvers name them.")],
    /,
    *,
    role: Annotated[
        tuple[PersonRole, ...], Parameter(negative="", help="viewer, operator, approver or admin; may be repeated.")
    ],
    days: Annotated[int, Parameter(help="How long the token opens anything.")] = LIFE_DEFAULT.days,
    break_glass: Glass = "",
    common: Common = COMMON,
) -> int:
    """Give a person a token. The first is given by whoever set the hub up, later ones by an admin."""
    admin = token_holder(common)
    actor = person(None, Act.LOOK, common=common)
    with opened_store(common, make=True) as database:
        one, token = people_office(database).add(
            name, frozenset(role), timedelta(days=days), admin=admin, actor=actor, glass=break_glass
        )
    if common.json:
        emit({"person": one, "token": token})
        return 0
    say(
        f"{one.name} is {_roles(one)} until {one.expires_at:%Y-%m-%d %H:%M} UTC."
        + (" The token opens nothing until another approver or admin has vouched." if one.is_waiting else ""),
        "This is the token. It is shown this once; only its digest is kept:",
        "",
        f"  {token}",
        "",
        f"The console asks for it; at a terminal it is the variable {TOKEN_VARIABLE}.",
    )
    return 0


def _roles(one: Person) -> str:
    return ", ".join(sorted(role.value for role in one.roles))


@people_app.command(name="list")
def list_people(*, common: Common = COMMON) -> int:
    """Everybody who has or had a token."""
    from accordant.bootstrap import system_clock

    now = system_clock()
    with opened_store(common) as database:
        found = people_office(database).everybody()
    if common.json:
        emit({"people": [{"state": one.state(now), "person": one} for one in found]})
        return 0
    if not found:
        say("Nobody has a token: whoever types a name is believed, and marked as unverified. accordant people add")
    table(
        "People",
        ("Name", "Roles", "State", "Until", "Last used", "Given by", "Id"),
        (
            (
                one.name,
                _roles(one),
                one.state(now),
                f"{one.expires_at:%Y-%m-%d}",
                "never" if one.last_used_at is None else f"{one.last_used_at:%Y-%m-%d}",
                one.added_by if one.vouched_by is None else f"{one.added_by}, vouched for by {one.vouched_by}",
                one.id,
            )
            for one in found
        ),
        whole=("Id",),
    )
    return 0


@people_app.command
def vouch(
    who: Annotated[str, Parameter(help="The person's name, or the id that `accordant people list` shows.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Say that somebody with a new token is a person of their own. Another approver or admin does, with their token."""
    voucher = token_holder(common)
    if voucher is None:
        raise AccessRefused(
            "Who vouches for somebody proves who they are.", remedy=f"Set {TOKEN_VARIABLE} to your own token."
        )
    with opened_store(common) as database:
        one = people_office(database).vouch(who, voucher=voucher)
    if common.json:
        emit({"person": one.id, "name": one.name, "vouched_by": one.vouched_by})
    else:
        say(f"{one.name}'s token opens what {_roles(one)} may do, until {one.expires_at:%Y-%m-%d %H:%M} UTC.")
    return 0


@people_app.command
def revoke(
    who: Annotated[str, Parameter(help="The person's name, or the id that `accordant people list` shows.")],
    /,
    *,
    because: Because = "",
    break_glass: Glass = "",
    common: Common = COMMON,
) -> int:
    """Take a token back: nothing opens with it a second later. An admin does, or the person, with their own."""
    admin = token_holder(common)
    actor = person(None, Act.LOOK, common=common)
    with opened_store(common) as database:
        one = people_office(database).revoke(who, admin=admin, actor=actor, reason=because, glass=break_glass)
    if common.json:
        emit({"person": one.id, "name": one.name})
    else:
        say(f"The token of {one.name} is revoked.")
    return 0

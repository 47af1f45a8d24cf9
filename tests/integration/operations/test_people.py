"""Tokens of people: handed out once, taken back at once; who is nobody approves nothing where people have tokens."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from accordant.canonical.charter import Phase
from accordant.canonical.people import Person, PersonRole, is_unverified, same_person, unverified
from accordant.governance.access import MAY, AccessRefused, Act
from accordant.kernel.errors import RejectedError
from accordant.operations.people_office import PeopleOffice
from accordant.operations.widen import WideningRefused
from accordant.store.alerts import AlertQueue
from accordant.store.audit import verify_chain
from accordant.store.engine import Database
from accordant.store.migrate import migrate
from accordant.store.people import SqlPeople
from tests.integration.operations.kit import HandClock, an_installation
from tests.integration.operations.test_widen import ACCOUNTS, GATE, WHY, compared

MONTH = timedelta(days=30)
ADMIN, APPROVER = frozenset({PersonRole.ADMIN}), frozenset({PersonRole.APPROVER})
OPERATOR, VIEWER = frozenset({PersonRole.OPERATOR}), frozenset({PersonRole.VIEWER})


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    opened = Database(store_url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.fixture
def office(database: Database, clock: HandClock) -> PeopleOffice:
    return PeopleOffice(SqlPeople(database), clock, alarm=AlertQueue(database).add, random_bytes=os.urandom)


def lines(database: Database) -> list[tuple[str, str]]:
    with database.read() as connection:
        return [(row.kind, row.actor) for row in connection.execute(text("SELECT kind, actor FROM audit_entry"))]


def test_a_token_is_told_once_and_opens_until_it_is_taken_back(
    database: Database, office: PeopleOffice, clock: HandClock
) -> None:
    assert office.everybody() == ()
    root, key = office.add("Ruth Example", ADMIN, MONTH, admin=None, actor="root")
    assert office.is_configured
    assert root.added_by == "root (unverified)"
    ada, token = office.add("Ada", OPERATOR, MONTH, admin=office.identify(key), actor="")
    assert (ada.added_by, office.identify(token).name) == ("Ruth Example", "Ada")
    clock.move(seconds=1)
    assert office.holder(ada.id) is not None
    office.revoke("ada", admin=root, actor="", reason="She left.")
    clock.move(seconds=1)
    assert office.holder(ada.id) is None
    with pytest.raises(AccessRefused, match="opens nothing"):
        office.identify(token)
    assert lines(database) == [
        ("people.added", "root (unverified)"),
        ("people.added", "Ruth Example"),
        ("people.revoked", "Ruth Example"),
    ]
    told = AlertQueue(database).due(now=clock(), limit=10)
    assert len(told) == 3
    with database.read() as connection:
        assert verify_chain(connection).faults == ()


def test_no_token_is_kept_anywhere(database: Database, office: PeopleOffice) -> None:
    tokens = [office.add(f"P{number}", VIEWER, MONTH, admin=None, actor="root")[1] for number in range(3)]
    assert len({token.partition("_")[2] for token in tokens}) == 3
    assert all(len(token.rpartition("_")[2]) >= 1 for token in tokens)
    with database.read() as connection:
        for table in ("person", "audit_entry", "alert"):
            held = repr([tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))])  # noqa: S608
            assert not any(token in held or token[17:] in held for token in tokens)
        digests = set(connection.execute(text("SELECT digest FROM person")).scalars())
    assert digests == {hashlib.sha256(token.encode()).hexdigest() for token in tokens}


@pytest.mark.parametrize("change", ["", "x", "acd__", "acd_000000000000_" + "A" * 43])
def test_what_is_no_token_opens_nothing(office: PeopleOffice, change: str) -> None:
    _, token = office.add("Ada", VIEWER, MONTH, admin=None, actor="root")
    for wrong in (change, token[:-1], token + "A", token[:17] + "A" * 43, token.upper()):
        with pytest.raises(AccessRefused, match="opens nothing"):
            office.identify(wrong)
    assert office.identify(f" {token}\n").name == "Ada"


def test_a_token_runs_out_and_the_door_stays_shut(office: PeopleOffice, clock: HandClock) -> None:
    _, token = office.add("Ada", VIEWER, timedelta(days=1), admin=None, actor="root")
    clock.move(hours=23)
    office.identify(token)
    clock.move(hours=1)
    with pytest.raises(AccessRefused):
        office.identify(token)
    assert office.is_configured, "that everybody's token ran out opens nothing to typed names"


def test_only_an_admin_hands_tokens_out_and_never_to_themselves(office: PeopleOffice, clock: HandClock) -> None:
    root, _ = office.add("Ruth", ADMIN, MONTH, admin=None, actor="root")
    ada, _ = office.add("Ada", OPERATOR, MONTH, admin=root, actor="")
    for by, name in ((None, "Bo"), (ada, "Bo"), (root, "RUTH")):
        with pytest.raises(RejectedError):
            office.add(name, APPROVER, MONTH, admin=by, actor="root")
    with pytest.raises(RejectedError, match="both hands out tokens and approves"):
        office.add("Bo", ADMIN | APPROVER, MONTH, admin=root, actor="")
    with pytest.raises(RejectedError, match="until"):
        office.add(" a d a ", VIEWER, MONTH, admin=root, actor="")
    with pytest.raises(AccessRefused):
        office.revoke("Ruth", admin=ada, actor="", reason="")
    office.revoke("Ada", admin=ada, actor="", reason="My own.")
    bo, _ = office.add("Bo", APPROVER, MONTH, admin=None, actor="root", glass="The admin is ill.")
    assert bo.expires_at - clock() == timedelta(days=1)


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "Ada (unverified)", "a,b", "a:b", "a\nb"])
def test_a_name_that_could_deceive_is_refused(office: PeopleOffice, name: str) -> None:
    with pytest.raises(RejectedError, match="no name"):
        office.add(name, VIEWER, MONTH, admin=None, actor="root")


def test_roles_are_a_table_that_refuses_what_it_does_not_name() -> None:
    asked = {role: {act for act in Act if act in MAY[role]} for role in PersonRole}
    assert asked[PersonRole.VIEWER] == {Act.LOOK}
    assert [role for role in PersonRole if Act.APPROVE in asked[role]] == [PersonRole.APPROVER]
    assert [role for role in PersonRole if Act.ADMIT in asked[role]] == [PersonRole.ADMIN]
    assert not asked[PersonRole.APPROVER] & {Act.OPERATE, Act.REQUEST, Act.ADMIT}


def test_a_typed_name_keeps_its_mark() -> None:
    assert unverified(unverified("Ada")) == "Ada (unverified)"
    assert is_unverified("Ada (unverified)")
    assert not is_unverified("Ada")
    assert same_person("ADA (unverified)", "ada")


async def test_where_people_have_tokens_a_typed_name_neither_requests_nor_approves(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=GATE) as one:
        one.hub.enforce_charter()
        one.sell(2)
        await one.settle()
        await compared(one)
        office = one.hub.phase_office
        before, _ = office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada (unverified)", reason=WHY)
        with pytest.raises(WideningRefused, match="Ada requested this"):
            office.approve(before, actor="Ada", reason=WHY)
        people: dict[str, Person] = {
            name: one.hub.people.add(name, roles, MONTH, admin=None, actor="root")[0]
            for name, roles in (("Ada", OPERATOR), ("Bo", APPROVER))
        }
        with pytest.raises(WideningRefused, match="Bo is a typed name"):
            office.approve(before, actor="Bo (unverified)", reason=WHY)
        with pytest.raises(WideningRefused, match="Nobody proved to be Ada"):
            office.approve(before, actor=people["Bo"].name, reason=WHY)
        with pytest.raises(WideningRefused, match="typed name"):
            office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada (unverified)", reason=WHY)
        anew, _ = office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada", reason=WHY)
        grant = office.approve(anew, actor="Bo", reason=WHY)
        assert (grant.requested_by, grant.granted_by) == ("Ada", "Bo")


def test_an_admin_among_others_admits_no_approver_alone(
    database: Database, office: PeopleOffice, clock: HandClock
) -> None:
    ruth, _ = office.add("Ruth", ADMIN, MONTH, admin=None, actor="root")
    bo, _ = office.add("Bo", APPROVER, MONTH, admin=ruth, actor="")
    assert not bo.is_waiting, "there was nobody else to ask"
    for name, roles in (("Cy", APPROVER), ("Di", ADMIN)):
        one, token = office.add(name, roles, MONTH, admin=ruth, actor="")
        assert (one.state(clock()), one.is_active(clock())) == ("waiting", False)
        with pytest.raises(AccessRefused, match="nobody has vouched"):
            office.identify(token)
        with pytest.raises(AccessRefused, match="it takes another person"):
            office.vouch(name, voucher=ruth)
        with pytest.raises(AccessRefused, match="may not vouch"):
            office.vouch(name, voucher=one)
        assert office.vouch(name, voucher=bo).vouched_by == "Bo"
        clock.move(seconds=1)
        assert office.identify(token).vouched_by == "Bo"
        with pytest.raises(RejectedError, match="Nobody has to vouch"):
            office.vouch(name, voucher=bo)
    operator, _ = office.add("Ed", OPERATOR, MONTH, admin=ruth, actor="")
    assert operator.is_active(clock()), "whose word binds nobody needs no second person"
    with pytest.raises(AccessRefused, match="may not vouch"):
        office.vouch("Cy", voucher=operator)
    assert [kind for kind, _ in lines(database)].count("people.vouched") == 2
    with database.read() as connection:
        assert verify_chain(connection).faults == ()


def test_who_waits_can_be_taken_back_and_never_admits(office: PeopleOffice, clock: HandClock) -> None:
    ruth, _ = office.add("Ruth", ADMIN, MONTH, admin=None, actor="root")
    office.add("Bo", APPROVER, MONTH, admin=ruth, actor="")
    waiting, _ = office.add("Ruth Two", ADMIN, MONTH, admin=ruth, actor="")
    with pytest.raises(AccessRefused, match="waiting"):
        office.add("Mallory", APPROVER, MONTH, admin=waiting, actor="")
    with pytest.raises(RejectedError, match="until"):
        office.add("Ruth Two", VIEWER, MONTH, admin=ruth, actor="")
    office.revoke("Ruth Two", admin=ruth, actor="", reason="A test.")
    clock.move(seconds=1)
    with pytest.raises(RejectedError, match="has an active token"):
        office.revoke("Ruth Two", admin=ruth, actor="", reason="Again.")


async def test_what_one_hand_asked_and_approved_is_told_and_kept(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path, more=GATE) as one:
        hub = one.hub
        hub.enforce_charter()
        one.sell(2)
        await one.settle()
        await compared(one)
        ruth, _ = hub.people.add("Ruth", ADMIN, MONTH, admin=None, actor="root")
        hub.people.add("Ada", OPERATOR, MONTH, admin=ruth, actor="")
        hub.people.add("Bo", APPROVER, MONTH, admin=ruth, actor="")
        one.clock.move(seconds=1)
        assert hub.people.one_hand("Ada", "Bo") == "Ruth"
        proposal, _ = hub.phase_office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada", reason=WHY)
        hub.phase_office.approve(proposal, actor="Bo", reason=WHY)
        with hub.database.read() as connection:
            body = connection.execute(
                text("SELECT body FROM audit_entry WHERE kind = 'phases.flow.widened' ORDER BY position DESC")
            ).scalars().first()  # fmt: skip
        assert b'"one_hand":"Ruth"' in bytes(body or b"")
        assert "people.one_hand" in [kind for _, kind, *_ in hub.alerts.due(now=one.clock(), limit=50)]

        hub.people.revoke("Bo", admin=ruth, actor="", reason="Let us do it properly.")
        hub.people.add("Cy", APPROVER, MONTH, admin=ruth, actor="")
        hub.people.add("Bo", APPROVER, MONTH, admin=ruth, actor="")
        one.clock.move(seconds=1)
        cy = next(person for person in hub.people.everybody() if person.name == "Cy")
        hub.people.vouch("Bo", voucher=cy)
        one.clock.move(seconds=1)
        assert hub.people.one_hand("Ada", "Bo") is None

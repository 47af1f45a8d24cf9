"""A write whose target can never be asked is ended by a person who looked: it is there, or it goes out once more.

The oracle is the target's own ledger of effects, which counts by business identity.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from accordant.kernel.errors import RejectedError
from accordant.operations.settle_letter import Finding
from accordant.ports.connector import AnswerLost, DestinationClass
from accordant.store.schema import audit_entry, parked_lane, write_intent
from accordant.testing.destinations import CallMoment, MemoryDestination
from tests.integration.operations.kit import Installation, an_installation

EVIDENCE = "https://desk.example.com/audit/17"


class Lossy:
    """Loses the answer of one write, before or after it was carried out."""

    def __init__(self) -> None:
        self.when: CallMoment | None = None

    def __call__(self, moment: CallMoment, _records: int) -> None:
        if moment is self.when:
            self.when = None
            raise AnswerLost("the connection broke")


@asynccontextmanager
async def between(store: str, folder: Path, when: CallMoment) -> AsyncIterator[tuple[Installation, MemoryDestination]]:
    """A hub with a target of class E that has just lost the answer to the first write of a customer."""
    async with an_installation(store, folder) as one:
        lossy = Lossy()
        target = MemoryDestination("salesforce", DestinationClass.NOTHING, clock=one.clock, weather=lossy)
        one.hub.outbounds["salesforce"] = target
        one.sell(1)
        lossy.when = when
        await one.settle()
        yield one, target


def made(target: MemoryDestination) -> list[str]:
    return [effect.identity for effect in target.effects if effect.created]


def lanes(one: Installation) -> list[str]:
    with one.hub.database.read() as connection:
        return list(connection.execute(select(parked_lane.c.lane)).scalars())


def letter_of(one: Installation) -> str:
    (group,) = one.hub.recovery.groups()
    (letter,) = group.ids
    return letter


def trail(one: Installation, kind: str) -> list[tuple[str, dict[str, object]]]:
    with one.hub.database.read() as connection:
        rows = connection.execute(select(audit_entry.c.actor, audit_entry.c.body).where(audit_entry.c.kind == kind))
        return [(row.actor, msgspec.json.decode(row.body)) for row in rows]


async def test_what_had_arrived_counts_as_made_and_its_lane_goes_on(store_url: str, tmp_path: Path) -> None:
    async with between(store_url, tmp_path, CallMoment.WRITE_ANSWER) as (one, target):
        (account,) = made(target)
        letter = letter_of(one)
        assert lanes(one)
        kept = next(kept for kept in target._records.values() if f"{kept.object}/{kept.key}" == account)
        found = Finding(actor="ada", evidence=EVIDENCE, found_as=kept.target_id)
        assert one.hub.recovery.settle(letter, found) is None
        assert (lanes(one), one.hub.recovery.groups()) == ([], ())
        await one.settle()
        # Its subscription was written after it, and what changes later is written into the record that was found.
        assert len(made(target)) == 2
        assert len(set(made(target))) == 2
        (subscription,) = one.stripe.book.table("subscription").values()
        one.clock.move(seconds=60)
        one.stripe.advance(60)
        one.stripe.account.billing.update(subscription, items=[_more(subscription)])
        await one.settle()
        assert len(made(target)) == 2
        assert any(not effect.created and effect.identity == account for effect in target.effects)
        ((actor, body),) = trail(one, "operations.letter.found")
        assert (actor, body["evidence"], body["found_as"]) == ("ada", EVIDENCE, kept.target_id)
        with pytest.raises(RejectedError, match="not a dead letter"):
            one.hub.recovery.settle(letter, found)


def _more(subscription: dict[str, object]) -> dict[str, object]:
    items = subscription["items"]
    assert isinstance(items, dict)
    return {"id": items["data"][0]["id"], "quantity": 3}


async def test_what_had_not_arrived_goes_out_once_more_and_once_only(store_url: str, tmp_path: Path) -> None:
    async with between(store_url, tmp_path, CallMoment.WRITE) as (one, target):
        assert made(target) == []
        letter = letter_of(one)
        done = one.hub.recovery.settle(letter, Finding(actor="ada", evidence=EVIDENCE, found_as=None))
        assert done is not None
        assert (done.intents, done.refused, lanes(one)) == ((letter,), (), [])
        await one.settle()
        assert len(made(target)) == len(set(made(target))) == 2
        assert one.hub.recovery.groups() == ()
        assert [actor for actor, _ in trail(one, "operations.letter.absent")] == ["ada"]
        assert [actor for actor, _ in trail(one, "operations.letter.redriven")] == ["ada"]


async def test_nobody_redrives_it_before_somebody_has_looked(store_url: str, tmp_path: Path) -> None:
    async with between(store_url, tmp_path, CallMoment.WRITE_ANSWER) as (one, target):
        letter = letter_of(one)
        (refusal,) = one.hub.recovery.plan([letter], actor="ada").refused
        assert "look there" in refusal.reason
        assert len(made(target)) == 1


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"actor": " "}, "a name and its evidence"),
        ({"evidence": ""}, "a name and its evidence"),
        ({"found_as": " "}, "id of the record"),
        ({"found_as": "x" * 300}, "id of the record"),
    ],
)
async def test_a_finding_without_a_name_evidence_or_id_changes_nothing(
    tmp_path: Path, changed: dict[str, str], match: str
) -> None:
    async with between(f"sqlite:///{tmp_path / 'store.db'}", tmp_path, CallMoment.WRITE) as (one, _):
        words = {"actor": "ada", "evidence": EVIDENCE, "found_as": "001X"} | changed
        with pytest.raises(RejectedError, match=match):
            one.hub.recovery.settle(letter_of(one), Finding(**words))
        with one.hub.database.read() as connection:
            states = set(connection.execute(select(write_intent.c.state)).scalars())
        assert "dead" in states


async def test_a_target_that_can_be_asked_is_asked_and_not_a_person(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as one:
        (customer,) = one.sell(1)
        one.salesforce.reject("Account", customer, message="no")
        await one.settle()
        with pytest.raises(RejectedError, match="can be asked"):
            one.hub.recovery.settle(letter_of(one), Finding(actor="ada", evidence=EVIDENCE, found_as=None))

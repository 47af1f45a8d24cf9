"""Hand edits met by the courier: on disk before they are overwritten, ruled once, held where a person decides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from accordant.canonical.charter import Winner
from accordant.canonical.conflicts import Claim, Conflict, ConflictRule, Side, Stand, StandEffect
from accordant.canonical.intents import FieldChange, WireValue
from accordant.canonical.targets import CurrentRecord
from accordant.governance.loop_breaker import RETURNS_MAX
from accordant.ports.connector import AnswerLost
from accordant.store import schema
from accordant.store.conflicts import SqlConflictBook
from accordant.store.engine import Database
from tests.integration.pipeline.test_courier import Round, intent, refusals

REF = "crm:Account/cus_1"


class Desk(Round):
    """A courier's round with revisions of one record, and somebody who types into the target."""

    revision = 0

    async def want(self, *, minutes: float = 5, changes: tuple[FieldChange, ...] = (), **fields: WireValue) -> None:
        self.revision += 1
        self.plan(intent("cus_1", revision=self.revision, changes=changes, **fields))
        await self.run(minutes=minutes)

    def edit(self, **fields: WireValue) -> None:
        held = self.target.records["cus_1"]
        self.target.records["cus_1"] = CurrentRecord(
            target_id=held.target_id, fields={**held.fields, **fields}, changed_at=self.clock(), changed_by="Grace"
        )

    @property
    def held(self) -> dict[str, WireValue]:
        return self.target.records["cus_1"].fields

    def conflicts(self) -> list[Conflict]:
        decode = msgspec.json.Decoder(Conflict).decode
        found = [decode(row[0]) for row in self.rows(schema.conflict, "body")]
        return sorted(found, key=lambda one: (one.found_at, one.contested.field))

    def stand(self, field: str) -> Stand | None:
        return SqlConflictBook(self.database).stand(REF, field)


async def test_the_owner_wins_and_what_lost_is_kept_with_both_origins(database: Database) -> None:
    one = Desk(database)
    await one.want(Name="Example", MRR="12.00")
    one.edit(Name="Typed")
    await one.want(Name="Example", MRR="15.00", changes=(FieldChange("MRR", "12.00", "15.00"),))
    assert one.held == {"Name": "Example", "MRR": "15.00"}
    (conflict,) = one.conflicts()
    assert (conflict.record, conflict.flow, conflict.target_id, conflict.found_by) == (
        REF,
        "accounts",
        "001cus_1",
        "courier",
    )
    told = conflict.contested
    assert (told.field, told.confirmed, told.revision) == ("Name", "Example", 1)
    assert told.owner == Claim(field="Name", value="Example", system="billing")
    assert (told.target.value, told.target.system, told.target.by) == ("Typed", "crm", "Grace")
    assert (told.ruling.rule, told.ruling.winner) == (ConflictRule.SYSTEM_OF_RECORD, Side.OWNER)
    assert one.stand("Name") is None
    kinds = [row[0] for row in one.rows(schema.audit_entry, "kind")]
    assert kinds == [
        "desk.intent.planned",
        "archive.write.applied",
        "desk.intent.planned",
        "archive.conflict.ruled",
        "archive.write.applied",
    ]
    assert one.trail_is_sound()


async def test_a_person_decides_one_field_and_its_neighbours_go_on(database: Database) -> None:
    one = Desk(database, winner=Winner.PERSON)
    await one.want(Name="Example", MRR="12.00")
    one.edit(Name="Typed")
    await one.want(Name="Example", MRR="15.00")
    assert one.held == {"Name": "Typed", "MRR": "15.00"}
    assert one.states() == {"cus_1": ("applied", 1)}
    stand = one.stand("Name")
    assert stand is not None
    assert (stand.effect, stand.value, stand.against) == (StandEffect.HOLD, "Typed", "Example")
    ((kind, subject),) = one.rows(schema.alert, "kind", "subject")
    assert (kind, subject) == ("conflict.opened", f"{REF}#Name")
    # However often it is tried, the field is left alone, and nothing is opened twice.
    await one.want(Name="Renamed", MRR="15.00")
    assert one.held["Name"] == "Typed"
    assert len(one.conflicts()) == 1
    reasons = {row[0]: row[1] for row in one.rows(schema.write_intent, "state", "reason")}
    assert "lets a person decide" in reasons["cancelled"]
    last = msgspec.json.decode(one.rows(schema.write_receipt, "body")[-1][0])
    assert last["outcome"]["type"] == "Yielded"
    assert last["after"] is None


async def test_what_was_set_aside_is_not_said_to_have_been_written(database: Database) -> None:
    one = Desk(database, winner=Winner.PERSON)
    await one.want(Name="Example", MRR="12.00")
    one.edit(Name="Typed")
    await one.want(Name="Example", MRR="15.00")
    last = msgspec.json.decode(one.rows(schema.write_receipt, "body")[-1][0])
    assert last["after"] == {"Name": "Typed", "MRR": "15.00"}
    ((fields, marks),) = one.rows(schema.confirmed_record, "fields", "marks")
    assert msgspec.json.decode(fields) == {"Name": "Typed", "MRR": "15.00"}
    assert msgspec.json.decode(marks)["Name"][:2] == ["Example", 1]


async def test_the_later_edit_stays_and_money_never_does(database: Database) -> None:
    one = Desk(database, winner=Winner.LATEST)
    await one.want(Name="Example", MRR="12.00")
    one.clock.move(minutes=1)
    one.edit(Name="Typed", MRR="99.00")
    await one.want(Name="Example", MRR="12.00")
    assert one.held == {"Name": "Typed", "MRR": "12.00"}
    money, name = one.conflicts()
    assert (money.contested.field, money.contested.ruling.rule) == ("MRR", ConflictRule.FINANCIAL)
    assert (name.contested.ruling.rule, name.contested.ruling.winner) == (ConflictRule.LATEST, Side.TARGET)
    stand = one.stand("Name")
    assert stand is not None
    assert stand.effect is StandEffect.KEEP
    # The owner says something new, and this intent's revision is the one that changed the field.
    one.clock.move(minutes=1)
    await one.want(Name="Renamed", MRR="12.00", changes=(FieldChange("Name", "Example", "Renamed"),))
    # Nobody dated the event behind it, so the rule falls back and says so.
    assert one.held["Name"] == "Renamed"
    assert "Nobody can say when billing" in one.conflicts()[-1].contested.ruling.sentence


async def test_what_lost_is_on_disk_before_it_is_overwritten(database: Database) -> None:
    one = Desk(database)
    await one.want(Name="Example")
    one.edit(Name="Typed")
    seen: list[int] = []
    upsert = one.target._upsert

    def look_first(record: Any) -> Any:
        seen.append(len(one.conflicts()))
        return upsert(record)

    one.target._upsert = look_first  # type: ignore[method-assign]
    one.target.late_errors += [AnswerLost("The answer never came.")]
    await one.want(Name="Example")
    assert seen == [1]
    await one.run(minutes=5)
    assert one.held == {"Name": "Example"}
    assert [conflict.contested.target.value for conflict in one.conflicts()] == ["Typed"]


@pytest.mark.parametrize("winner", list(Winner))
async def test_what_a_lost_try_of_ours_left_there_is_nobodys_edit(database: Database, winner: Winner) -> None:
    one = Desk(database, winner=winner)
    await one.want(Name="A")
    one.target.late_errors += [AnswerLost("The answer never came.")]
    await one.want(Name="B", minutes=0)
    assert one.held == {"Name": "B"}
    await one.want(Name="C")
    assert one.held == {"Name": "C"}
    assert one.conflicts() == []


async def test_an_edit_back_to_what_was_confirmed_or_to_what_is_wanted_is_no_conflict(database: Database) -> None:
    one = Desk(database, winner=Winner.PERSON)
    await one.want(Name="A")
    one.edit(Name="B")
    await one.want(Name="B")
    one.edit(Name="B")
    await one.want(Name="C")
    assert one.held == {"Name": "C"}
    assert one.conflicts() == []


async def test_a_refused_write_keeps_its_conflict_and_forgets_no_mark(database: Database) -> None:
    one = Desk(database)
    await one.want(Name="A")
    one.edit(Name="Typed")
    one.target.refusals["cus_1"] = refusals(1)
    await one.want(Name="A")
    assert len(one.conflicts()) == 1
    await one.run(minutes=5)
    assert one.held == {"Name": "A"}
    assert len(one.conflicts()) == 1


async def test_a_loop_is_broken_held_and_told_with_its_turns(database: Database) -> None:
    one = Desk(database)
    await one.want(Name="A", minutes=1)
    for _ in range(RETURNS_MAX):
        one.edit(Name="B")
        await one.want(Name="A", minutes=1)
    one.edit(Name="B")
    writes = len(one.target.ledger)
    await one.want(Name="A", minutes=1)
    await one.want(Name="A", MRR="1.00", minutes=1)
    assert one.held == {"Name": "B", "MRR": "1.00"}
    assert len(one.target.ledger) == writes + 1
    stand = one.stand("Name")
    assert stand is not None
    assert stand.effect is StandEffect.HOLD
    assert f"back and forth {RETURNS_MAX} times" in stand.sentence
    rules = [conflict.contested.ruling.rule for conflict in one.conflicts()]
    assert rules == [ConflictRule.SYSTEM_OF_RECORD] * RETURNS_MAX + [ConflictRule.LOOP]

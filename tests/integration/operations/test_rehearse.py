"""A rehearsal says exactly what adopting a charter does: nothing for the charter in force, every change for another."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from accordant.bootstrap import Hub
from accordant.canonical.charter import Charter, FieldPart, FieldType, Phase
from accordant.canonical.rehearsal import Difference, DifferenceKind, Rehearsal, RehearsalOrder
from accordant.canonical.standing import Standing, encode_standing
from accordant.demo.company import environment
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money
from accordant.ports.inbox import WorkState
from accordant.store import schema
from tests.integration.pipeline.kit import Rooms, a_past, in_order, new_store, rooms, shuffled

MEMORY = Path("/dev/shm")  # noqa: S108  these tests are about outcomes; what a disk does is proved elsewhere
LIFE = {"accounts": 4, "months": 6}
FULL, QUICK = RehearsalOrder(), RehearsalOrder(quick=True)
ACCOUNT, SUBSCRIPTION = "Account", "Billing_Subscription__c"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(mkdtemp(prefix="accordant-rehearse-", dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    shutil.rmtree(made)


@contextmanager
def lived(store: str, folder: Path, *, seed: int = 1, at_rest: bool = True) -> Iterator[Rooms]:
    """A hub with a past, its charter in force."""
    past = a_past(seed=seed, **LIFE)
    with rooms(store, folder, at=past.ended_at, past=past) as walk:
        walk.hub.enforce_charter()
        walk.accept(in_order(past))
        if at_rest:
            walk.finish(random.Random(seed))
            walk.hub.replan_accounts()
        yield walk


@contextmanager
def proposal(walk: Rooms, charter: Charter) -> Iterator[Hub]:
    """Another hub on the same store, with another charter that is not in force."""
    hub = Hub(walk.hub.settings, charter, environment=environment(), clock=walk.clock)
    try:
        yield hub
    finally:
        hub.database.close()


def rehearsed(walk: Rooms, charter: Charter, order: RehearsalOrder = FULL) -> tuple[Rehearsal, list[Difference]]:
    found: list[Difference] = []
    walk.clock.move(seconds=1)
    with proposal(walk, charter) as hub:
        return hub.rehearsals.rehearse(order, actor="ada", tell=found.extend), found


def with_mapping(charter: Charter, object_name: str, **fields: FieldPart | None) -> Charter:
    """The charter with some fields of one object mapped otherwise; None takes a field out."""
    mappings = []
    for mapping in charter.mappings["salesforce"]:
        if mapping.object == object_name:
            changed = {**mapping.fields, **fields}
            kept = {name: part for name, part in changed.items() if part is not None}
            mapping = msgspec.structs.replace(mapping, fields=kept)  # noqa: PLW2901
        mappings.append(mapping)
    flows = tuple(
        msgspec.structs.replace(
            flow,
            write_fields=tuple(
                sorted(
                    ({*flow.write_fields, *(name for name, part in fields.items() if part is not None)})
                    - {name for name, part in fields.items() if part is None}
                )
            ),
        )
        if flow.object == object_name
        else flow
        for flow in charter.flows
    )
    return msgspec.structs.replace(charter, mappings={**charter.mappings, "salesforce": tuple(mappings)}, flows=flows)


def with_phase(charter: Charter, flow: str, **changes: Any) -> Charter:
    flows = [msgspec.structs.replace(one, **changes) if one.name == flow else one for one in charter.flows]
    return msgspec.structs.replace(charter, flows=tuple(flows))


def untouched(walk: Rooms) -> dict[str, Any]:
    """Everything the rooms keep, to see that a rehearsal changed none of it."""
    mine = {"rehearsal_run", "rehearsal_difference"}
    with walk.hub.database.read() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in schema.metadata.tables.items()
            if name not in mine
        } | {"desired": connection.execute(select(schema.desired_record).order_by("ref")).all()}


CHANGES: dict[str, Callable[[Charter], Charter]] = {
    "another source": lambda charter: with_mapping(
        charter, ACCOUNT, Billing_MRR__c=FieldPart(source="lifetime_value", type=FieldType.CURRENCY)
    ),
    "a field less": lambda charter: with_mapping(charter, ACCOUNT, Billing_Discount__c=None),
    "a field more": lambda charter: with_mapping(
        charter, SUBSCRIPTION, Ended_Again__c=FieldPart(source="ended_on", type=FieldType.DATE)
    ),
    "a list that lacks a word": lambda charter: with_mapping(
        charter, ACCOUNT, Billing_Status__c=FieldPart(source="status", values={"active": "Active"})
    ),
    "read-only": lambda charter: with_phase(charter, "accounts", phase=Phase.READ_ONLY, write_fields=()),
    "a field no longer released": lambda charter: with_phase(
        charter, "accounts", write_fields=charter.flows[0].write_fields[1:]
    ),
    "a flow less": lambda charter: msgspec.structs.replace(charter, flows=charter.flows[:1]),
}


@pytest.mark.parametrize("order", [FULL, QUICK], ids=["full", "quick"])
def test_the_charter_in_force_changes_nothing(store_url: str, tmp_path: Path, order: RehearsalOrder) -> None:
    with lived(store_url, tmp_path) as walk:
        before = untouched(walk)
        found, told = rehearsed(walk, walk.hub.charter, order)
        assert (found.differences, told, found.unlike, found.unlike_sample, found.due) == (0, [], 0, (), 0)
        assert (found.accounts, found.records > found.accounts) == (LIFE["accounts"], True)
        assert (found.walked, found.events > 0) == (order is FULL, order is FULL)
        assert untouched(walk) == before
        assert not list(walk.hub.settings.home.glob("rehearsal-*"))


any_history = given(seed=st.integers(0, 6), dice=st.randoms(use_true_random=False), rest=st.booleans())


@settings(max_examples=8)
@any_history
def test_no_history_makes_the_charter_in_force_differ(folder: Path, seed: int, dice: random.Random, rest: bool) -> None:
    _history_tells_what_is_held(folder, seed, dice, rest=rest)


@pytest.mark.nightly
@settings(max_examples=100)
@any_history
def test_none_of_many_histories_makes_the_charter_in_force_differ(
    folder: Path, seed: int, dice: random.Random, rest: bool
) -> None:
    _history_tells_what_is_held(folder, seed, dice, rest=rest)


def _history_tells_what_is_held(folder: Path, seed: int, dice: random.Random, *, rest: bool) -> None:
    """Whatever came, in whatever order and batches, answered or not: history tells again what is held."""
    past = a_past(seed=seed, **LIFE)
    store = new_store(folder, f"any-{random.Random().random()}")
    with rooms(store, folder, at=past.ended_at, past=past) as walk:
        walk.hub.enforce_charter()
        walk.accept(shuffled(past, dice))
        if rest:
            walk.finish(dice)
        else:
            for _ in range(dice.randint(0, 12)):
                walk.take(dice.randint(1, 200))
                if dice.random() < 0.3:
                    walk.ask_owner()
        found, told = rehearsed(walk, walk.hub.charter)
        assert (told, found.unlike_sample, found.stopped) == ([], (), 0)
    Path(store.removeprefix("sqlite:///")).unlink()


@pytest.mark.parametrize("order", [FULL, QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_rehearsed_is_what_happens(store_url: str, tmp_path: Path, change: str, order: RehearsalOrder) -> None:
    with lived(store_url, tmp_path) as walk:
        charter = CHANGES[change](walk.hub.charter)
        found, told = rehearsed(walk, charter, order)
        assert (found.unlike, found.due) == (0, 0)
        assert found.differences == len(told) > 0
        before = walk.rows(schema.desired_record, "ref", "input_digest", "fields")
        planned = {row[0] for row in walk.rows(schema.write_intent, "id")}
        with proposal(walk, charter) as adopted:
            assert adopted.enforce_charter()
        after = walk.rows(schema.desired_record, "ref", "input_digest", "fields")
        decided = msgspec.json.Decoder(dict[str, Any]).decode
        was = {ref: (digest, decided(fields)) for ref, digest, fields in before}
        now = {ref: (digest, decided(fields)) for ref, digest, fields in after}
        kept = {one.name for one in charter.flows}
        moved = {ref for ref in now if was.get(ref, ("",))[0] != now[ref][0]}
        said = {one.record for one in told if one.kind is not DifferenceKind.GONE}
        # What is held changes nothing by itself where the field was never part of the record.
        quiet = {one.record for one in told if one.kind in {DifferenceKind.HELD, DifferenceKind.REFUSED}}
        assert moved <= said
        assert said - moved <= quiet
        _values_agree(told, was, now)
        bodies = [body for name, body in walk.rows(schema.write_intent, "id", "body") if name not in planned]
        records = {f"{one['target']}:{one['object']}/{one['key']}" for one in map(decided, bodies)}
        assert records == moved
        assert {one.flow for one in told if one.kind is not DifferenceKind.GONE} <= kept


def _values_agree(
    told: list[Difference], was: dict[str, tuple[str, dict[str, Any]]], now: dict[str, tuple[str, dict[str, Any]]]
) -> None:
    """Each field that really changed was told with both its values, and no other."""
    real = {
        (ref, name): (was[ref][1].get(name), value)
        for ref, (_, fields) in now.items()
        for name, value in fields.items()
        if ref in was and (name not in was[ref][1] or was[ref][1][name] != value)
    }
    shown = {
        (one.record, one.field): (one.before, one.after)
        for one in told
        if one.kind in {DifferenceKind.CHANGED, DifferenceKind.CLEARED}
    }
    assert shown == real


def test_the_money_is_added_up_per_currency(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk:
        found, told = rehearsed(walk, CHANGES["another source"](walk.hub.charter))
        (count,) = [one for one in found.counts if one.field == "Billing_MRR__c"]
        sums: dict[str, int] = {}
        for one in told:
            if one.money is not None:
                sums[one.money.currency] = sums.get(one.money.currency, 0) + one.money.amount_minor
        assert count.money == tuple(Money(minor, code) for code, minor in sorted(sums.items()) if minor)
        assert count.money
        assert (count.sent, found.unknown_money) == (count.count, 0)


def test_personal_values_are_covered(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk:
        charter = with_mapping(walk.hub.charter, ACCOUNT, Mail__c=FieldPart(source="email"))
        found, told = rehearsed(walk, charter)
        mails = [one.after for one in told if one.field == "Mail__c" and one.after is not None]
        assert mails
        assert all("•••@" in str(mail) for mail in mails), mails
        assert found.sample


def test_a_change_of_history_is_told_and_judged_by_what_is_held(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk:
        with walk.hub.database.write_unaudited() as connection:
            one = connection.execute(
                select(schema.entity.c.id, schema.entity.c.digest).where(schema.entity.c.kind == "account").limit(1)
            ).one()
            connection.execute(update(schema.entity).where(schema.entity.c.id == one.id).values(digest=b"x" * 32))
        found, told = rehearsed(walk, walk.hub.charter)
        assert (found.unlike, found.unlike_sample, told) == (1, (one.id,), [])


def test_an_account_that_history_tells_otherwise_is_decided_as_it_is_held(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk:
        charter = CHANGES["another source"](walk.hub.charter)
        _, as_told = rehearsed(walk, charter)
        one = as_told[0].account_id
        with walk.hub.database.write_unaudited() as connection:
            empty = update(schema.standing).where(schema.standing.c.account_id == one)
            connection.execute(empty.values(state=encode_standing(Standing())))
        found, told = rehearsed(walk, charter)
        _, as_held = rehearsed(walk, charter, QUICK)
        assert found.unlike_sample == (f"the figures of {one}",)
        assert sorted(told, key=repr) == sorted(as_held, key=repr)
        assert sorted(told, key=repr) != sorted(as_told, key=repr)


def test_what_waits_takes_no_part(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path, at_rest=False) as walk:
        walk.take(40)
        with walk.hub.database.write_unaudited() as connection:
            first = select(func.min(schema.inbox_work.c.seq)).where(schema.inbox_work.c.settled_at.is_(None))
            seq = connection.execute(first).scalar_one()
            connection.execute(
                update(schema.inbox_work)
                .where(schema.inbox_work.c.seq == seq)
                .values(state=WorkState.DEAD.value, settled_at=1)
            )
        found, told = rehearsed(walk, walk.hub.charter)
        total = walk.count(schema.inbox_event)
        assert (told, found.unlike_sample) == ([], ())
        assert (found.events, found.left_out.set_aside) == (40, 1)
        assert found.left_out.waiting == total - 41


def test_an_erased_event_hides_no_other(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk:
        with walk.hub.database.write_unaudited() as connection:
            key = connection.execute(select(schema.data_key.c.key_id).limit(1)).scalar_one()
            connection.execute(
                update(schema.data_key).where(schema.data_key.c.key_id == key).values(wrapped=None, destroyed_at=1)
            )
        found, told = rehearsed(walk, CHANGES["another source"](walk.hub.charter))
        whole, alike = rehearsed(walk, CHANGES["another source"](walk.hub.charter), QUICK)
        assert found.left_out.erased == walk.count(schema.inbox_event)
        assert (found.unlike > 0, whole.unlike) == (True, 0)
        assert sorted(told, key=repr) == sorted(alike, key=repr)


def test_a_system_that_is_gone_leaves_its_events_not_understood(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk:
        charter = walk.hub.charter
        renamed = {("billing" if name == "stripe" else name): part for name, part in charter.systems.items()}
        flows = tuple(msgspec.structs.replace(flow, source="billing") for flow in charter.flows)
        parts = tuple(msgspec.structs.replace(part, system_of_record="billing") for part in charter.ownership)
        other = msgspec.structs.replace(charter, systems=renamed, flows=flows, ownership=parts)
        found, told = rehearsed(walk, other)
        assert found.stopped == walk.count(schema.inbox_event)
        assert "no connection named stripe" in found.stopped_sample[0]
        assert {one.kind for one in told} == {DifferenceKind.GONE}


def test_an_order_can_be_limited(store_url: str, tmp_path: Path) -> None:
    with lived(store_url, tmp_path) as walk:
        charter = CHANGES["read-only"](CHANGES["a field more"](walk.hub.charter))
        _, told = rehearsed(walk, charter, RehearsalOrder(flow="accounts"))
        assert {one.flow for one in told} == {"accounts"}
        later, none = rehearsed(walk, charter, RehearsalOrder(since=walk.clock.at.replace(year=2099)))
        assert (later.accounts, none) == (0, [])
        past, before = rehearsed(walk, charter, RehearsalOrder(until=walk.clock.at.replace(year=2000)))
        assert (past.events, past.accounts, before) == (0, 0, [])
        walk.clock.move(seconds=1)
        now, all_of_it = rehearsed(walk, charter, RehearsalOrder(until=walk.clock.at))
        assert (now.events, now.accounts, bool(all_of_it)) == (walk.count(schema.inbox_event), LIFE["accounts"], True)
        with pytest.raises(RejectedError, match="cannot end in the past"):
            rehearsed(walk, charter, RehearsalOrder(quick=True, until=walk.clock.at))
        with pytest.raises(RejectedError, match="Neither charter"):
            rehearsed(walk, charter, RehearsalOrder(flow="nobody"))
        with pytest.raises(RejectedError, match="before it begins"):
            rehearsed(walk, charter, RehearsalOrder(since=walk.clock.at, until=walk.clock.at))


def test_an_interrupted_rehearsal_leaves_nothing_but_its_beginning(store_url: str, tmp_path: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with lived(store_url, tmp_path) as walk:
        before = untouched(walk)
        with proposal(walk, CHANGES["read-only"](walk.hub.charter)) as hub, pytest.raises(KeyboardInterrupt):
            hub.rehearsals.rehearse(FULL, actor="ada", progress=interrupt)
        assert untouched(walk) == before
        assert walk.rows(schema.rehearsal_run, "finished_at", "body") == [(None, None)]
        assert not list(walk.hub.settings.home.glob("rehearsal-*"))


def test_before_the_first_charter_there_is_nothing_to_compare_with(store_url: str, tmp_path: Path) -> None:
    past = a_past(seed=1, **LIFE)
    with rooms(store_url, tmp_path, at=past.ended_at) as walk, pytest.raises(RejectedError, match="No charter"):
        rehearsed(walk, walk.hub.charter)

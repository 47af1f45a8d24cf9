"""Two workers whose accounts share a record: who comes second adds up anew and does not overwrite the first."""

from __future__ import annotations

from threading import Event

from sqlalchemy import insert, update

from accordant.canonical.matching import RecordLink
from accordant.ports.matching import MatchChanges
from accordant.ports.state import ConcurrentChange
from accordant.store.engine import Database
from accordant.store.review import guard_matches, put_links
from accordant.store.schema import standing
from tests.integration.store.rows import NOW, race


def _link(account_id: str) -> RecordLink:
    return RecordLink(
        account_id=account_id,
        system="crm",
        object="Account",
        key="cus_1",
        target_id="001",
        rung=None,
        evidence=(),
        charter="v1",
        actor="accordant",
        linked_at=NOW,
    )


def test_of_two_workers_on_one_shared_record_the_second_is_refused(database: Database) -> None:
    # The race is the matter here; what the trail tells of such a change is the matter of `test_guard.py`.
    with database.write_unaudited() as connection:
        put_links(connection, [_link("acc_1"), _link("acc_2")])
        for name in ("acc_1", "acc_2"):
            connection.execute(insert(standing).values(account_id=name, version=1, state=b"{}", updated_at=0))
    has_passed = Event()

    def work(index: int) -> str:
        """Each has read both standings at version 1 and changes its own."""
        changes = MatchChanges(groups={"cus_1"}, witnessed={"acc_1": 1, "acc_2": 1})
        if index == 1:
            assert has_passed.wait(60)
        with database.write_unaudited() as connection:
            guard_matches(connection, changes)
            if index == 0:
                has_passed.set()
                # Long enough for the other to pass the guard too, if nothing holds it there.
                Event().wait(0.5)
            changed = update(standing).where(standing.c.account_id == f"acc_{index + 1}")
            connection.execute(changed.values(version=2))
        return "kept"

    first, second = race(2, work)
    assert first == "kept"
    assert isinstance(second, ConcurrentChange)
    with database.read() as connection:
        guard_matches(connection, MatchChanges(groups={"cus_1"}, witnessed={"acc_1": 2, "acc_2": 1}))

"""Whose work a process died in: the culprit is found and set aside, and nobody is blamed for having been beside it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from accordant.ports.inbox import WorkState
from accordant.store.claims import CLAIMS_MAX, SUSPECT_CLAIMS, Claimable, together
from accordant.store.engine import Database
from accordant.store.inbox import SqlInbox
from accordant.store.schema import inbox_work
from accordant.store.vault import Vault
from tests.integration.store.rows import an_arrival

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_LIMIT = 100


class Machine:
    """A worker that is started anew whenever it died, on one store. ``culprit`` kills it whenever it has that event."""

    def __init__(self, database: Database, *, culprit: int | None = None) -> None:
        self.database = database
        self.culprit = culprit
        self.rounds: list[list[int]] = []
        self.inbox = self._started()

    def _started(self) -> SqlInbox:
        return SqlInbox(self.database, Vault(self.database, bytes(32)))

    def round(self, *, is_killed: bool = False, limit: int = _LIMIT) -> bool:
        """Take, and die or settle; whether there was anything to take. ``is_killed``: by somebody else."""
        taken = [event.seq for event in self.inbox.claim(limit=limit, now=NOW)]
        if not taken:
            return False
        self.rounds.append(taken)
        if is_killed or self.culprit in taken:
            self.inbox = self._started()
            return True
        with self.database.write_unaudited() as connection:
            done = sa.update(inbox_work).where(inbox_work.c.seq.in_(taken))
            connection.execute(done.values(state=WorkState.PROCESSED.value))
        return True

    def states(self) -> Counter[str]:
        with self.database.read() as connection:
            return Counter(connection.execute(sa.select(inbox_work.c.state)).scalars())


def _filled(database: Database, events: int, *, lanes: int) -> None:
    SqlInbox(database, Vault(database, bytes(32))).accept(
        [an_arrival(f"evt_{number}", lane=f"customer/{number % lanes}") for number in range(events)]
    )


def test_an_event_that_kills_its_worker_is_found_and_takes_no_neighbour_with_it(database: Database) -> None:
    _filled(database, 6, lanes=6)
    machine = Machine(database, culprit=3)
    while machine.round():
        assert len(machine.rounds) < 30
    together_at_first = [[1, 2, 3, 4, 5, 6]] * SUSPECT_CLAIMS
    alone = [[1], [2], [3], [4], [5], [6]]
    # It is the last that is looked at, and dies of nothing but itself each further time.
    assert machine.rounds == [*together_at_first, *alone, [3], [3]]
    assert machine.states() == {"processed": 5, "dead": 1}
    with database.read() as connection:
        reason = connection.execute(sa.select(inbox_work.c.reason).where(inbox_work.c.seq == 3)).scalar_one()
    assert "stopped 5 times without an answer, the last 3 times while nothing else was in work" in reason


def test_a_batch_that_dies_is_taken_apart(database: Database) -> None:
    """Five hundred were in work: most are cleared of it in company, a few alone, and one remains."""
    _filled(database, 500, lanes=100)
    machine = Machine(database, culprit=250)
    while machine.round(limit=500):
        assert len(machine.rounds) < 100
    sizes = Counter(len(one) for one in machine.rounds)
    assert machine.states()["dead"] == 1
    assert sizes[500] == 1
    assert max(size for size in sizes if size != 500) == 22
    # Of all its neighbours only those of one company had to be looked at alone.
    assert sizes[1] <= 22 + CLAIMS_MAX
    assert sum(250 in one for one in machine.rounds) == CLAIMS_MAX


def test_kills_from_outside_blame_nobody(database: Database) -> None:
    """Every second round is killed, whatever is in work. Load goes on: what is struck again comes every second time."""
    machine = Machine(database)
    for number in range(60):
        machine.inbox.accept([an_arrival(f"evt_{number}-{one}", lane=f"customer/{one}") for one in range(4)])
        machine.round(is_killed=number % 2 == 0)
    while machine.round():
        assert len(machine.rounds) < 400
    assert machine.states() == {"processed": 240}


def test_after_a_death_the_neighbours_go_first_and_a_suspect_every_second_time(database: Database) -> None:
    _filled(database, 2, lanes=2)
    machine = Machine(database, culprit=1)
    for _ in range(SUSPECT_CLAIMS):
        machine.round()
    for number in range(8):
        machine.inbox.accept([an_arrival(f"late_{number}", lane=f"customer/9{number}")])
        machine.round()
    # New ones go first in a process that has just begun; then a suspect gets its turn, and so on.
    assert machine.rounds[SUSPECT_CLAIMS:] == [[3], [1], [4, 5], [2], [6, 7], [1], [8, 9], [1]]


@pytest.mark.parametrize("limit", [1, 10])
def test_nothing_goes_before_what_is_earlier_in_its_lane(database: Database, limit: int) -> None:
    """A suspect's lane waits for it; other lanes do not."""
    _filled(database, 9, lanes=3)
    with database.write_unaudited() as connection:
        connection.execute(sa.update(inbox_work).where(inbox_work.c.seq == 4).values(attempts=SUSPECT_CLAIMS))
    machine = Machine(database)
    while machine.round(limit=limit):
        assert len(machine.rounds) < 30
    order = [seq for one in machine.rounds for seq in one]
    assert sorted(order) == list(range(1, 10))
    assert [seq for seq in order if seq % 3 == 1] == [1, 4, 7]
    assert [4] in machine.rounds


_WORK = st.lists(st.tuples(st.integers(0, CLAIMS_MAX - 1), st.sampled_from("abcdef")), min_size=1, max_size=60).map(
    lambda rows: [Claimable(seq, attempts, lane, None) for seq, (attempts, lane) in enumerate(rows)]
)


@given(work=_WORK, limit=st.integers(1, 80), is_suspects_turn=st.booleans())
def test_whoever_is_due_something_goes_and_the_accused_go_in_small_company(
    work: list[Claimable], limit: int, is_suspects_turn: bool
) -> None:
    work = work[:limit]
    chosen = together(work, limit, is_suspects_turn=is_suspects_turn)
    assert chosen
    names = {one.seq for one in chosen}
    for one in chosen:
        assert all(other.seq in names for other in work if other.lane == one.lane and other.seq < one.seq)
    if any(one.attempts >= SUSPECT_CLAIMS for one in chosen):
        assert len(chosen) == 1
    if any(one.attempts for one in chosen):
        assert len(chosen) ** 2 <= limit
        assert all(one.attempts for one in chosen)

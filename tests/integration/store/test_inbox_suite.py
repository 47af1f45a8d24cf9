"""The table is an inbox: it answers the suite that a broker would have to answer too."""

from __future__ import annotations

import pytest

from accordant.ports.inbox import Inbox, WorkState
from accordant.ports.state import Changes, Settlement
from accordant.store import inbox as table
from accordant.store.engine import Database
from accordant.store.state import SqlState
from accordant.store.vault import Vault
from accordant.testing import inbox_suite
from accordant.testing.inbox_suite import NOW, InboxSuite


class TestSqlInbox(InboxSuite):
    @pytest.fixture
    def inbox(self, database: Database) -> Inbox:
        self.database = database
        return table.SqlInbox(database, Vault(database, bytes(32)))

    def settle(self, inbox: Inbox, seq: int) -> None:
        done = Settlement(seq=seq, state=WorkState.PROCESSED, reason=None, due_at=NOW)
        SqlState(self.database).commit(Changes(settlements=[done]), now=NOW)


def test_the_suite_counts_the_partitions_there_are() -> None:
    assert inbox_suite.PARTITIONS == table.PARTITIONS

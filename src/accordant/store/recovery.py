"""Everything a recovery reads and keeps, on one database: `ports.recovery.RecoveryShelves`."""

from accordant.store.engine import Database
from accordant.store.history import SqlHistory
from accordant.store.inbox import SqlInbox
from accordant.store.patterns import SqlPatternBook
from accordant.store.redrive import SqlDeadLetters
from accordant.store.replays import SqlReplayBook, SqlReplayHistory


class SqlRecovery:
    """The shelves of one database. ``inbox`` opens what is stored."""

    def __init__(self, database: Database, inbox: SqlInbox) -> None:
        self.letters = SqlDeadLetters(database)
        self.patterns = SqlPatternBook(database)
        self.history = SqlReplayHistory(database, SqlHistory(database, inbox))
        self.replays = SqlReplayBook(database)

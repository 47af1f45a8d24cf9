"""The desk of sagas of one hub, put together for the clock and for pages. Next: `operations/saga_desk.py`."""

from typing import Protocol

from accordant.canonical.charter import Charter
from accordant.charters import connector_facts
from accordant.governance.check_ownership import categories_of
from accordant.governance.decide import Switches
from accordant.kernel.clock import Clock
from accordant.operations.saga_desk import SagaDesk
from accordant.pipeline.plan import Rulebook
from accordant.store.engine import Database
from accordant.store.sagas import SqlSagaBook
from accordant.store.state import SqlState


class SagaHost(Protocol):
    """A hub, as far as its sagas are followed by its store."""

    @property
    def charter(self) -> Charter: ...
    @property
    def rulebook(self) -> Rulebook: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def database(self) -> Database: ...


class _Hub:
    """What the desk asks of a hub, read from its store at the moment of asking."""

    def __init__(self, host: SagaHost) -> None:
        self._host = host
        self.state = SqlState(host.database)
        self.clock = host.clock

    @property
    def charter(self) -> Charter:
        return self._host.charter

    @property
    def rulebook(self) -> Rulebook:
        return self._host.rulebook

    def switches(self) -> Switches:
        return Switches.thrown(*self.state.policy())


def saga_desk(host: SagaHost) -> SagaDesk:
    """The desk; it holds nothing but what it is given here."""
    facts = connector_facts()
    book = SqlSagaBook(host.database)
    return SagaDesk(_Hub(host), book, categories=lambda charter: categories_of(charter, facts))

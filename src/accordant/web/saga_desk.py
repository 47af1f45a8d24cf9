"""The desk of sagas of one hub, put together for the clock and for pages. Next: `operations/saga_desk.py`."""

from accordant.bootstrap import Hub
from accordant.charters import connector_facts
from accordant.governance.check_ownership import categories_of
from accordant.operations.saga_desk import SagaDesk
from accordant.store.sagas import SqlSagaBook


def saga_desk(hub: Hub) -> SagaDesk:
    """The desk; it holds nothing but what it is given here."""
    facts = connector_facts()
    return SagaDesk(hub, SqlSagaBook(hub.database), categories=lambda charter: categories_of(charter, facts))

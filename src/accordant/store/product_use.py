"""Which accounts have which product: what a product is called is written for them, whoever tells of it first.

A name may come after the subscription that has it, and it may change. Both times the accounts are decided again, noted
in the transaction that keeps the name. Next: `owed.py`.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from accordant.ports.state import ProductUse
from accordant.store import bulk
from accordant.store.owed import owe
from accordant.store.schema import product_use

_COLUMNS = ("product", "account_id")


def commit_product_uses(
    connection: Connection, uses: Sequence[ProductUse], renamed: Sequence[str], *, now: datetime
) -> None:
    """Keep who has which product, and note who is to be decided again.

    An account that was decided without a name is noted too: the name may be in a transaction that runs beside this one.
    """
    bulk.insert_new(connection, product_use, _COLUMNS, [(use.product, use.account_id) for use in uses])
    due = {use.account_id for use in uses if not use.is_named}
    due.update(
        account_id for (account_id,) in bulk.select_by_keys(connection, product_use, _COLUMNS[1:], "product", renamed)
    )
    if due:
        owe(connection, sorted(due), now=now)

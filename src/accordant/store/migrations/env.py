"""Alembic's entry: runs the versions inside the transaction that `store.migrate` opened and locked.

There is no offline mode and no configuration file: the product migrates itself, from a checkout and from a wheel alike.
"""

from alembic import context

from accordant.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Both databases can undo DDL; Alembic believes it of PostgreSQL only.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

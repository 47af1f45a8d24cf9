"""Closes a later version's tables of the past to change, with the sentence and the function of the first version."""

from collections.abc import Iterable

from alembic import op

_SENTENCE = "is append-only: what happened is never changed or removed. Add a new row that corrects it."


def close_to_change(tables: Iterable[str]) -> None:
    """Refuse every update and removal in these tables, by triggers."""
    for table in tables:
        if op.get_bind().dialect.name == "sqlite":
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER append_only_{table}_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'The table {table} {_SENTENCE}'); END"
                )
        else:
            op.execute(
                f"CREATE TRIGGER append_only_{table} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION accordant_append_only()"
            )

"""A connection that carries out what was compiled with as little around it as can be, for the store in memory.

The statements are the library's own, compiled by it and kept; what is left out is what it does around each of them for
drivers, threads and servers that are not there. What is not simple goes its way through the library.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Executable
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import Compiled, SQLCompiler

from accordant.store.guard import count

#: Those that are made anew for every question come and go.
_KNOWN_MAX = 1_000
_NO_COLUMNS = SimpleResultMetaData(())


class LeanResult(IteratorResult[Any]):
    """Rows of a statement, or how many it changed."""

    def __init__(self, metadata: SimpleResultMetaData, rows: Iterable[Any], cursor: sqlite3.Cursor) -> None:
        super().__init__(metadata, iter(rows))
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid


class _Prepared:
    """What is known of a compiled statement: its text, the names of its values in order, how to read its rows."""

    def __init__(self, compiled: SQLCompiler) -> None:
        self.compiled = compiled
        self.text = compiled.string
        self.names = tuple(compiled.positiontup or ())
        self.binders = dict(cast("Mapping[str, Callable[[Any], Any]]", compiled._bind_processors))  # noqa: SLF001
        columns = compiled._result_columns  # noqa: SLF001  nothing public says it
        self.metadata = SimpleResultMetaData([str(column.keyname) for column in columns])
        readers = [column.type._cached_result_processor(compiled.dialect, None) for column in columns]  # noqa: SLF001
        self.readers = [(index, reader) for index, reader in enumerate(readers) if reader is not None]
        self.asks_for = frozenset(name for bind, name in compiled.bind_names.items() if bind.required)
        self.has_lists = bool(compiled.post_compile_params)
        # A column that is put in or given back by itself: the library knows how.
        self.is_simple = not (
            compiled.literal_execute_params
            or compiled.insert_prefetch
            or compiled.update_prefetch
            or compiled.effective_returning
        )

    def values(self, extracted: Any, collected: Any) -> dict[str, Any]:  # noqa: ANN401  as the library keeps them
        """What the statement itself says; None for a value that is given with each question."""
        return dict(
            self.compiled.construct_params(
                None, extracted_parameters=extracted, escape_names=False, _check=False, _collected_params=collected
            )
        )

    def bound(self, given: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """The text, and the values in order as the driver takes them; a list is written out with as many places."""
        text, names, binders = self.text, self.names, self.binders
        if self.has_lists:
            written = self.compiled._process_parameters_for_postcompile(given)  # noqa: SLF001  as the library does it
            text, names, given = (
                written.statement,
                tuple(written.positiontup or ()),
                given | dict(written.additional_parameters),
            )
            binders = binders | cast("dict[str, Callable[[Any], Any]]", written.processors)
        if not binders:
            return text, tuple(given[name] for name in names)
        return text, tuple(given[name] if (bind := binders.get(name)) is None else bind(given[name]) for name in names)

    def read(self, rows: list[tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
        """Rows as the types of their columns say."""
        return rows if not self.readers else (self._row(row) for row in rows)

    def _row(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        changed = list(row)
        for index, reader in self.readers:
            changed[index] = reader(changed[index])
        return tuple(changed)


class LeanConnection(Connection):
    """See the module."""

    _prepared: dict[Compiled, _Prepared]
    #: Of each text of ours the columns it gives back.
    _columns: dict[str, SimpleResultMetaData]
    #: Statements that were made once and are asked again and again, by their number, with the values they say.
    _known: dict[int, tuple[Executable, _Prepared, dict[str, Any]]]

    def lean(self) -> "LeanConnection":
        """Begin to be lean, on the driver's connection that is held from now on."""
        self._raw = cast("sqlite3.Connection", self.connection.driver_connection)
        self._prepared = {}
        self._known = {}
        self._columns = {}
        return self

    def exec_driver_sql(
        self,
        statement: str,
        parameters: Any = None,  # noqa: ANN401  as it is there
        execution_options: Any = None,  # noqa: ANN401, ARG002
    ) -> Any:  # noqa: ANN401
        """See ``Connection.exec_driver_sql``."""
        cursor = self._carry_out(statement, parameters if parameters is not None else ())
        if cursor.description is None:
            return LeanResult(_NO_COLUMNS, (), cursor)
        metadata = self._columns.get(statement)
        if metadata is None:
            metadata = self._columns[statement] = SimpleResultMetaData([column[0] for column in cursor.description])
        return LeanResult(metadata, cursor.fetchall(), cursor)

    def execute(
        self,
        statement: Executable,
        parameters: Any = None,  # noqa: ANN401
        *,
        execution_options: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """See ``Connection.execute``."""
        given = parameters if isinstance(parameters, Mapping) else None
        if (parameters and given is None) or execution_options:
            return super().execute(statement, parameters, execution_options=execution_options or {})
        known = self._known.get(id(statement))
        prepared, said = self._prepare(statement, given) if known is None else known[1:]
        values = {**said, **(given or {})}
        if not prepared.is_simple or len(values) != len(said) or not prepared.asks_for <= (given or {}).keys():
            return super().execute(statement, parameters)
        cursor = self._carry_out(*prepared.bound(values))
        return LeanResult(prepared.metadata, prepared.read(cursor.fetchall()), cursor)

    def _prepare(self, statement: Executable, given: Mapping[str, Any] | None) -> tuple[_Prepared, dict[str, Any]]:
        compiled, extracted, collected, _ = statement._compile_w_cache(  # noqa: SLF001
            dialect=self.dialect,
            compiled_cache=self.engine._compiled_cache,  # noqa: SLF001
            column_keys=sorted(given) if given else [],
        )
        prepared = self._prepared.get(compiled)
        if prepared is None:
            prepared = self._prepared[compiled] = _Prepared(cast("SQLCompiler", compiled))
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        said = prepared.values(extracted, collected)
        # Held, so that its number is not another's while it is known by it.
        self._known[id(statement)] = statement, prepared, said
        return prepared, said

    def _carry_out(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        """Raises as the library: DBAPIError, in the kind that fits."""
        try:
            if isinstance(values, list):
                cursor = self._raw.executemany(statement, values)
            else:
                cursor = self._raw.execute(statement, values)
        except sqlite3.Error as error:
            raise _wrapped(statement, error) from error
        count(self, cursor, statement)
        return cursor


def _wrapped(statement: str, error: sqlite3.Error) -> BaseException:
    return DBAPIError.instance(statement, None, error, sqlite3.Error)

"""A connection that carries out what was compiled with as little around it as can be, for the store in memory.

The statements are the library's own, compiled by it and kept; what is left out is what it does around each of them for
drivers, threads and servers that are not there. What is not simple goes its way through the library.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Executable, Row
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import Compiled, SQLCompiler

from accordant.store.guard import count

#: Those that are made anew for every question come and go.
_KNOWN_MAX = 1_000
_NO_COLUMNS = SimpleResultMetaData(())
_ONE_COLUMN = SimpleResultMetaData(("value",))


class LeanResult(IteratorResult[Any]):
    """Rows of a statement, or how many it changed. They are here already: how they are mostly read goes no further."""

    def __init__(self, metadata: SimpleResultMetaData, rows: list[tuple[Any, ...]], cursor: sqlite3.Cursor) -> None:
        super().__init__(metadata, iter(rows))
        self._rows = rows
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid

    def __iter__(self) -> Iterator[Any]:
        """See ``Result.__iter__``."""
        return iter(self.all())

    def all(self) -> list[Any]:
        """See ``Result.all``."""
        metadata = self._metadata
        places = metadata._key_to_index  # noqa: SLF001  as the library makes its rows
        return [Row(metadata, None, places, row) for row in self._rows]

    def first(self) -> Any:  # noqa: ANN401
        """See ``Result.first``."""
        rows = self._rows[:1]
        return Row(self._metadata, None, self._metadata._key_to_index, rows[0]) if rows else None  # noqa: SLF001

    def one_or_none(self) -> Any:  # noqa: ANN401
        """See ``Result.one_or_none``."""
        return self.first() if len(self._rows) <= 1 else super().one_or_none()

    def scalar(self) -> Any:  # noqa: ANN401
        """See ``Result.scalar``."""
        return self._rows[0][0] if self._rows else None

    def scalars(self, index: Any = 0) -> Any:  # noqa: ANN401
        """See ``Result.scalars``."""
        if index != 0:
            return super().scalars(index)
        values = iter([row[0] for row in self._rows])
        return IteratorResult(_ONE_COLUMN, values, _source_supports_scalars=True).scalars()


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
            return text, tuple([given[name] for name in names])
        return text, tuple(given[name] if (bind := binders.get(name)) is None else bind(given[name]) for name in names)

    def read(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Rows as the types of their columns say."""
        return rows if not self.readers else [self._row(row) for row in rows]

    def _row(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        changed = list(row)
        for index, reader in self.readers:
            changed[index] = reader(changed[index])
        return tuple(changed)


class _Known(NamedTuple):
    """A statement with the values it says; ``bound`` ready for the driver where it says them all."""

    statement: Executable
    prepared: _Prepared
    said: dict[str, Any]
    bound: tuple[str, tuple[Any, ...]] | None

    def bind(self, given: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
        """Ready for the driver with these values; None where the library has to carry it out."""
        values = {**self.said, **given}
        is_whole = len(values) == len(self.said) and self.prepared.asks_for <= given.keys()
        return self.prepared.bound(values) if self.prepared.is_simple and is_whole else None


class LeanConnection(Connection):
    """See the module."""

    _prepared: dict[Compiled, _Prepared]
    #: Of each text of ours the columns it gives back.
    _columns: dict[str, SimpleResultMetaData]
    _facts: dict[Any, Any]
    #: Statements that were made once and are asked again and again, by their number.
    _known: dict[int, _Known]

    def lean(self) -> "LeanConnection":
        """Begin to be lean, on the driver's connection that is held from now on."""
        self._raw = cast("sqlite3.Connection", self.connection.driver_connection)
        self._prepared = {}
        self._known = {}
        self._columns = {}
        self._facts = super().info
        return self

    @property
    def info(self) -> dict[Any, Any]:
        """See ``Connection.info``. Asked with every statement."""
        return self._facts

    def exec_driver_sql(
        self,
        statement: str,
        parameters: Any = None,  # noqa: ANN401  as it is there
        execution_options: Any = None,  # noqa: ANN401, ARG002
    ) -> Any:  # noqa: ANN401
        """See ``Connection.exec_driver_sql``."""
        cursor = self.carry_out(statement, parameters if parameters is not None else ())
        if cursor.description is None:
            return LeanResult(_NO_COLUMNS, [], cursor)
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
        # A dictionary it is, nearly always: to ask for a mapping takes as long as binding it.
        given = parameters if type(parameters) is dict or isinstance(parameters, Mapping) else None
        if (parameters and given is None) or execution_options:
            return super().execute(statement, parameters, execution_options=execution_options or {})
        known = self._known.get(id(statement)) or self._prepare(statement, given)
        bound = known.bound if not given else known.bind(given)
        if bound is None:
            return super().execute(statement, parameters)
        cursor = self.carry_out(*bound)
        return LeanResult(known.prepared.metadata, known.prepared.read(cursor.fetchall()), cursor)

    def _prepare(self, statement: Executable, given: Mapping[str, Any] | None) -> _Known:
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
        says_all = prepared.is_simple and not prepared.asks_for
        # Held, so that its number is not another's while it is known by it.
        known = _Known(statement, prepared, said, prepared.bound(said) if says_all else None)
        self._known[id(statement)] = known
        return known

    def carry_out(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        """As ``exec_driver_sql``, for whoever needs no more than what the driver says: its rows, or how many.

        Raises as the library: DBAPIError, in the kind that fits.
        """
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

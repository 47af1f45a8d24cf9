"""Tables of at most 100 columns, JSON, and progress with the time that remains. Colour only on a terminal."""

import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from accordant.canonical.intents import WireValue
from accordant.kernel.money import Money

WIDTH_MAX = 100
#: Work that takes longer than this shows how far it is.
PATIENCE_S = 2.0
UNKNOWN = "unknown"


def out() -> Console:
    """Where answers go. Made when asked, so that a redirected stream is the one that is used."""
    console = Console(highlight=False, soft_wrap=False)
    console.width = min(console.width, WIDTH_MAX) if console.is_terminal else WIDTH_MAX
    return console


def err() -> Console:
    """Where problems and progress go."""
    console = Console(stderr=True, highlight=False)
    console.width = min(console.width, WIDTH_MAX) if console.is_terminal else WIDTH_MAX
    return console


def say(*lines: str) -> None:
    """Sentences, as they are: no text of ours or of others is taken for markup."""
    console = out()
    for line in lines:
        console.print(Text(line))


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """A table; columns named in ``right`` hold figures, those in ``whole`` names to copy: never broken."""
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        drawn.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in whole
        )
    count = 0
    for row in rows:
        drawn.add_row(*(Text(shown(cell)) for cell in row))
        count += 1
    if count:
        out().print(drawn)


def shown(value: object) -> str:
    """A value for a person: thousands separated, money with its currency, instants in UTC, unknown as such."""
    match value:
        case None:
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}Z"
        case Money():
            return str(value).replace("-", "−", 1)
        case tuple() | list() | frozenset():
            return ", ".join(shown(item) for item in value)
        case _:
            return "".join(letter if letter.isprintable() else "�" for letter in str(value))


def field_text(value: WireValue) -> str:
    """A target field's value: nothing in it is known to be nothing."""
    return "empty" if value is None else value if isinstance(value, str) and value.isprintable() else shown(value)


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 record``, ``2 records``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def amounts(money: Sequence[Money] | None) -> str:
    """Sums, one a currency."""
    if money is None:
        return UNKNOWN
    return " + ".join(shown(one) for one in money) or "none"


def emit(value: Any) -> None:  # noqa: ANN401  any value of ours that has a JSON form
    """One JSON document."""
    encoded = msgspec.json.encode(value, order="deterministic", enc_hook=_encode)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def _encode(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value, key=str)
    return str(value)


class Meter:
    """Progress on the error stream, once the work has lasted longer than a moment, and only on a terminal."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.perf_counter()
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        """``total`` 0 means that nobody knows how much there is."""
        if self._progress is None:
            console = err()
            if not console.is_terminal or time.perf_counter() - self._started < PATIENCE_S:
                return
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(self._label, total=total or None)
        self._progress.update(self._task, completed=done, total=total or None)

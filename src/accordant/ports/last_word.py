"""The last word on a write, asked when its turn has come: a call may have waited long since the court was asked.

True when you leave: nothing is sent that the policy of that very moment forbids. The one HTTP client asks by itself, so
no connector can forget to. Next: `pipeline/deliver.py`, which has the word, and `connectors/sdk/http.py`, which asks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from accordant.kernel.errors import TransientError

#: Says nothing, or raises WriteForbidden.
LastWord = Callable[[], None]

_word: ContextVar[LastWord | None] = ContextVar("last_word", default=None)


class WriteForbidden(TransientError):
    """The rules changed while a write waited for its turn. Nothing of it was sent."""

    remedy = "It is looked at again by the rules of today."


@contextmanager
def last_word(word: LastWord) -> Iterator[None]:
    """Have every write asked about that is sent from inside, in this task and in those it starts."""
    before = _word.set(word)
    try:
        yield
    finally:
        _word.reset(before)


def ask_last_word() -> None:
    """Ask right before the first byte of a write leaves. Raises WriteForbidden; where nobody has a word, never."""
    word = _word.get()
    if word is not None:
        word()

"""The event loop of a server process: uvloop where it is installed, asyncio's own where it is not made."""

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, cast

Result = TypeVar("Result")

#: Containers made and not freed before the collector looks at the young ones, and how many such looks come before one
#: at the older: a batch of events is some fifty thousand dictionaries that live until its commit and have no cycles.
#: With the interpreter's 700 every batch is walked through a hundred times, and all that the process has every second.
_COLLECT_AFTER = (20_000, 20, 20)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run ``main`` to its end. One wake-up of uvloop serves many requests, where asyncio writes to a pipe for each."""
    with rarely_collected():
        if find_spec("uvloop") is None:
            return asyncio.run(main)
        return cast("Result", import_module("uvloop").run(main))


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Look for cycles as seldom as a process needs it that works in batches."""
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)

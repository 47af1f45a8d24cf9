"""The event loop of a server process: uvloop where it is installed, asyncio's own where it is not made."""

import asyncio
from collections.abc import Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, cast

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run ``main`` to its end. One wake-up of uvloop serves many requests, where asyncio writes to a pipe for each."""
    if find_spec("uvloop") is None:
        return asyncio.run(main)
    return cast("Result", import_module("uvloop").run(main))

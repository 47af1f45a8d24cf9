"""Pages are plain functions that read the store; the server's loop must not wait for them.

The framework's own switch for this wraps a function again for each of its addresses, so ours does it once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_thread(function: Callable[Parameters, Result]) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """The same function for the loop to await; it runs in a thread."""

    @wraps(function)
    async def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return await asyncio.to_thread(partial(function, *args, **kwargs))

    return run

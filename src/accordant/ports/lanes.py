"""Who takes which lanes: workers share the partitions among them, and a commit of somebody who lost his is refused."""

from typing import Protocol

import msgspec

from accordant.kernel.errors import TransientError


class StaleLease(TransientError):
    """This worker was taken for dead and its lanes given to another: what it decided is dropped, nothing is stored."""

    remedy = "The worker takes its share of the lanes anew."


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """The partitions a worker may take just now, and whether these are all. ``token`` is asked for in every commit."""

    token: int
    partitions: frozenset[int]
    is_whole: bool = False

    @property
    def choice(self) -> frozenset[int] | None:
        """The partitions to ask for; None where none is left out."""
        return None if self.is_whole else self.partitions


class Lanes(Protocol):
    """Obligations: no partition is in two shares whose tokens are both still good."""

    def beat(self) -> None:
        """Say that this worker is alive. Raises TransientError when the store cannot be told."""
        ...

    def balance(self) -> Share:
        """This worker's share, after taking what is free and giving back what is too much.

        Called between two rounds only, never during one: what is given back must not be in work.
        """
        ...

    def leave(self) -> None:
        """Give everything back: this worker stops."""
        ...

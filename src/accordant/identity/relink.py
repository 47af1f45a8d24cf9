"""What became of a record we knew by its id: it stands, it was merged into another, it is gone. Pure.

True when you leave: a chain of merges ends in one live record or in a sentence; a chain that bites its tail is refused.
Next: `pipeline/recognize.py`, which asks the target hop by hop.
"""

from collections.abc import Mapping

import msgspec

from accordant.canonical.targets import Whereabouts

#: Merges of merges that are followed. Whoever merges more often than this into one another has made a mistake.
HOPS_MAX = 10


class Stands(msgspec.Struct, frozen=True, tag=True):
    """The record that is to be written now. ``path`` are the ids it was followed by, ours first, its own last."""

    record: Whereabouts
    path: tuple[str, ...]

    @property
    def was_merged(self) -> bool:
        """Whether it is another record than the one we knew."""
        return len(self.path) > 1


class Gone(msgspec.Struct, frozen=True, tag=True):
    """The trail ends at a record that was deleted; ``forgotten`` when the target no longer knows of it at all."""

    path: tuple[str, ...]
    forgotten: bool


class Circular(msgspec.Struct, frozen=True, tag=True):
    """The records name one another as survivors, or do so too often: nobody can say which of them stands."""

    path: tuple[str, ...]


class Unasked(msgspec.Struct, frozen=True, tag=True):
    """The trail leads to a record that nobody has asked for yet."""

    next_id: str


Followed = Stands | Gone | Circular | Unasked


def follow(target_id: str, told: Mapping[str, Whereabouts | None]) -> Followed:
    """Where the record of that id stands now, by what the target told; None says that it no longer knows an id."""
    path = [target_id]
    while True:
        here = path[-1]
        if here not in told:
            return Unasked(here)
        seen = told[here]
        if seen is None:
            return Gone(tuple(path), forgotten=True)
        if not seen.deleted:
            return Stands(seen, tuple(path))
        if seen.merged_into is None:
            return Gone(tuple(path), forgotten=False)
        if seen.merged_into in path or len(path) > HOPS_MAX:
            return Circular((*path, seen.merged_into))
        path.append(seen.merged_into)

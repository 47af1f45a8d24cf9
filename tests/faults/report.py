"""What a drill hands back: which faults really struck, how much was compared, and what does not hold."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one drill.

    ``fired`` counts faults by kind and ``compared`` what was looked at, both by those who made or own it; ``figures``
    are measurements. A run in which a planned fault never struck, or that compared nothing, does not hold.
    """

    drill: str
    store: str
    rounds: int
    seconds: float
    fired: Mapping[str, int]
    compared: Mapping[str, int]
    figures: Mapping[str, float] = {}
    faults: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that keeps this run from counting."""
        found = list(self.faults)
        found += [f"the fault {name!r} never struck" for name, count in self.fired.items() if not count]
        found += [f"no {name} were compared" for name, count in self.compared.items() if not count]
        if not self.fired or not self.compared:
            found.append("nothing was tried or nothing was compared")
        return tuple(found)

    def line(self) -> str:
        """One line of JSON."""
        shown = msgspec.structs.asdict(self)
        shown["fired"], shown["compared"] = dict(sorted(self.fired.items())), dict(self.compared)
        return msgspec.json.encode({**shown, "holds": not self.problems}).decode()

"""The links to the systems outside: a random few of them stop one by one and come back in another order.

What a storm does to one target, this does across all of them at once, and to the reading of owners as well.
"""

from accordant.ports.connector import TargetUnavailable
from accordant.testing.simulator.world import Fault, World


class Links:
    """Which links of a schedule are stopped. Drawn from dice of its own (``World.aside``)."""

    def __init__(self, world: World, names: tuple[str, ...]) -> None:
        self._world = world
        self._names = names
        self._stopped: set[str] = set()
        #: At which step which link stops or comes back.
        self._turns: dict[int, list[str]] = {}

    def draw(self, steps: int) -> None:
        """Choose a few links, when each stops, and when each comes back; later ones may be back first."""
        dice = self._world.aside
        for name in dice.sample(self._names, dice.randint(1, len(self._names))):
            stops = dice.randrange(max(1, steps // 2))
            for turn in (stops, dice.randrange(stops + 1, steps + 1)):
                self._turns.setdefault(turn, []).append(name)

    def at_step(self, number: int) -> None:
        """A step begins: what stops now, and what comes back."""
        for name in self._turns.get(number, ()):
            self._stopped ^= {name}
            self._world.tell(f"the link to {name} {'stops' if name in self._stopped else 'is back'}")

    def restore_all(self) -> None:
        """Every link is back."""
        self._stopped.clear()

    def call(self, name: str, where: str) -> None:
        """Somebody calls over this link. Raises TargetUnavailable while it is stopped: not a byte went over it."""
        if name in self._stopped:
            self._world.note_fault(Fault.SWIZZLE, where)
            raise TargetUnavailable("There is no link to the target.")

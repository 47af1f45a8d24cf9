"""Where dead letters are looked at and put back: what a redrive is judged by, gathered anew for every question.

Held by the hub; the command line and the console ask here. Next: `redrive.py`, which judges, and `patterns.py`.
"""

from collections.abc import Callable, Mapping, Sequence

from accordant.canonical.charter import Charter
from accordant.canonical.error_patterns import KnownPattern
from accordant.governance.decide import Switches
from accordant.kernel.clock import Clock
from accordant.operations.patterns import LetterGroup, describe_pattern, find_letters
from accordant.operations.redrive import Redriven, RedrivePlan, Terms, plan_redrive, redrive, waive_window
from accordant.operations.redrive_checks import Installed, RedriveOrder
from accordant.pipeline.plan import Rulebook
from accordant.ports.connector import DestinationClass, Outbound
from accordant.ports.patterns import PatternBook
from accordant.ports.redrive import DeadLetters
from accordant.ports.state import State

#: Of each system of a charter for how many days its provider lists events, None where it lists none.
Windows = Callable[[Charter], Mapping[str, int | None]]
#: What the connector of a system says that one of its objects offers against writing twice; None where it says nothing.
Declared = Callable[[Charter, str, str], DestinationClass | None]


class RecoveryRoom:
    """The dead letters of one hub. Everything is asked as it stands at that moment."""

    def __init__(
        self,
        letters: DeadLetters,
        patterns: PatternBook,
        state: State,
        *,
        rulebook: Callable[[], Rulebook],
        switches: Callable[[], Switches],
        clock: Clock,
        outbounds: Mapping[str, Outbound],
        windows: Windows,
        declared: Declared,
        release: str,
    ) -> None:
        self.letters = letters
        self.patterns = patterns
        self._state = state
        self._rulebook = rulebook
        self._switches = switches
        self._clock = clock
        self._outbounds = outbounds
        self._windows = windows
        self._declared = declared
        self._release = release

    def groups(self, *, text: str = "", pattern: str = "") -> tuple[LetterGroup, ...]:
        """Dead letters by place and pattern; see ``find_letters``."""
        return find_letters(letters=self.letters, known=self.patterns.known(), text=text, pattern=pattern)

    def describe(self, key: str, *, name: str, remedy: str, actor: str) -> KnownPattern:
        """Give a pattern a name and a remedy. Raises as ``describe_pattern``."""
        return describe_pattern(
            key, name=name, remedy=remedy, actor=actor, letters=self.letters, book=self.patterns, now=self._clock()
        )

    def plan(self, ids: Sequence[str], *, actor: str) -> RedrivePlan:
        """What of these dead letters would go back by this person's word, and what is missing for the others."""
        return plan_redrive(
            ids=ids,
            actor=actor,
            terms=self._terms(),
            letters=self.letters,
            state=self._state,
            rulebook=self._rulebook(),
            switches=self._switches(),
            now=self._clock(),
        )

    def redrive(self, ids: Sequence[str], order: RedriveOrder) -> Redriven:
        """Put dead letters back, after checks: intents by id, events as ``event/NUMBER``. Raises RejectedError."""
        return redrive(
            ids=ids,
            order=order,
            terms=self._terms(),
            letters=self.letters,
            state=self._state,
            rulebook=self._rulebook(),
            switches=self._switches(),
            now=self._clock(),
        )

    def waive(self, ids: Sequence[str], *, actor: str, reason: str) -> tuple[str, ...]:
        """Let somebody else redrive letters that are past their provider's window. Raises RejectedError."""
        return waive_window(
            ids=ids, actor=actor, reason=reason, terms=self._terms(), letters=self.letters, now=self._clock()
        )

    def _terms(self) -> Terms:
        rulebook = self._rulebook()
        return Terms(
            installed=Installed(release=self._release, charter=rulebook.version),
            redrivers=rulebook.charter.lanes.redrivers,
            windows=self._windows(rulebook.charter),
            offers=self._offers,
        )

    def _offers(self, target: str, object_name: str) -> DestinationClass | None:
        """The weaker of what the connector declares of the object and what its writing half offers at all."""
        outbound = self._outbounds.get(target)
        if outbound is None:
            return None
        declared = self._declared(self._rulebook().charter, target, object_name)
        return max(outbound.destination_class, declared or outbound.destination_class, key=str)

"""Where dead letters are put back and past events replayed: what both are judged by, gathered for every question.

Held by the hub; the command line and the console ask here. Next: `redrive.py`, `replay.py`, `patterns.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from accordant.canonical.charter import Charter
from accordant.canonical.error_patterns import KnownPattern
from accordant.governance.decide import Switches
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.operations.patterns import LetterGroup, describe_pattern, find_letters
from accordant.operations.redrive import Redriven, RedrivePlan, Terms, plan_redrive, redrive, waive_window
from accordant.operations.redrive_checks import Installed, RedriveOrder
from accordant.operations.replay import Progress, ReplayCount, Rights, Stage, begin_replay, count_replay, resume_replay
from accordant.operations.settle_letter import Finding, settle_letter
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.work import Shield
from accordant.ports.connector import DestinationClass, Inbound, Outbound
from accordant.ports.recovery import RecoveryShelves
from accordant.ports.replay import ReplayJob, ReplayOrder
from accordant.ports.state import State


class Declared(Protocol):
    """What connectors say of the systems of a charter."""

    def windows_of(self, charter: Charter, /) -> Mapping[str, int | None]:
        """For how many days each system lists its past events; None for one that lists none."""
        ...

    def declared_class(self, charter: Charter, system: str, object_name: str, /) -> DestinationClass | None:
        """What an object offers against writing twice; None for an object nobody says anything of."""
        ...


class RecoveryRoom:
    """Dead letters and replays of one hub. Everything is asked as it stands at that moment."""

    def __init__(
        self,
        shelves: RecoveryShelves,
        state: State,
        *,
        rulebook: Callable[[], Rulebook],
        switches: Callable[[], Switches],
        clock: Clock,
        inbounds: Mapping[str, Inbound],
        outbounds: Mapping[str, Outbound],
        declared: Declared,
        rights: Rights,
        shield: Shield,
        release: str,
    ) -> None:
        self.letters = shelves.letters
        self.patterns = shelves.patterns
        self._shelves = shelves
        self._state = state
        self._rulebook = rulebook
        self._switches = switches
        self._clock = clock
        self._inbounds = inbounds
        self._outbounds = outbounds
        self._declared = declared
        self._rights = rights
        self._shield = shield
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

    def settle(self, letter: str, finding: Finding) -> Redriven | None:
        """Store what a person found of a write whose target cannot be asked. Raises as ``settle_letter``."""
        return settle_letter(
            letter,
            finding,
            terms=self._terms(),
            letters=self.letters,
            courier=self._rulebook().charter.courier,
            redrive=lambda order: self.redrive([letter], order),
            now=self._clock(),
        )

    def is_unaskable(self, target: str, object_name: str) -> bool:
        """Whether nobody but a person can say what became of a write to these objects."""
        return self._offers(target, object_name) is DestinationClass.NOTHING

    def waive(self, ids: Sequence[str], *, actor: str, reason: str) -> tuple[str, ...]:
        """Let somebody else redrive letters that are past their provider's window. Raises RejectedError."""
        return waive_window(
            ids=ids, actor=actor, reason=reason, terms=self._terms(), letters=self.letters, now=self._clock()
        )

    def count_replay(self, order: ReplayOrder) -> ReplayCount:
        """How many events a replay would walk. Nothing is changed."""
        return count_replay(self._stage(), order)

    def replay(self, order: ReplayOrder, *, progress: Progress | None = None) -> ReplayJob:
        """Walk past events once more; the job with what came of it. Raises RejectedError where it may not begin."""
        stage = self._stage()
        job = begin_replay(stage, order, now=self._clock())
        return self._walk(stage, job, progress)

    def begin_replay(self, order: ReplayOrder) -> ReplayJob:
        """Keep a replay for a server to walk. Raises RejectedError where it may not begin."""
        return begin_replay(self._stage(), msgspec.structs.replace(order, by_server=True), now=self._clock())

    def walk_ordered(self) -> ReplayJob | None:
        """Walk the oldest replay that waits for a server, from where it stands; None where none does."""
        waiting = self._shelves.replays.ordered()
        return self._walk(self._stage(), waiting[0], None) if waiting else None

    def replay_once(self, job_id: str, order: ReplayOrder, *, progress: Progress | None = None) -> ReplayJob | None:
        """Walk past events under a name: begun, gone on with, or as it ended; None where there is no event to walk."""
        stage = self._stage()
        job = self._shelves.replays.find(job_id)
        if job is None:
            if not count_replay(stage, order).total:
                return None
            job = begin_replay(stage, order, now=self._clock(), job_id=job_id)
        return (
            job
            if job.finished_at is not None
            else resume_replay(stage, job, rights=self._rights, clock=self._clock, progress=progress)
        )

    def find_replay(self, job_id: str) -> ReplayJob | None:
        """A replay by its id."""
        return self._shelves.replays.find(job_id)

    def resume_replay(self, job_id: str, *, progress: Progress | None = None) -> ReplayJob:
        """Go on with a replay that was interrupted. Raises RejectedError for one that is not there, or done."""
        job = self._shelves.replays.find(job_id)
        if job is None or job.finished_at is not None:
            what = "is finished" if job is not None else "was never started here"
            raise RejectedError(f"The replay {job_id[:60]!r} {what}.", remedy="Start a new one.")
        return self._walk(self._stage(), job, progress)

    def _walk(self, stage: Stage, job: ReplayJob, progress: Progress | None) -> ReplayJob:
        return resume_replay(stage, job, rights=self._rights, clock=self._clock, progress=progress)

    def _stage(self) -> Stage:
        return Stage(
            state=self._state,
            history=self._shelves.history,
            book=self._shelves.replays,
            rulebook=self._rulebook(),
            connectors=self._inbounds,
            shield=self._shield,
        )

    def _terms(self) -> Terms:
        rulebook = self._rulebook()
        return Terms(
            installed=Installed(release=self._release, charter=rulebook.version),
            redrivers=rulebook.charter.lanes.redrivers,
            windows=self._declared.windows_of(rulebook.charter),
            offers=self._offers,
        )

    def _offers(self, target: str, object_name: str) -> DestinationClass | None:
        """The weaker of what the connector declares of the object and what its writing half offers at all."""
        outbound = self._outbounds.get(target)
        if outbound is None:
            return None
        declared = self._declared.declared_class(self._rulebook().charter, target, object_name)
        offered = outbound.protocol(object_name).destination_class
        return max(offered, declared or offered, key=str)

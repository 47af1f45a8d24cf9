"""A store that was put back from a backup has forgotten what was done since: dispatch stops until targets were asked.

True when you leave `look`: either this store knows of everything that was ever dispatched from here, or nothing goes
out. Next: `pipeline/write_protocol.py` for what an epoch means to a write, `store/epochs.py` for the mark.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock

import structlog

from accordant.canonical.intents import WriteIntent
from accordant.canonical.targets import object_spec
from accordant.kernel.clock import Clock, from_micros, to_micros
from accordant.kernel.errors import AccordantError, RejectedError, TransientError
from accordant.pipeline.plan import Rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import DestinationClass, Outbound
from accordant.ports.epochs import Epoch, EpochBook, Mark, Marker, Note

_NOTICED = (
    "The store was put back from a backup: something was dispatched of which it knows nothing. Nothing is written "
    "until the targets were compared."
)
_log = structlog.get_logger("courier")


class StorePutBack(TransientError):
    """The store is of an earlier time than what was dispatched from here."""

    remedy = "The next round compares the targets first."


class EpochWatch:
    """Watches one installation's store for restores."""

    def __init__(
        self,
        book: EpochBook,
        marker: Marker,
        *,
        outbounds: Mapping[str, Outbound],
        rulebook: Callable[[], Rulebook],
        clock: Clock,
        lease_clock: Clock,
    ) -> None:
        """``lease_clock`` is what waits are counted by: no step of ``clock`` moves it (`store/lease_time.py`)."""
        self._book = book
        self._marker = marker
        self._outbounds = outbounds
        self._rulebook = rulebook
        self._clock = clock
        self._lease_clock = lease_clock
        self._noted: Note | None = None
        # Each target has a courier of its own, and they ask at once: a mark that was read before another courier
        # counted on looks like that of an earlier life once it is compared with the note of after.
        self._one_at_a_time = Lock()
        #: The open epoch that this process knows, and since when.
        self._met: tuple[int, datetime] | None = None

    async def look(self) -> Epoch:
        """The epoch, asked before anything is dispatched; while it is open, nothing may be. Compares if it can.

        Raises TransientError when the store cannot say.
        """
        epoch = await asyncio.to_thread(self._notice)
        return await self._reconcile(epoch) if epoch.is_open else epoch

    def known(self) -> Epoch:
        """The epoch as the store knows it, without a look at the note outside. Raises as ``look``."""
        return self._book.current()[0]

    async def keep_mark(self, said_to: datetime | None = None) -> None:
        """Something was taken up and is about to go out: the note outside of the store learns of it first.

        ``said_to`` is the newest stamp of its causes. Raises StorePutBack, and TransientError while the note cannot be
        kept: then nothing may go out.
        """
        await asyncio.to_thread(self._keep, said_to)

    def declare(self, *, actor: str, reason: str) -> Epoch:
        """A person says that the store was put back, where the note outside was lost with it.

        Raises RejectedError without a name or a reason.
        """
        if not actor.strip() or not reason.strip():
            raise RejectedError("A restore is declared by a named person, with a reason.", remedy="Say who and why.")
        return self._begin(actor.strip(), reason.strip())

    def _notice(self) -> Epoch:
        with self._one_at_a_time, self._marker.alone():
            return self._noticed()

    def _noticed(self) -> Epoch:
        # Others dispatch too: their notes are later than ours, so that an old one of ours is no reason for alarm.
        noted = self._marker.read() if self._noted is None else self._noted
        epoch, mark = self._book.current()
        if epoch.is_open:
            self._note(mark)
            return epoch
        if noted is None or not noted.is_ahead_of(mark):
            self._noted = noted
            return epoch
        noted = self._marker.read() or noted
        _log.error("the store was put back from a backup; nothing is written until the targets were compared")
        self._met = None
        said_to = from_micros(noted.said_to) if noted.said_to else None
        epoch = self._begin("accordant", _NOTICED, said_to)
        # What has begun counts the mark on, so that the same copy put back a second time is behind the note again.
        self._note(self._book.current()[1])
        return epoch

    def _keep(self, said_to: datetime | None) -> None:
        with self._one_at_a_time, self._marker.alone():
            noted = self._marker.read()
            epoch, mark = self._book.current()
            if epoch.is_open or (noted is not None and noted.is_ahead_of(mark)):
                self._noted = noted
                raise StorePutBack("The store was put back from a backup just now; what was taken up is not sent.")
            self._note(mark, said_to=0 if said_to is None else to_micros(said_to))

    def _note(self, mark: Mark, *, said_to: int = 0) -> None:
        """Keep the mark, whatever was noted before: whoever calls has seen to it that it may go back."""
        noted = self._marker.read()
        note = Note(mark.number, mark.at, max(said_to, 0 if noted is None else noted.said_to))
        if note != noted:
            self._marker.write(note)
        self._noted = note

    def _begin(self, actor: str, reason: str, said_to: datetime | None = None) -> Epoch:
        now = self._clock()
        entry = _entry("noticed", actor, now, {"reason": reason})
        return self._book.begin(declared_by=actor, reason=reason, entry=entry, said_to=said_to)

    async def _reconcile(self, epoch: Epoch) -> Epoch:
        """Compare what is open with what targets hold, once everything that went out must have come to light.

        How long ago that was is counted from when this process met the epoch: the watch that it was noticed by may be
        another one's, or wrong.
        """
        now, known_at = self._clock(), self._lease_clock()
        if self._met is None or self._met[0] != epoch.number:
            self._met = epoch.number, known_at
        settles = [outbound.protocol(object_name).settles_after for object_name, outbound in self._written()]
        if settles and known_at - self._met[1] < max(settles):
            return epoch
        intents = await asyncio.to_thread(self._book.open_intents)
        counts: Counter[str] = Counter()
        try:
            for flow in sorted({intent.flow for intent in intents}):
                counts += await self._compare(flow, [intent for intent in intents if intent.flow == flow])
        except AccordantError as error:
            _log.warning("a target could not be compared after a restore", problem=str(error))
            return epoch
        entry = _entry("reconciled", "accordant", now, dict(counts))
        return await asyncio.to_thread(lambda: self._book.reconcile(epoch, counts, entry=entry))

    def _written(self) -> list[tuple[str, Outbound]]:
        flows = (route.flow for route in self._rulebook().all_routes)
        return [(flow.object, self._outbounds[flow.target]) for flow in flows if flow.target in self._outbounds]

    async def _compare(self, flow: str, intents: Sequence[WriteIntent]) -> Counter[str]:
        """How many of a flow's open writes their target holds already, holds otherwise, or lacks. Raises as a read."""
        route = self._rulebook().route(flow)
        outbound = self._outbounds.get(intents[0].target)
        if route is None or outbound is None:
            return Counter(unasked=len(intents))
        spec = object_spec(route.mapping)
        if outbound.protocol(spec.name).destination_class is DestinationClass.NOTHING:
            return Counter(unasked=len(intents))
        counts: Counter[str] = Counter()
        for start in range(0, len(intents), outbound.batch_max):
            part = intents[start : start + outbound.batch_max]
            held = await outbound.read(spec, [intent.key for intent in part])
            for intent in part:
                found = held.get(intent.key)
                desired = {name: value for name, value in intent.fields.items() if name in spec.fields}
                is_held = found is not None and found.fields | outbound.canonical(spec, desired) == found.fields
                counts["absent" if found is None else "held" if is_held else "differs"] += 1
        return counts


def _entry(what: str, actor: str, now: datetime, body: Mapping[str, int | str]) -> AuditEntry:
    return AuditEntry(
        kind=f"operations.restore.{what}", actor=actor, subject="store", cause=None, at=now, body=dict(body)
    )

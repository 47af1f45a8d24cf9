"""Between rooms 3 and 4: a system we write to tells of our writes like of everybody's. Is this one of ours?

An echo is recorded and nothing is planned. What somebody else changed in a record of another owner is looked at by the
courier, which reads before it writes and rules on it. Next: `pipeline/register.py`.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import msgspec

from accordant.canonical.conflicts import FieldMark, Stand, StandEffect
from accordant.canonical.documents import DocumentState
from accordant.canonical.entities import Entity, kind_of
from accordant.canonical.facts import FACTS, Fact
from accordant.canonical.intents import WireValue
from accordant.canonical.observations import Fate, Observation, Sighting
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.canonical.targets import object_spec
from accordant.governance.echo import Echo, News, Silent, listen
from accordant.kernel.hashing import fingerprint
from accordant.mapping.translate import translate
from accordant.pipeline.deliver import respelled
from accordant.pipeline.plan import Route, Rulebook
from accordant.ports.connector import RecordTeller
from accordant.ports.state import State, WrittenRecord

#: A change that is told without what it was, so soon after a write of ours, is taken for that write: to read the record
#: for each of them would double the calls. What else it was is told by the next list of changes.
OWN_WRITE = timedelta(minutes=5)
_FATES = {Fate.DELETED: "deleted {}, or took its key away", Fate.MERGED: "merged {} into another"}


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a target said of a record of ours. ``changed`` are the fields that somebody else changed there.

    ``is_unread``: it was not told what the record holds, so that it has to be read. ``vanished``: it is gone, merged or
    shut, whatever its fields hold. ``undone`` are fields whose edit waited for a person and is not there any more.
    """

    record: str
    reason: str
    changed: tuple[str, ...] = ()
    is_unread: bool = False
    vanished: bool = False
    undone: tuple[Stand, ...] = ()


class Listener:
    """What was last written into the records that a batch tells of."""

    def __init__(self, rulebook: Rulebook, connectors: Mapping[str, object]) -> None:
        self._connectors = connectors
        self._routes: dict[tuple[str, str, EntityKind], Route] = {
            (route.flow.target, route.flow.object, route.flow.entity): route
            for routes in rulebook.routes.values()
            for route in routes
        }
        self._targets = frozenset(target for target, _, _ in self._routes)
        self._written: dict[ExternalRef, WrittenRecord] = {}
        self._stands: dict[str, dict[str, Stand]] = {}

    def load(self, observations: Iterable[Observation], sightings: Iterable[Sighting], state: State) -> None:
        """Fetch, in one read a target, what was written into the records that are told of."""
        sighted = {seen.ref for seen in sightings if seen.ref.system in self._targets}
        refs = sighted | {seen.ref for seen in observations if seen.ref.system in self._targets}
        if refs:
            self._written.update(state.written(refs))
        if records := [self._written[ref].ref for ref in sighted if ref in self._written]:
            self._stands.update(state.stands(records))

    def hear(self, observation: Observation) -> Heard | None:
        """What is to be made of it; None where it is no record of ours, or tells nothing that we ever wrote."""
        written = self._written.get(observation.ref)
        if written is None:
            return None
        kind = kind_of(observation.entity)
        route = self._routes.get((observation.ref.system, observation.ref.object_type, kind))
        if route is None:
            return None
        told = _told(observation.entity, kind, route)
        match listen(told, written.marks):
            case Echo(fields=fields, revision=revision):
                said = f"It repeats what was written to {written.ref}, revision {revision}: {', '.join(fields)}."
                return Heard(record=written.ref, reason=said)
            case News(fields=fields):
                said = f"Somebody changed {', '.join(fields)} of {written.ref} at {observation.ref.system}."
                return Heard(record=written.ref, reason=said, changed=fields)
            case Silent():
                return None

    def look(self, sighting: Sighting, kind: EntityKind) -> Heard | None:
        """What is to be made of a record of a kind that its target tells of; None where it is no record of ours."""
        written = self._written.get(sighting.ref)
        route = self._routes.get((sighting.ref.system, sighting.ref.object_type, kind))
        if written is None or route is None:
            return None
        place = f"{written.ref} at {sighting.ref.system}"
        if sighting.fate is not Fate.STANDS:
            return Heard(record=written.ref, reason=f"Somebody {_FATES[sighting.fate].format(place)}.", vanished=True)
        if sighting.fields is None:
            last = max(mark.at for mark in written.marks.values())
            if abs(sighting.seen_at - last) <= OWN_WRITE:
                return Heard(record=written.ref, reason=f"It was told so soon after our own write to {written.ref}.")
            return Heard(record=written.ref, reason=f"Something changed in {place}: it is read.", is_unread=True)
        told = self._respelled(route, sighting.fields)
        spelled = self._respelled(route, {name: mark.value for name, mark in written.marks.items()})
        marks = {name: msgspec.structs.replace(written.marks[name], value=value) for name, value in spelled.items()}
        return self._judged(told, marks, written.ref, route)

    def _judged(
        self, told: Mapping[str, WireValue], marks: Mapping[str, FieldMark], record: str, route: Route
    ) -> Heard | None:
        stands, posted, target = self._stands.get(record, {}), route.umpire.rule.posted, route.flow.target
        match listen(told, marks):
            case Silent():
                return None
            case Echo(fields=fields, revision=revision):
                said = f"It repeats what was written to {record}, revision {revision}: {', '.join(fields)}."
                return Heard(record=record, reason=said, undone=_undone(stands, fields, posted))
            case News(fields=fields):
                # What was taken back may hold nothing any more: that it was says all.
                taken_back = [name for name in fields if name in posted and told[name] == DocumentState.CANCELLED]
                new = tuple(name for name in taken_back or fields if not _is_known(stands.get(name), told[name]))
                what = f"took {record} back" if taken_back else f"changed {', '.join(fields)} of {record} by hand"
                said = f"Somebody {what} at {target}."
                if not new:
                    said += " That is known: it waits for a person, or was let stand."
                same = [name for name in told.keys() & marks.keys() if name not in fields]
                return Heard(record=record, reason=said, changed=new, undone=_undone(stands, same, posted))

    def _respelled(self, route: Route, fields: Mapping[str, WireValue]) -> Mapping[str, WireValue]:
        """Values in the target's own spelling; as they are where it tells of no records."""
        teller = self._connectors.get(route.flow.target)
        return respelled(object_spec(route.mapping), teller, fields) if isinstance(teller, RecordTeller) else fields


def _undone(stands: Mapping[str, Stand], fields: Iterable[str], posted: frozenset[str]) -> tuple[Stand, ...]:
    """What waits for a person although the target holds again what was posted: nothing is left to decide."""
    held = (stands[name] for name in fields if name in stands and name in posted)
    return tuple(stand for stand in held if stand.effect is StandEffect.HOLD)


def _is_known(stand: Stand | None, told: WireValue) -> bool:
    """Whether this very edit was met before, and waits for a person or was let stand."""
    met = stand is not None and stand.effect in {StandEffect.HOLD, StandEffect.KEEP}
    return met and stand is not None and fingerprint(stand.value) == fingerprint(told)


def _told(entity: Entity, kind: EntityKind, route: Route) -> Mapping[str, WireValue]:
    """What the entity says by itself, as the flow would spell it; what is counted from other entities says nothing."""
    # That a record of it was thrown away there says nothing of the thing itself.
    own = {field.name for field in msgspec.structs.fields(entity)} - {"external_id", "deleted"}
    facts: dict[str, Fact] = {
        name: value for name in FACTS.get(kind, {}) if name in own and (value := getattr(entity, name)) is not None
    }
    return translate(facts, route.compiled).fields

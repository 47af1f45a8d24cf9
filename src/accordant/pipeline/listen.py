"""Between rooms 3 and 4: a system we write to tells of our writes like of everybody's. Is this one of ours?

An echo is recorded and nothing is planned. What somebody else changed in a record of another owner is looked at by the
courier, which reads before it writes and rules on it. Next: `pipeline/register.py`.
"""

from collections.abc import Iterable, Mapping

import msgspec

from accordant.canonical.entities import Entity, kind_of
from accordant.canonical.facts import FACTS, Fact
from accordant.canonical.intents import WireValue
from accordant.canonical.observations import Observation
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.governance.echo import Echo, News, Silent, listen
from accordant.mapping.translate import translate
from accordant.pipeline.plan import Route, Rulebook
from accordant.ports.state import State, WrittenRecord


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a target said of a record of ours. ``changed`` are the fields that somebody else changed there."""

    record: str
    reason: str
    changed: tuple[str, ...] = ()


class Listener:
    """What was last written into the records that a batch tells of."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._routes: dict[tuple[str, str, EntityKind], Route] = {
            (route.flow.target, route.flow.object, route.flow.entity): route
            for routes in rulebook.routes.values()
            for route in routes
        }
        self._targets = frozenset(target for target, _, _ in self._routes)
        self._written: dict[ExternalRef, WrittenRecord] = {}

    def load(self, observations: Iterable[Observation], state: State) -> None:
        """Fetch, in one read a target, what was written into the records that are told of."""
        refs = {seen.ref for seen in observations if seen.ref.system in self._targets}
        if refs:
            self._written.update(state.written(refs))

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


def _told(entity: Entity, kind: EntityKind, route: Route) -> Mapping[str, WireValue]:
    """What the entity says by itself, as the flow would spell it; what is counted from other entities says nothing."""
    # That a record of it was thrown away there says nothing of the thing itself.
    own = {field.name for field in msgspec.structs.fields(entity)} - {"external_id", "deleted"}
    facts: dict[str, Fact] = {
        name: value for name in FACTS.get(kind, {}) if name in own and (value := getattr(entity, name)) is not None
    }
    return translate(facts, route.compiled).fields

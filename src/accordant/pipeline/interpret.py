"""Room 3, the interpreter: a raw event becomes observations and business events. Pure: a replay sees the same past.

The last place where a vendor's words may appear. Next: the registry, `identity/`, called by `pipeline/process.py`.
"""

from collections.abc import Mapping

import msgspec

from accordant.canonical.observations import Interpretation, Interpreted, Observation, Parked, Quarantined, Sighting
from accordant.canonical.refs import ExternalRef
from accordant.ports.connector import Inbound
from accordant.ports.inbox import InboxEvent


class Understood(msgspec.Struct, frozen=True, kw_only=True):
    """An event with what it means. Readings made because of the event follow its own observations."""

    event: InboxEvent
    interpretation: Interpretation


def interpret(event: InboxEvent, connectors: Mapping[str, Inbound]) -> Understood:
    """Interpret one stored event with the connector of its connection.

    An observation that was read again from its owner is replaced by that reading: the notice could not be ordered, the
    reading can.
    """
    connector = connectors.get(event.connection)
    if connector is None:
        return Understood(
            event=event, interpretation=Parked(f"The charter has no connection named {event.connection}.")
        )
    meaning = connector.interpret(system=event.connection, body=event.body)
    if not isinstance(meaning, Interpreted) or not event.readings:
        return Understood(event=event, interpretation=meaning)
    observations = {str(seen.ref): seen for seen in meaning.observations}
    sightings = {str(seen.ref): seen for seen in meaning.sightings}
    for reading in event.readings:
        answer = connector.interpret_object(
            ref=ExternalRef.parse(reading.ref), body=reading.body, read_at=reading.read_at
        )
        match answer:
            case Interpreted(observations=(Observation() as seen, *_)):
                # It was asked for because of this event, so it cannot be older, whatever the two clocks say.
                asked_at = max(seen.observed_at, event.occurred_at)
                observations[reading.ref] = msgspec.structs.replace(seen, observed_at=asked_at)
            case Interpreted(sightings=(Sighting() as seen, *_)):
                sightings[reading.ref] = seen
            case Quarantined(reason=reason, where=where):
                return Understood(
                    event=event, interpretation=Quarantined(f"The object read again is unusable: {reason}", where)
                )
            case Parked() | Interpreted():
                pass
    return Understood(
        event=event,
        interpretation=Interpreted(
            observations=tuple(observations.values()),
            business_events=meaning.business_events,
            sightings=tuple(sightings.values()),
        ),
    )

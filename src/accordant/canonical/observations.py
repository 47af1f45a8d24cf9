"""Observations: what one source said about one object at one moment, as the registry folds it.

Sightings: what a system that is written to says of a record that it holds for somebody else.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.canonical.entities import Entity
from accordant.canonical.events import BusinessEvent
from accordant.canonical.intents import WireValue
from accordant.canonical.refs import EntityKind, ExternalRef


class Standpoint(StrEnum):
    """How an observation was made.

    A notice is a snapshot inside an event, stamped by the provider to its own grain; the notice of a creation is the
    first there can be of its object. A reading is the object as its owner returned it when asked: it is as new as the
    moment of asking, so it settles ties between notices.
    """

    CREATION = "creation"
    NOTICE = "notice"
    READING = "reading"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One state of one object.

    ``root`` is the object whose lane this belongs to (the customer, for everything a customer has; else the object
    itself). ``root_kind`` says what the root is where it is another object. ``observed_at`` is the provider's stamp of
    a notice, or the moment a reading was asked for. ``is_copy``: the system holds it, or its root, for its owner, and
    tells nothing new where nobody has connected the two.
    """

    ref: ExternalRef
    root: ExternalRef
    root_kind: EntityKind = EntityKind.ACCOUNT
    entity: Entity
    observed_at: datetime
    standpoint: Standpoint = Standpoint.NOTICE
    is_copy: bool = False


class Fate(StrEnum):
    """What became of a record at the system that holds it."""

    STANDS = "stands"
    #: Deleted, archived or made inactive: nothing may be written to it any more.
    DELETED = "deleted"
    MERGED = "merged"


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What a system said of one of its records; of those, only what this hub wrote is looked at.

    ``fields`` are in wire values of the fields of a mapping, None where it was only said that the record changed: then
    the record is to be read. A field that is absent says nothing. ``seen_at`` is the system's stamp of the change.
    """

    ref: ExternalRef
    seen_at: datetime
    fields: dict[str, WireValue] | None = None
    fate: Fate = Fate.STANDS


class Interpreted(msgspec.Struct, frozen=True, tag=True):
    """The event was understood. All tuples may be empty: some events say nothing the hub keeps."""

    observations: tuple[Observation, ...]
    business_events: tuple[BusinessEvent, ...] = ()
    sightings: tuple[Sighting, ...] = ()


class Parked(msgspec.Struct, frozen=True, tag=True):
    """The event's type or shape is not supported yet: kept, shown, and processed once it is."""

    reason: str


class Quarantined(msgspec.Struct, frozen=True, tag=True):
    """The event is authentic but unusable: kept with its reason for a person. ``where`` is a path inside the body."""

    reason: str
    where: str = ""


Interpretation = Interpreted | Parked | Quarantined

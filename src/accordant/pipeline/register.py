"""Room 4, the registry: whose is it, and is it newer than what we hold? `identity.resolve` and `identity.fold` say.

True when you leave: every observation has an entity and an outcome with its reason; stale ones changed nothing.
Next: the court and the desk, `pipeline/plan.py`.
"""

from collections.abc import Iterable, Sequence

import msgspec

from accordant.canonical.entities import encode_entity, kind_of
from accordant.canonical.events import BusinessEvent
from accordant.canonical.observations import Interpreted, Observation, Sighting
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.governance.financial import OF_SALES
from accordant.identity.fold import Advanced, Held, Superseded, Tie, Unchanged, fold
from accordant.identity.resolve import Created, resolve
from accordant.kernel.hashing import digest
from accordant.pipeline.interpret import Understood
from accordant.pipeline.listen import Heard, Listener
from accordant.pipeline.workbench import Vanished, Workbench
from accordant.ports.state import ObservationRecord, StoredEntity

#: What else a change of these kinds moves: the standing of the account, or records that stand below it.
COUNTED = frozenset(
    {
        EntityKind.ACCOUNT,
        EntityKind.SUBSCRIPTION,
        EntityKind.INVOICE,
        EntityKind.PAYMENT,
        EntityKind.REFUND,
        EntityKind.DISPUTE,
        EntityKind.RECEIVABLE,
    }
)


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """The object whose owner must be asked before an event is settled.

    ``immediately`` is False where the object's own event is usually on the way.
    """

    ask: ExternalRef
    immediately: bool


def observations_of(understood: Iterable[Understood]) -> list[Observation]:
    """Everything a batch observed."""
    return [
        observation
        for one in understood
        if isinstance(one.interpretation, Interpreted)
        for observation in one.interpretation.observations
    ]


def sightings_of(understood: Iterable[Understood]) -> list[Sighting]:
    """Everything that targets told of their records in a batch."""
    return [
        sighting
        for one in understood
        if isinstance(one.interpretation, Interpreted)
        for sighting in one.interpretation.sightings
    ]


def _said_of(understood: Iterable[Understood]) -> list[BusinessEvent]:
    """What persons said in a batch."""
    return [
        event
        for one in understood
        if isinstance(one.interpretation, Interpreted)
        for event in one.interpretation.business_events
        if event.said is not None
    ]


def load_for(understood: Sequence[Understood], bench: Workbench) -> None:
    """Fetch, in three reads, everything the observations of a batch touch."""
    told, sighted = observations_of(understood), sightings_of(understood)
    named = {ref for observation in told for ref in (observation.ref, observation.root)}
    # What a person says comes without an observation of what it is about.
    named |= {ref for one in _said_of(understood) for ref in (one.subject, one.root)}
    bench.load_links(named | {sighting.ref for sighting in sighted})
    seen = [observation for observation in told if not _is_of_nobody(observation, bench)]
    names = [(_entity_of(observation, bench), _root_of(observation, bench)) for observation in seen]
    seen_there = {bench.links[one.ref].id for one in sighted if one.ref in bench.links}
    bench.load_entities({ref.id for pair in names for ref in pair} | seen_there)
    # The root of a dispute is a payment: it leads on to the account, whose records are to be decided again.
    accounts = {_account_of(root, bench) for _, root in names}
    accounts |= {ref.id for one in sighted if (ref := bench.links.get(one.ref)) and ref.kind is EntityKind.ACCOUNT}
    bench.load_entities(accounts)
    bench.load_standings(accounts)


def register(understood: Understood, bench: Workbench, listener: Listener) -> Doubt | None:
    """Fold the observations of one event; what its owner must be asked before it is settled, or None.

    What belongs to another object of the same event comes after that object: only then its account is known.
    """
    doubt: Doubt | None = None
    if not isinstance(understood.interpretation, Interpreted):
        return None
    event = understood.event
    for observation in sorted(understood.interpretation.observations, key=_is_part):
        if _is_of_nobody(observation, bench):
            continue
        asked = _fold_one(observation, event.seq, bench, listener)
        doubt = doubt or asked
    for sighting in understood.interpretation.sightings:
        asked = _look(sighting, event.seq, bench, listener)
        doubt = doubt or asked
    for happened in understood.interpretation.business_events:
        root = bench.links.get(happened.root)
        subject = bench.links.get(happened.subject)
        root_id = root.id if root is not None else subject.id if subject is not None else str(happened.root)
        bench.changes.business_events.append((event.seq, root_id, happened))
    return doubt


def _is_of_nobody(observation: Observation, bench: Workbench) -> bool:
    """Whether it tells of a copy of something that no owner has told of, as far as anybody knows, or of what such a
    copy has: a system that is written to has customers of its own besides.
    """
    return observation.is_copy and observation.ref not in bench.links and observation.root not in bench.links


def _is_part(observation: Observation) -> bool:
    """Whether its root is another object that is itself part of an account."""
    return observation.root != observation.ref and observation.root_kind is not EntityKind.ACCOUNT


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One observation with the entity it is of, the account that counts it, and what is held of it."""

    observation: Observation
    ref: EntityRef
    account_id: str
    stored: StoredEntity | None
    seq: int


def _fold_one(observation: Observation, seq: int, bench: Workbench, listener: Listener) -> Doubt | None:
    """Fold one observation; what its owner must be asked, or None."""
    ref, root = _entity_of(observation, bench), _root_of(observation, bench)
    seen = _Seen(
        observation=observation, ref=ref, account_id=_account_of(root, bench), stored=bench.entity(ref.id), seq=seq
    )
    version = seen.stored.version if seen.stored is not None else 0
    if _is_part(observation) and bench.entity(root.id) is None:
        # Whose it is, nobody has said yet. Folded now, it would count for no account, for ever.
        _record(seen, "awaiting_root", f"{observation.root}, which it belongs to, is not known yet.", version, bench)
        return Doubt(ask=observation.root, immediately=False)
    if seen.stored is not None and seen.stored.source.system != observation.ref.system:
        _take_note(seen, listener.hear(observation), version, bench)
        return None
    outcome = fold(_held(seen.stored), observation, digest(encode_entity(observation.entity)))
    reason: str | None = None
    match outcome:
        case Advanced(held=held):
            version = bench.version_to_write(ref.id, version)
            _advance(seen, held, version, bench)
        case Unchanged(held=held):
            bench.restamp(ref.id, observed_at=held.observed_at, standpoint=held.standpoint)
        case Superseded(reason=why) | Tie(reason=why):
            reason = why
    _record(seen, type(outcome).__name__.lower(), reason, version, bench)
    return Doubt(ask=observation.ref, immediately=True) if isinstance(outcome, Tie) else None


def _take_note(seen: _Seen, heard: Heard | None, version: int, bench: Workbench) -> None:
    """A system that does not own an object tells of it: its word changes nothing here, whatever it is.

    Our own write coming back is an echo, and that is all. What somebody else changed is looked at where it was changed:
    the record is planned again, the courier reads it, and the conflict's rule decides.
    """
    if heard is None:
        owner = seen.stored.source.system if seen.stored is not None else "nobody"
        _record(seen, "foreign", f"It belongs to {owner}; {seen.observation.ref.system} only has it.", version, bench)
        return
    _record(seen, "foreign" if heard.changed else "echo", heard.reason, version, bench)
    if heard.changed:
        bench.doubted[heard.record] = seen.seq
        bench.touched.setdefault(seen.account_id, seen.seq)


def _look(sighting: Sighting, seq: int, bench: Workbench, listener: Listener) -> Doubt | None:
    """A target tells of one of its records. Of ours, an edit is looked at where it was made, as ``_take_note`` says,
    and one that is told without what the record holds is read first; whatever is not of ours is passed over.
    """
    entity = bench.links.get(sighting.ref)
    heard = None if entity is None else listener.look(sighting, entity.kind)
    if entity is None or heard is None:
        return None
    if heard.is_unread:
        return Doubt(ask=sighting.ref, immediately=True)
    is_edit = bool(heard.changed) or heard.vanished
    bench.changes.observations.append(
        ObservationRecord(
            seq=seq,
            entity_id=entity.id,
            outcome="edited" if is_edit else "echo",
            reason=heard.reason,
            version=0,
            observed_at=sighting.seen_at,
        )
    )
    for stand in heard.undone:
        bench.lift_stand(stand)
        body: dict[str, str | int | bool | list[str] | None] = {"field": stand.field, "conflict": stand.conflict_id}
        bench.note("court.stand.lapsed", stand.record, seq, body)
    if heard.vanished and entity.kind is EntityKind.LEDGER_DOCUMENT:
        # It is not made again by itself: whoever took it away had a reason, and the books do not know it.
        gone = Vanished(
            record=heard.record,
            target_id=sighting.ref.id,
            entry_id=entity.id,
            seq=seq,
            said_at=sighting.seen_at,
        )
        bench.vanished.append(gone)
    elif is_edit:
        bench.doubted[heard.record] = seq
        if entity.kind is EntityKind.ACCOUNT:
            bench.touched.setdefault(entity.id, seq)
    return None


def _record(seen: _Seen, outcome: str, reason: str | None, version: int, bench: Workbench) -> None:
    bench.changes.observations.append(
        ObservationRecord(
            seq=seen.seq,
            entity_id=seen.ref.id,
            outcome=outcome,
            reason=reason,
            version=version,
            observed_at=seen.observation.observed_at,
        )
    )


def _advance(seen: _Seen, held: Held, version: int, bench: Workbench) -> None:
    """An accepted change: laid down, counted towards the account's standing, and told in the trail."""
    stored, ref = seen.stored, seen.ref
    new = StoredEntity(
        ref=ref,
        source=seen.observation.ref,
        root_id=seen.account_id,
        version=version,
        observed_at=held.observed_at,
        standpoint=held.standpoint,
        digest=held.digest,
        entity=held.entity,
        cause=seen.seq,
    )
    bench.put_entity(new)
    bench.advances.append((stored, new))
    bench.note_products(
        seen.observation.ref.system, seen.account_id, stored.entity if stored is not None else None, held.entity
    )
    if ref.kind in OF_SALES:
        bench.sales[seen.account_id] = seen.seq
    if ref.kind is EntityKind.PRODUCT:
        bench.catalog[ref.id] = seen.seq
    if ref.kind in COUNTED:
        bench.advance_standing(seen.account_id, stored.entity if stored is not None else None, held.entity)
        bench.touched[seen.account_id] = seen.seq
    bench.note(
        f"registry.{ref.kind}.{'created' if stored is None else 'advanced'}",
        str(ref),
        seen.seq,
        {
            "source": str(seen.observation.ref),
            "version": version,
            "before": stored.digest.hex() if stored is not None else None,
            "after": held.digest.hex(),
            "standpoint": held.standpoint.value,
        },
    )


def _held(stored: StoredEntity | None) -> Held | None:
    if stored is None:
        return None
    return Held(
        version=stored.version,
        observed_at=stored.observed_at,
        standpoint=stored.standpoint,
        digest=stored.digest,
        entity=stored.entity,
    )


def _entity_of(observation: Observation, bench: Workbench) -> EntityRef:
    return _resolved(observation.ref, kind_of(observation.entity), bench)


def _root_of(observation: Observation, bench: Workbench) -> EntityRef:
    if observation.root == observation.ref:
        return _entity_of(observation, bench)
    return _resolved(observation.root, observation.root_kind, bench)


def _resolved(source: ExternalRef, kind: EntityKind, bench: Workbench) -> EntityRef:
    resolution = resolve(source, bench.links, kind)
    if isinstance(resolution, Created):
        bench.link(source, resolution.entity)
    return resolution.entity


def _account_of(root: EntityRef, bench: Workbench) -> str:
    """The lane's account: a root that is itself part of an account (the payment of a refund) leads on to it."""
    if root.kind is EntityKind.ACCOUNT:
        return root.id
    stored = bench.entity(root.id)
    return stored.root_id if stored is not None else root.id

"""Room 4, the registry: whose is it, and is it newer than what we hold? Calls the pure `identity.resolve` and `identity.fold`.

True when you leave: every observation has an entity and an outcome with its reason; stale ones changed nothing.
Next: the court and the desk, `pipeline/plan.py`.
"""

from collections.abc import Iterable

from accordant.canonical.entities import encode_entity, kind_of
from accordant.canonical.observations import Interpreted, Observation
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.identity.fold import Advanced, Held, Superseded, Tie, Unchanged, fold
from accordant.identity.resolve import Created, resolve
from accordant.kernel.hashing import digest
from accordant.pipeline.interpret import Understood
from accordant.pipeline.workbench import Workbench
from accordant.ports.state import ObservationRecord, StoredEntity

#: What else a change of these kinds moves: the standing of the account, and so its records.
COUNTED = frozenset(
    {EntityKind.ACCOUNT, EntityKind.SUBSCRIPTION, EntityKind.INVOICE, EntityKind.PAYMENT, EntityKind.DISPUTE}
)


def load_for(understood: Iterable[Understood], bench: Workbench) -> None:
    """Fetch, in three reads, everything the observations of a batch touch."""
    seen = [
        observation
        for one in understood
        if isinstance(one.interpretation, Interpreted)
        for observation in one.interpretation.observations
    ]
    bench.load_links({ref for observation in seen for ref in (observation.ref, observation.root)})
    names = [(_entity_of(observation, bench), _root_of(observation, bench)) for observation in seen]
    bench.load_entities({ref.id for pair in names for ref in pair})
    bench.load_standings({_account_of(root, bench) for _, root in names})


def register(understood: Understood, bench: Workbench) -> tuple[Observation, str] | None:
    """Fold the observations of one event; the first that must be read again from its owner is returned with the reason."""
    doubt: tuple[Observation, str] | None = None
    if not isinstance(understood.interpretation, Interpreted):
        return None
    event = understood.event
    for observation in understood.interpretation.observations:
        reason = _fold_one(observation, event.seq, bench)
        if reason is not None and doubt is None:
            doubt = (observation, reason)
    for happened in understood.interpretation.business_events:
        root = bench.links.get(happened.root)
        subject = bench.links.get(happened.subject)
        root_id = root.id if root is not None else subject.id if subject is not None else str(happened.root)
        bench.changes.business_events.append((event.seq, root_id, happened))
    return doubt


def _fold_one(observation: Observation, seq: int, bench: Workbench) -> str | None:
    """Fold one observation; the reason why its owner must be asked, or None."""
    ref = _entity_of(observation, bench)
    account_id = _account_of(_root_of(observation, bench), bench)
    stored = bench.entity(ref.id)
    state_digest = digest(encode_entity(observation.entity))
    outcome = fold(_held(stored), observation, state_digest)
    version = stored.version if stored is not None else 0
    reason: str | None = None
    match outcome:
        case Advanced(held=held) | Unchanged(held=held):
            version = bench.version_to_write(ref.id, version)
            bench.put_entity(
                StoredEntity(
                    ref=ref,
                    source=observation.ref,
                    root_id=account_id,
                    version=version,
                    observed_at=held.observed_at,
                    standpoint=held.standpoint,
                    digest=held.digest,
                    entity=held.entity,
                    cause=seq if isinstance(outcome, Advanced) or stored is None else stored.cause,
                )
            )
            if isinstance(outcome, Advanced):
                _count(observation, ref, account_id, stored, version, seq, bench, held.digest)
        case Superseded(reason=why):
            reason = why
        case Tie(reason=why):
            reason = why
    bench.changes.observations.append(
        ObservationRecord(
            seq=seq,
            entity_id=ref.id,
            outcome=type(outcome).__name__.lower(),
            reason=reason,
            version=version,
            observed_at=observation.observed_at,
        )
    )
    return reason if isinstance(outcome, Tie) else None


def _count(
    observation: Observation,
    ref: EntityRef,
    account_id: str,
    stored: StoredEntity | None,
    version: int,
    seq: int,
    bench: Workbench,
    state_digest: bytes,
) -> None:
    """An accepted change: into the account's standing, and into the trail."""
    if ref.kind in COUNTED:
        bench.advance_standing(account_id, stored.entity if stored is not None else None, observation.entity)
        bench.touched[account_id] = seq
    bench.note(
        f"registry.{ref.kind}.{'created' if stored is None else 'advanced'}",
        str(ref),
        seq,
        {
            "source": str(observation.ref),
            "version": version,
            "before": stored.digest.hex() if stored is not None else None,
            "after": state_digest.hex(),
            "standpoint": observation.standpoint.value,
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

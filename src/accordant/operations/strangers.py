"""Records of a target that have a key of ours and that we never wrote: each is a red flag, met while comparing.

What the first comparison of a flow met was there before the hub looked after it and is a finding only; so is what may
have been written before the store was put back from a backup. Next: `governance/red_flags.py`.
"""

from collections.abc import Sequence
from datetime import datetime

from accordant.canonical.charter import RedFlagsPart
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.red_flags import RedFlag
from accordant.canonical.refs import ExternalRef
from accordant.canonical.targets import CurrentRecord
from accordant.governance.red_flags import unsourced_record
from accordant.kernel.clock import Clock
from accordant.operations.epoch_watch import EpochWatch
from accordant.pipeline.plan import Route
from accordant.ports.flags import flag_entry
from accordant.ports.reconcile import ReconcileBook
from accordant.ports.state import Changes, State


class Strangers:
    """Those that one comparison of a flow meets. ``epochs`` say when the store was last put back from a backup."""

    def __init__(
        self,
        route: Route,
        part: RedFlagsPart,
        *,
        book: ReconcileBook,
        state: State,
        epochs: EpochWatch,
        clock: Clock,
    ) -> None:
        self._route = route
        self._is_looked_for = RedFlagKind.UNSOURCED_CHANGE in part.stop_on
        self._book = book
        self._state = state
        self._epochs = epochs
        self._clock = clock
        #: None: not asked yet, or no comparison has come to its end.
        self._at_first: frozenset[str] | None = None

    def tell(self, met: Sequence[tuple[str, CurrentRecord]]) -> tuple[RedFlag, ...]:
        """Raise the red flags of records, given with their references; those that are new.

        Raises TransientError when the store cannot keep them.
        """
        if not self._is_looked_for or not met:
            return ()
        if self._at_first is None:
            self._at_first = self._book.strangers_at_first(self._route.flow.name)
        if self._at_first is None:
            return ()
        noticed_at = self._epochs.known().noticed_at
        at_first = self._at_first
        new = [
            (record, held) for record, held in met if record not in at_first and not _may_be_forgotten(held, noticed_at)
        ]
        return self._keep(self._flags(new)) if new else ()

    def _flags(self, new: Sequence[tuple[str, CurrentRecord]]) -> list[RedFlag]:
        owners = {record: self._owner(record) for record, _ in new}
        known = self._book.entities_of({ref for ref in owners.values() if ref is not None})
        accounts = {ref: stored.root_id for ref, stored in known.items()}
        flags = []
        for record, held in new:
            owner = owners[record]
            flag = unsourced_record(
                held,
                record=record,
                key_field=self._route.mapping.key_field,
                financial=self._route.umpire.rule.financial,
                account_id=None if owner is None else accounts.get(owner),
                owner=None if owner is None else str(owner),
                now=self._clock(),
            )
            flags.append(flag)
        return flags

    def _owner(self, record: str) -> ExternalRef | None:
        """What the key names at its source, in the words in which the source speaks of others of the kind."""
        flow = self._route.flow
        like = self._book.owned_after(flow.source, flow.entity, "", limit=1)
        return ExternalRef(flow.source, like[0].source.object_type, record.partition("/")[2]) if like else None

    def _keep(self, flags: Sequence[RedFlag]) -> tuple[RedFlag, ...]:
        known = self._state.flags([flag.id for flag in flags])
        new = [flag for flag in flags if flag.id not in known]
        if new:
            changes = Changes(flags=list(new), audit=[flag_entry(flag) for flag in new])
            self._state.commit(changes, now=self._clock())
        return tuple(new)


def _may_be_forgotten(held: CurrentRecord, noticed_at: datetime | None) -> bool:
    """Whether the hub itself may have written it in a life that its store knows nothing of."""
    return noticed_at is not None and (held.changed_at is None or held.changed_at <= noticed_at)

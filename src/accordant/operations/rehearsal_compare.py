"""Every account decided under two charters, and what differs: counted per flow, field and kind, a few shown, all told.

An account whose history tells something else than what is held is decided by what is held: adopting a charter does
that. Called by `rehearse.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypedDict

from accordant.canonical.intents import WireValue
from accordant.canonical.rehearsal import Difference, DifferenceKind, FlowCount
from accordant.governance.sensitivity import lens
from accordant.kernel.money import Money
from accordant.operations.rehearsal_difference import Decided, Unnamed, decided_records, differences
from accordant.operations.scratch import Undecided
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.replan import replan
from accordant.ports.rehearsal import History
from accordant.ports.state import State

#: Accounts decided at once.
ACCOUNTS = 500
#: Of one field and kind at most this many are shown, so that one large change does not hide the others.
_SHOWN_OF_A_KIND = 3
_NAMED = 20

_Place = tuple[str, str, str, str, DifferenceKind]


class ComparisonResult(TypedDict):
    """The part of a rehearsal that comparing fills."""

    accounts: int
    records: int
    differing: int
    due: int
    unnamed: int
    unnamed_sample: tuple[str, ...]
    differences: int
    counts: tuple[FlowCount, ...]
    unknown_money: int
    sample: tuple[Difference, ...]


class Comparison:
    """Two charters on the same accounts. ``replayed`` is None where nothing was walked."""

    def __init__(
        self,
        *,
        before: Rulebook,
        after: Rulebook,
        held: State,
        replayed: State | None,
        unlike: Collection[str],
        history: History,
        flow: str | None,
        is_past: bool,
        sample: int,
        now: datetime,
        tell: Callable[[Sequence[Difference]], None],
    ) -> None:
        self._before = before
        self._after = after
        self._held = held
        self._replayed = replayed
        self._unlike = unlike
        self._history = history
        self._flow = flow
        self._is_past = is_past
        self._sample = sample
        self._now = now
        self._tell = tell
        self._accounts = self._records = self._differing = self._due = self._unknown_money = 0
        self._unnamed: dict[tuple[str, str], str] = {}
        self._counts: Counter[_Place] = Counter()
        self._sent: Counter[_Place] = Counter()
        self._there: Counter[_Place] = Counter()
        self._money: defaultdict[_Place, Counter[str]] = defaultdict(Counter)
        self._shown: list[Difference] = []
        # A root that is no account (a product that many name) may touch any of them: then all are decided as held.
        self._all_as_held = False
        self._lenses = (lens(before.charter), lens(after.charter))

    def compare(self, account_ids: Sequence[str], progress: Callable[[int, int], None] | None) -> None:
        """Decide these accounts under both charters."""
        self._all_as_held = not set(self._unlike) <= set(account_ids)
        for start in range(0, len(account_ids), ACCOUNTS):
            batch = account_ids[start : start + ACCOUNTS]
            as_held = [one for one in batch if self._replayed is None or self._all_as_held or one in self._unlike]
            as_replayed = sorted(set(batch) - set(as_held))
            self._decide(as_held, self._held)
            if self._replayed is not None:
                self._decide(as_replayed, self._replayed)
            self._accounts += len(batch)
            if progress is not None:
                progress(self._accounts, len(account_ids))

    def _decide(self, account_ids: Sequence[str], state: State) -> None:
        if not account_ids:
            return
        # Whole, as a new charter is put in force: what ended long ago follows new rules too.
        decide = partial(replan, account_ids, state=Undecided(state), now=self._now, whole=frozenset(account_ids))
        before, _ = decided_records(decide(rulebook=self._before))
        after, unnamed = decided_records(decide(rulebook=self._after))
        self._note_unnamed(unnamed)
        wanted = {name: one for name, one in before.items() if self._flow in {None, one.record.flow}}
        self._count_due(wanted)
        refs = sorted(before.keys() | after.keys())
        confirmed = self._history.confirmed(refs)
        found: list[Difference] = []
        for ref in refs:
            one, other = before.get(ref), after.get(ref)
            flows = {decided.record.flow for decided in (one, other) if decided is not None}
            if self._flow is not None and self._flow not in flows:
                continue
            self._records += 1
            differing = self._differences(one, other, confirmed.get(ref, {}))
            self._differing += bool(differing)
            found += differing
        self._count(found)
        if found:
            self._tell(found)

    def _differences(
        self, before: Decided | None, after: Decided | None, confirmed: Mapping[str, WireValue]
    ) -> tuple[Difference, ...]:
        record = (after or before).record  # type: ignore[union-attr]  # one of the two is there: it was named by it
        old = self._before.route(record.flow)
        new = self._after.route(record.flow)
        return differences(
            before,
            after,
            account_id=record.lane.partition(":")[2],
            confirmed=confirmed,
            mappings=(old.mapping if old is not None else None, new.mapping if new is not None else None),
            lenses=self._lenses,
        )

    def _count_due(self, before: Mapping[str, Decided]) -> None:
        """Records that the charter in force itself would decide otherwise now than when it last did."""
        if self._is_past:
            return
        stored = self._held.desired(before)
        for ref, decided in before.items():
            kept = stored.get(ref)
            self._due += kept is None or kept.input_digest != decided.record.input_digest

    def _note_unnamed(self, unnamed: Sequence[Unnamed]) -> None:
        for one in unnamed:
            if self._flow in {None, one.flow}:
                self._unnamed[one.entity, one.flow] = one.reason

    def _count(self, found: Sequence[Difference]) -> None:
        for one in found:
            place: _Place = (one.flow, one.target, one.object, one.field or "", one.kind)
            self._counts[place] += 1
            self._sent[place] += one.is_sent
            self._there[place] += one.is_there
            if one.money is not None:
                self._money[place][one.money.currency] += one.money.amount_minor
            self._unknown_money += one.is_amount and one.money is None
            if len(self._shown) < self._sample and self._counts[place] <= _SHOWN_OF_A_KIND:
                self._shown.append(one)

    def result(self) -> ComparisonResult:
        """What it came to."""
        return ComparisonResult(
            accounts=self._accounts,
            records=self._records,
            differing=self._differing,
            due=self._due,
            unnamed=len(self._unnamed),
            unnamed_sample=tuple(
                f"{entity} in {flow}: {reason}" for (entity, flow), reason in sorted(self._unnamed.items())[:_NAMED]
            ),
            differences=sum(self._counts.values()),
            counts=tuple(
                FlowCount(
                    flow=place[0],
                    target=place[1],
                    object=place[2],
                    field=place[3] or None,
                    kind=place[4],
                    count=count,
                    sent=self._sent[place],
                    there=self._there[place],
                    money=tuple(Money(minor, code) for code, minor in sorted(self._money[place].items()) if minor),
                )
                for place, count in sorted(self._counts.items())
            ),
            unknown_money=self._unknown_money,
            sample=tuple(self._shown),
        )

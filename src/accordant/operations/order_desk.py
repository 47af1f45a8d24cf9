"""Puts what somebody orders into the books: the same gate and the same journal, once per key, or every reason why not.

What is ordered may concern two companies of the group; it is posted in both or in none. Next: `order_entry.py` for
entries leg by leg, `order_transaction.py` for what has a name.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from accordant.canonical.refs import ExternalRef
from accordant.governance.decide import Switches
from accordant.kernel.clock import Clock
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import JournalEntry
from accordant.ledger.setting import books_of
from accordant.pipeline.bookkeep import Ledger, lay_entry
from accordant.pipeline.plan import Rulebook, plan
from accordant.pipeline.workbench import Workbench
from accordant.ports.books import KeptPosting, PostingState
from accordant.ports.state import ConcurrentChange, State

_TRIES = 5


class OrderOutcome(StrEnum):
    """What became of an order."""

    POSTED = "posted"
    REPEAT = "repeat"
    WOULD_POST = "would_post"
    REFUSED = "refused"
    KEY_REUSED = "key_reused"


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. A repeat has the entry of the first time; a refusal has every reason and changes nothing.

    ``sister`` is the entry in the books of the other company, where there is one.
    """

    outcome: OrderOutcome
    entry: JournalEntry | None = None
    sister: JournalEntry | None = None
    refusals: tuple[Refusal, ...] = ()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the desk takes it. ``event`` names it, ``asked`` is the fingerprint of what was ordered.

    ``requests`` makes what is to be posted of a ledger and the company of the system: by company, its own first.
    """

    event: str
    asked: str
    system: str
    subject: str
    customer: str | None
    by: str
    dry_run: bool
    requests: Callable[[Ledger, str], dict[str, Request]]


class OrderDesk:
    """Takes orders for one hub."""

    def __init__(self, state: State, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._state = state
        self._rulebook = rulebook
        self._clock = clock

    def post(self, wanted: Wanted) -> Ordered:
        """Post it, or say why not. Raises ConcurrentChange when workers keep changing the same."""
        for attempt in range(_TRIES):
            try:
                return self._once(wanted)
            except ConcurrentChange:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _once(self, wanted: Wanted) -> Ordered:
        rulebook = self._rulebook()
        ledger = rulebook.ledger
        company = None if ledger is None else ledger.part.systems.get(wanted.system)
        if ledger is None or company is None:
            reason = f"The bills of {wanted.system} are in nobody's books."
            return _refused(Refusal(check="legal_entity", reason=reason, remedy="Name it under ledger.systems."))
        repeated = self._repeated(wanted)
        if repeated is not None:
            return repeated
        bench = Workbench(self._state, self._clock())
        root_id = _root(wanted, bench)
        if root_id is None:
            reason = f"The customer {wanted.customer} of {wanted.system} is not known."
            return _refused(Refusal(check="party", reason=reason, remedy="Let its own event come first."))
        requests = wanted.requests(ledger, company)
        unknown = sorted(requests.keys() - ledger.part.legal_entities.keys())
        if unknown:
            reason = f"There is no legal entity {unknown[0]!r}."
            return _refused(Refusal(check="legal_entity", reason=reason, remedy="Name one of ledger.legal_entities."))
        made = [
            compose(
                rated(self._state, ledger, name, request),
                books_around(self._state, ledger, name, self._clock().year),
                recorded_at=bench.now,
            )
            for name, request in requests.items()
        ]
        entries = [one for one in made if isinstance(one, JournalEntry)]
        if len(entries) < len(made):
            reasons = tuple(why for one in made if not isinstance(one, JournalEntry) for why in one)
            return Ordered(outcome=OrderOutcome.REFUSED, refusals=reasons)
        outcome = OrderOutcome.WOULD_POST if wanted.dry_run else OrderOutcome.POSTED
        if not wanted.dry_run:
            for entry in entries:
                self._lay(entry, wanted, bench, rulebook, root_id=root_id)
            plan(bench, rulebook, Switches.thrown(*self._state.policy()))
            self._state.commit(bench.collect(), now=bench.now)
        return _answer(outcome, entries)

    def _repeated(self, wanted: Wanted) -> Ordered | None:
        dossiers = self._state.books.dossiers((), [wanted.event, _of_sister(wanted.event)])
        held = dossiers.postings.get(wanted.event)
        if held is None:
            return None
        outcome = OrderOutcome.REPEAT if held.asked == wanted.asked else OrderOutcome.KEY_REUSED
        names = [str(held.entry_id)]
        if (other := dossiers.postings.get(_of_sister(wanted.event))) is not None:
            names.append(str(other.entry_id))
        return _answer(outcome, [dossiers.entries[name] for name in names])

    def _lay(self, entry: JournalEntry, wanted: Wanted, bench: Workbench, rulebook: Rulebook, *, root_id: str) -> None:
        assert rulebook.ledger is not None  # noqa: S101  it was composed by it; said for the type checker
        told: dict[str, str | int] = {"ordered_by": wanted.by}
        lay_entry(bench, rulebook.ledger, entry, root_id=root_id, system=wanted.system, told=told)
        bench.changes.books.postings.append(
            KeptPosting(
                event=entry.cause.event,
                version=1,
                state=PostingState.POSTED,
                type="entry.ordered",
                subject=entry.cause.subject,
                root_id=root_id,
                bill=None,
                happened_on=entry.effective_on,
                entry_id=entry.id,
                asked=wanted.asked,
                refusals=(),
                charter=rulebook.version,
                cause=None,
            )
        )


def books_around(state: State, ledger: Ledger, company: str, year: int) -> Books:
    """The chart and the periods of a company around a year."""
    kept = state.books.periods()
    first = min([one.starts_on.year for one in kept] + [year - 2])
    return books_of(company, ledger.part.legal_entities[company], range(first, year + 2), kept)


def rated(state: State, ledger: Ledger, company: str, request: Request) -> Request:
    """The request with the rate of its day into the books of ``company``, where it needs one."""
    own = ledger.part.legal_entities[company].currency
    if request.currency == own:
        return request
    rate = state.books.rate_of(request.currency, own, request.happened_on)
    return msgspec.structs.replace(request, rate=rate)


def for_sister(request: Request) -> Request:
    """The same order in the books of the other company: its cause has a name of its own."""
    cause = msgspec.structs.replace(request.cause, event=_of_sister(request.cause.event))
    return msgspec.structs.replace(request, cause=cause)


def _of_sister(event: str) -> str:
    return f"{event}/sister"


def _answer(outcome: OrderOutcome, entries: list[JournalEntry]) -> Ordered:
    return Ordered(outcome=outcome, entry=entries[0], sister=entries[1] if len(entries) > 1 else None)


def _root(wanted: Wanted, bench: Workbench) -> str | None:
    """The account of the order's customer; without one the document stands by itself. None for one nobody knows."""
    if wanted.customer is None:
        return wanted.subject
    ref = ExternalRef(wanted.system, "customer", wanted.customer)
    bench.load_links([ref])
    link = bench.links.get(ref)
    return None if link is None else link.id


def _refused(refusal: Refusal) -> Ordered:
    return Ordered(outcome=OrderOutcome.REFUSED, refusals=(refusal,))

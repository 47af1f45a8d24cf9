"""An entry that another system asks for: the same gate, the same journal, once per key; or every reason why not.

Amounts are ordered by role, never by account: which account it is, the charter says. Next: `web/api.py` takes orders.
"""

from collections.abc import Callable
from datetime import date
from enum import StrEnum

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.refs import ExternalRef
from accordant.governance.decide import Switches
from accordant.kernel.clock import Clock
from accordant.kernel.errors import AccordantError, RejectedError
from accordant.kernel.hashing import fingerprint
from accordant.kernel.ids import derived_id
from accordant.kernel.money import Money
from accordant.ledger.chart import Use
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry
from accordant.ledger.patterns import Leg
from accordant.ledger.setting import books_of
from accordant.pipeline.bookkeep import Ledger, lay_entry
from accordant.pipeline.plan import Rulebook, plan
from accordant.pipeline.workbench import Workbench
from accordant.ports.books import KeptPosting, PostingState
from accordant.ports.state import ConcurrentChange, State

KEY_LENGTH_MAX = 200
LEGS_MAX = 1_000
TEXT_LENGTH_MAX = 500
_TRIES = 5
RULE = "entry_ordered"


class OrderInvalid(RejectedError):
    """The order cannot be read."""


class OrderLeg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One amount: decimal text in the currency of the order, a debit when positive, a credit with a minus sign.

    ``party`` says that it belongs to the subledger of the order's customer.
    """

    role: Role
    amount: str
    product: str | None = None
    tax_code: str | None = None
    processor: str | None = None
    party: bool = False


class EntryOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be posted. ``key`` names it at ``system``, a system of the charter; ``total`` is what the debits come
    to there, as decimal text. ``customer`` is the billing customer's id. ``dry_run`` composes and stores nothing.
    """

    key: str
    system: str
    happened_on: date
    currency: str
    total: str
    text: str
    legs: tuple[OrderLeg, ...]
    customer: str | None = None
    number: str | None = None
    dry_run: bool = False


class OrderOutcome(StrEnum):
    """What became of an order."""

    POSTED = "posted"
    REPEAT = "repeat"
    WOULD_POST = "would_post"
    REFUSED = "refused"
    KEY_REUSED = "key_reused"


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. A repeat has the entry of the first time; a refusal has every reason and changes nothing."""

    outcome: OrderOutcome
    entry: JournalEntry | None = None
    refusals: tuple[Refusal, ...] = ()


class EntryDesk:
    """Takes orders for one hub."""

    def __init__(self, state: State, *, rulebook: Callable[[], Rulebook], clock: Clock) -> None:
        self._state = state
        self._rulebook = rulebook
        self._clock = clock

    def order(self, order: EntryOrder, *, by: str) -> Ordered:
        """Post it, or say why not. Raises OrderInvalid for amounts and names that cannot be read."""
        _check(order)
        for attempt in range(_TRIES):
            try:
                return self._once(order, by)
            except ConcurrentChange:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _once(self, order: EntryOrder, by: str) -> Ordered:
        rulebook = self._rulebook()
        ledger = rulebook.ledger
        company = None if ledger is None else ledger.part.systems.get(order.system)
        if ledger is None or company is None:
            reason = f"The bills of {order.system} are in nobody's books."
            return _refused(Refusal(check="legal_entity", reason=reason, remedy="Name it under ledger.systems."))
        event, asked = derived_id("ord", order.system, order.key), _asked(order)
        dossiers = self._state.books.dossiers((), [event])
        held = dossiers.postings.get(event)
        if held is not None:
            entry = dossiers.entries[str(held.entry_id)]
            outcome = OrderOutcome.REPEAT if held.asked == asked else OrderOutcome.KEY_REUSED
            return Ordered(outcome=outcome, entry=entry)
        bench = Workbench(self._state, self._clock())
        root_id = _root(order, bench)
        if root_id is None:
            reason = f"The customer {order.customer} of {order.system} is not known."
            return _refused(Refusal(check="party", reason=reason, remedy="Let its own event come first."))
        made = compose(
            self._request(order, ledger, company, event), self._books(ledger, company), recorded_at=bench.now
        )
        if not isinstance(made, JournalEntry):
            return Ordered(outcome=OrderOutcome.REFUSED, refusals=made)
        if order.dry_run:
            return Ordered(outcome=OrderOutcome.WOULD_POST, entry=made)
        self._lay(made, order, bench, rulebook, root_id=root_id, asked=asked, by=by)
        plan(bench, rulebook, Switches.thrown(*self._state.policy()))
        self._state.commit(bench.collect(), now=bench.now)
        return Ordered(outcome=OrderOutcome.POSTED, entry=made)

    def _books(self, ledger: Ledger, company: str) -> Books:
        kept, year = self._state.books.periods(), self._clock().year
        first = min([one.starts_on.year for one in kept] + [year - 2])
        return books_of(company, ledger.part.legal_entities[company], range(first, year + 2), kept)

    def _request(self, order: EntryOrder, ledger: Ledger, company: str, event: str) -> Request:
        # Debits first: together they are the total that the other system states.
        legs = sorted((_leg(one, order.currency) for one in order.legs), key=lambda leg: leg.minor < 0)
        own = ledger.part.legal_entities[company].currency
        rate = None if order.currency == own else self._state.books.rate_of(order.currency, own, order.happened_on)
        return Request(
            legs=tuple(legs),
            currency=order.currency,
            source_minor=Money.parse(order.total, order.currency).amount_minor,
            happened_on=order.happened_on,
            cause=Cause(event=event, subject=f"{order.system}:order/{order.key}", rule=RULE),
            text=order.text,
            party=None if order.customer is None else str(ExternalRef(order.system, "customer", order.customer)),
            rate=rate,
            total_legs=sum(leg.minor > 0 for leg in legs),
            number=order.number or order.key,
        )

    def _lay(
        self, entry: JournalEntry, order: EntryOrder, bench: Workbench, rulebook: Rulebook, *,
        root_id: str, asked: str, by: str,
    ) -> None:  # fmt: skip
        books, version = bench.changes.books, rulebook.version
        assert rulebook.ledger is not None  # noqa: S101  it was composed by it; said for the type checker
        lay_entry(bench, rulebook.ledger, entry, root_id=root_id, system=order.system, told={"ordered_by": by})
        books.postings.append(
            KeptPosting(
                event=entry.cause.event,
                version=1,
                state=PostingState.POSTED,
                type="entry.ordered",
                subject=entry.cause.subject,
                root_id=root_id,
                bill=None,
                happened_on=order.happened_on,
                entry_id=entry.id,
                asked=asked,
                refusals=(),
                charter=version,
                cause=None,
            )
        )


def _check(order: EntryOrder) -> None:
    for name, text, most in (("key", order.key, KEY_LENGTH_MAX), ("text", order.text, TEXT_LENGTH_MAX)):
        if not text.strip() or len(text) > most:
            raise OrderInvalid(f"`{name}` has {len(text)} characters.", remedy=f"Give 1 to {most}.")
    if not 2 <= len(order.legs) <= LEGS_MAX:
        raise OrderInvalid(f"The order has {len(order.legs)} legs.", remedy=f"Give 2 to {LEGS_MAX}.")
    try:
        Money.parse(order.total, order.currency)
        for leg in order.legs:
            Money.parse(leg.amount, order.currency)
    except AccordantError as error:
        raise OrderInvalid(error.message, remedy="Write amounts as in 10.50 and currencies as in EUR.") from None
    if any(leg.party for leg in order.legs) and order.customer is None:
        raise OrderInvalid("A leg belongs to a party, and the order names no customer.", remedy="Name it.")


def _asked(order: EntryOrder) -> str:
    return fingerprint(msgspec.to_builtins(msgspec.structs.replace(order, dry_run=False)))


def _leg(one: OrderLeg, currency: str) -> Leg:
    use = Use(role=one.role, product=one.product, tax_code=one.tax_code, processor=one.processor)
    return Leg(use=use, minor=Money.parse(one.amount, currency).amount_minor, party=one.party)


def _root(order: EntryOrder, bench: Workbench) -> str | None:
    """The account of the order's customer; without one the document stands by itself. None for one nobody knows."""
    if order.customer is None:
        return f"{order.system}:order/{order.key}"
    ref = ExternalRef(order.system, "customer", order.customer)
    bench.load_links([ref])
    link = bench.links.get(ref)
    return None if link is None else link.id


def _refused(refusal: Refusal) -> Ordered:
    return Ordered(outcome=OrderOutcome.REFUSED, refusals=(refusal,))

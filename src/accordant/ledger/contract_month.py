"""What a month's end posts of one contract: what was earned, and whether that leaves a liability or an asset.

A contract stands in the books as one or the other, never as both: what was billed and not earned is deferred revenue,
what was earned and not billed is a contract asset. Source: ASC 606-10-45-1 to 45-3. Next: `operations/recognise.py`.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.refs import ExternalRef
from accordant.ledger.chart import Use
from accordant.ledger.compose import Books, Request
from accordant.ledger.entries import Cause
from accordant.ledger.modify import Treatment
from accordant.ledger.patterns import Leg
from accordant.ledger.schedule import RevenueSchedule, earned_before, in_books, next_month


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """What stands as a contract asset: minor units of the contract's currency, and of that of the books; and how many
    entries of month ends led there, which names the next one.
    """

    minor: int = 0
    books_minor: int = 0
    entries: int = 0


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a contract: a line billed on ``billed_on``, or what is not billed yet (None); with what of it is
    recognised so far, in both currencies.
    """

    schedule: RevenueSchedule
    billed_on: date | None = None
    recognised_minor: int = 0
    recognised_books_minor: int = 0

    def is_billed(self, after_on: date) -> bool:
        """Whether it was billed before ``after_on``."""
        return self.billed_on is not None and self.billed_on < after_on


class Earned(msgspec.Struct, frozen=True, kw_only=True):
    """What a part earned that was not recognised yet, in both currencies."""

    minor: int
    books_minor: int


class ContractMonth(msgspec.Struct, frozen=True, kw_only=True):
    """A month's end of one contract. ``parts`` are the parts as they are after it, ``earned`` what each earned in the
    same order, ``asset`` what stands then. Without a ``request`` there is nothing to post.
    """

    parts: tuple[Part, ...]
    earned: tuple[Earned, ...]
    asset: Asset
    request: Request | None


def contract_month(parts: Sequence[Part], books: Books, *, month_on: date, stands: Asset) -> ContractMonth:
    """What all ``parts`` of one contract come to by the end of a month; ``stands`` is its asset in the books so far."""
    after_on = next_month(month_on)
    earned = tuple(_earned(one, after_on) for one in parts)
    after = tuple(_advanced(one, by) for one, by in zip(parts, earned, strict=True))
    asset = _asset(after, after_on)
    first = parts[0].schedule
    sums = _sums(parts, earned, month_on)
    # What is not billed is the last: it is of the contract's product, where it has one.
    of = parts[-1].schedule.product or next(iter(sums))
    more = Asset(minor=asset.minor - stands.minor, books_minor=asset.books_minor - stands.books_minor)
    legs = _legs(sums, of, more, foreign=first.currency != books.chart.currency)
    request = None
    if any(leg.minor for leg in legs):
        of_it, month = ExternalRef.parse(first.contract or ""), f"{month_on:%Y-%m}"
        revenue = sum(one.books_minor for one in earned)
        request = Request(
            legs=tuple(legs),
            currency=books.chart.currency,
            original_currency=first.currency,
            source_minor=abs(revenue),
            total_legs=len(sums),
            happened_on=after_on - timedelta(days=1),
            cause=Cause(
                event=f"recognition/{month}/{of_it}/{stands.entries}",
                # As all that a month's end recognises: by this it is known that the month was run.
                subject=str(ExternalRef(of_it.system, "recognition", month)),
                # Where nothing was earned, a bill came for what was earned before.
                rule="revenue_recognised" if any(one.books_minor for one in earned) else "unbilled_billed",
            ),
            text=f"Revenue of {month_on:%B %Y}, {of_it.object_type} {of_it.id}",
            number=month,
        )
    asset = msgspec.structs.replace(asset, entries=stands.entries + (request is not None))
    return ContractMonth(parts=after, earned=earned, asset=asset, request=request)


def _earned(part: Part, after_on: date) -> Earned:
    total = earned_before(part.schedule, after_on)
    return Earned(
        minor=total - part.recognised_minor,
        books_minor=in_books(part.schedule, total) - part.recognised_books_minor,
    )


def _advanced(part: Part, by: Earned) -> Part:
    return msgspec.structs.replace(
        part,
        recognised_minor=part.recognised_minor + by.minor,
        recognised_books_minor=part.recognised_books_minor + by.books_minor,
    )


def _asset(parts: Sequence[Part], after_on: date) -> Asset:
    """By how much more is recognised than was billed by then."""
    net = net_books = 0
    for one in parts:
        net -= one.recognised_minor
        net_books -= one.recognised_books_minor
        if one.is_billed(after_on):
            net += one.schedule.minor
            net_books += in_books(one.schedule, one.schedule.minor)
    return Asset(minor=max(-net, 0), books_minor=max(-net_books, 0))


class _Sums(msgspec.Struct, kw_only=True):
    """What the parts of one product earned, and what of that was billed: in the books' currency, and in its own."""

    earned: int = 0
    earned_own: int = 0
    billed: int = 0
    billed_own: int = 0
    is_caught_up: bool = False


def _sums(parts: Sequence[Part], earned: Sequence[Earned], month_on: date) -> dict[str | None, _Sums]:
    found: dict[str | None, _Sums] = {}
    after_on = next_month(month_on)
    for part, by in zip(parts, earned, strict=True):
        row = found.setdefault(part.schedule.product, _Sums())
        row.earned += by.books_minor
        row.earned_own += by.minor
        if part.is_billed(after_on):
            row.billed += by.books_minor
            row.billed_own += by.minor
        row.is_caught_up |= any(month_on <= day < after_on for day in part.schedule.caught_up_on)
    return dict(sorted(found.items(), key=lambda one: one[0] or ""))


def _legs(sums: dict[str | None, _Sums], of: str | None, more: Asset, *, foreign: bool) -> list[Leg]:
    """Revenue product by product, which together is the total, then what becomes of the asset and of what is deferred.

    ``of`` is the product of what is not billed, ``more`` by how much the asset grows.
    """
    revenue = [
        _leg(Role.REVENUE, product, -row.earned, -row.earned_own, foreign=foreign, is_caught_up=row.is_caught_up)
        for product, row in sums.items()
    ]
    deferred = {product: (row.billed, row.billed_own) for product, row in sums.items()}
    # What the asset does not take is deferred revenue's, whichever of its parts was earned.
    rest = sum(row.earned - row.billed for row in sums.values()) - more.books_minor
    rest_own = sum(row.earned_own - row.billed_own for row in sums.values()) - more.minor
    billed, billed_own = deferred.get(of, (0, 0))
    deferred[of] = (billed + rest, billed_own + rest_own)
    asset = _leg(Role.CONTRACT_ASSET, of, more.books_minor, more.minor, foreign=foreign)
    return [
        *revenue,
        asset,
        *(_leg(Role.DEFERRED_REVENUE, one, *row, foreign=foreign) for one, row in deferred.items()),
    ]


def _leg(
    role: Role, product: str | None, books_minor: int, minor: int, *, foreign: bool, is_caught_up: bool = False
) -> Leg:
    # By less than a minor unit both currencies may fall on two sides: the smaller is none then.
    original = minor if minor * books_minor >= 0 else 0
    return Leg(
        use=Use(role=role, product=product),
        minor=books_minor,
        original=original if foreign else None,
        dimensions={"treatment": Treatment.CATCH_UP.value} if is_caught_up else {},
    )

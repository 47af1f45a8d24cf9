"""The charter's ledger part as the rules use it: charts, periods, and whose books a system's bills belong in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, tzinfo

import msgspec

from accordant.canonical.books import BundlePart, Grain, LedgerPart, LegalEntityPart, ServiceKind
from accordant.ledger.chart import AccountRule, Chart, LedgerAccount
from accordant.ledger.compose import Books
from accordant.ledger.exchange import Rate
from accordant.ledger.periods import Period, PeriodState, months

#: The rate of a day from one currency into another; None where nobody published one.
RateOf = Callable[[str, str, date], Rate | None]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What events are read with. ``books``, ``tax_codes`` and ``reverse_codes`` are by billing system;
    ``companies`` has the books by legal entity, ``zone`` is the company's.
    """

    books: Mapping[str, Books]
    tax_codes: Mapping[str, str | None]
    zone: tzinfo
    grain: Grain
    grains: Mapping[str, Grain]
    rate_of: RateOf
    recorded_at: datetime
    reverse_codes: Mapping[str, str | None] = {}
    services: Mapping[str, ServiceKind] = {}
    bundles: Sequence[BundlePart] = ()
    companies: Mapping[str, Books] = {}

    def bundle(self, product: str | None, day: date) -> BundlePart | None:
        """What a product is made of on a day, where it is a bundle: of the rows that hold the one that began last."""
        rows = [one for one in self.bundles if one.product == product and one.holds_on(day)]
        return max(rows, key=lambda one: one.from_on or date.min, default=None)


def setting_of(
    part: LedgerPart,
    *,
    zone: tzinfo,
    years: range,
    rate_of: RateOf,
    recorded_at: datetime,
    kept: Iterable[Period] = (),
) -> Setting:
    """The setting for the fiscal years that start in ``years``; ``kept`` are periods that people closed or opened."""
    known = tuple(kept)
    books = {name: books_of(name, entity, years, known) for name, entity in part.legal_entities.items()}
    return Setting(
        books={system: books[entity] for system, entity in part.systems.items()},
        tax_codes={system: part.legal_entities[entity].tax_code for system, entity in part.systems.items()},
        reverse_codes={
            system: part.legal_entities[entity].reverse_charge_code for system, entity in part.systems.items()
        },
        zone=zone,
        grain=part.grain,
        grains=part.products,
        rate_of=rate_of,
        recorded_at=recorded_at,
        services=part.services,
        bundles=part.bundles,
        companies=books,
    )


def books_of(name: str, entity: LegalEntityPart, years: range, kept: Iterable[Period] = ()) -> Books:
    """The chart and the periods of one company: those of ``kept`` as they are, of the others those that end by
    ``closed_before`` closed.
    """
    decided = {period.starts_on: period for period in kept if period.legal_entity == name}
    periods = [
        decided.get(period.starts_on) or _closed(period, entity.closed_before)
        for year in years
        for period in months(name, year=year, starts_month=entity.year_starts_month)
    ]
    return Books(
        chart=chart_of(name, entity),
        periods=tuple(periods),
        tax_codes=frozenset(entity.tax_codes),
        write_off_from_allowance=entity.write_off_from_allowance,
    )


def chart_of(name: str, entity: LegalEntityPart) -> Chart:
    """The chart of one company."""
    return Chart(
        legal_entity=name,
        currency=entity.currency,
        accounts={
            code: LedgerAccount(code=code, name=account.name, type=account.type, is_open=not account.closed)
            for code, account in entity.accounts.items()
        },
        rules=tuple(
            AccountRule(
                role=row.role,
                account=row.account,
                product=row.product,
                tax_code=row.tax_code,
                processor=row.processor,
                from_on=row.from_on,
                until_on=row.until_on,
            )
            for row in entity.rules
        ),
    )


def _closed(period: Period, closed_before: date | None) -> Period:
    if closed_before is None or period.ends_on > closed_before:
        return period
    return msgspec.structs.replace(period, state=PeriodState.CLOSED)

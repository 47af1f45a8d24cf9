"""Set B6 whole: 240 amounts and currencies nobody should send, each with what becomes of it, to the minor unit.

Posted wrong is what never happens: either the books hold exactly what was said, or they hold nothing and say why and
what to do next. What was kept out stays whole, to be read again. Source: reliability.md chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import pytest

from accordant.canonical.entities import CreditNote, Dispute, Invoice, InvoiceLine, Refund
from accordant.canonical.events import EventType
from accordant.kernel.money import Money
from accordant.ledger.draft import Draft, History, draft
from accordant.store.rates import rate_of as published
from tests.unit.ledger.books import a_chart, some_books
from tests.unit.ledger.test_bad_money_and_time import AFTER, a_notice, booked, receivable
from tests.unit.ledger.test_draft import Story, a_bill, ref, usd
from tests.unit.ledger.test_post import a_setting
from tests.unit.ledger.test_taxes import including

CASES = 240
#: What the books hold of it, or the word that says why they hold nothing.
Verdict = int | str


class Case(NamedTuple):
    """One case: what is said, and what becomes of it."""

    name: str
    run: Callable[[], Draft | str]
    verdict: Verdict


def notice(name: str, body: dict[str, Any], verdict: Verdict, currency: str = "USD") -> Case:
    return Case(name, lambda: booked(body, currency), verdict)


def story(name: str, told: Story, verdict: Verdict) -> Case:
    return Case(name, told.read, verdict)


#: What one unit of the provider's amount is in minor units of ISO 4217; one where nothing is special.
PLACES = {
    **dict.fromkeys(("jpy", "krw", "vnd", "clp", "bhd", "kwd", "jod", "omr", "tnd", "clf", "uyw", "huf", "twd", "hrk"),
                    Fraction(1)),
    "isk": Fraction(1, 100), "ugx": Fraction(1, 100), "mga": Fraction(100),
}  # fmt: skip
NO_AMOUNTS: tuple[Any, ...] = (
    "10.00",
    "10,00",
    "1.000,00",
    "1e2",
    " 10 ",
    "10",
    "\u0661\u0660",
    10.5,
    1e2,
    True,
    [10],
    {"amount": 10},
)
NO_CURRENCIES: tuple[Any, ...] = (None, "", "xxx", "xts", "xau", "btc", "eth", "dem", "us", "usdd", " usd", "€",
                                  "usd\0", 840, ["usd"], "\uff35\uff33\uff24")  # fmt: skip


def of_places() -> Iterator[Case]:
    """No, three and four decimals, and where the provider counts otherwise than the standard."""
    for code, factor in PLACES.items():
        for amount in (1, 7, 100, 1_000, 12_300):
            minor = amount * factor
            verdict = int(minor) if minor.denominator == 1 else "no whole amount"
            yield notice(f"{amount} {code}", a_notice(amount, code=code), verdict, code.upper())


def of_amounts() -> Iterator[Case]:
    """What is no amount, in every field that holds one."""
    said = "a whole amount in the smallest unit is expected"
    for value in NO_AMOUNTS:
        yield notice(f"line {value!r}", a_notice(value, total=1_000), said)
        for field in ("total", "tax", "amount_paid", "amount_remaining"):
            body = a_notice(1_000)
            body["data"]["object"][field] = value
            yield notice(f"{field} {value!r}", body, said)


def of_sizes() -> Iterator[Case]:
    """Nothing, less than nothing, and more than a number of 64 bits holds."""
    for code in ("usd", "jpy"):
        for amount in (0, 1, -1, 2**53, 2**53 + 1, -(2**53)):
            yield notice(f"a size of {amount} {code}", a_notice(amount, code=code), amount, code.upper())
        yield notice(f"2**63-1 {code}", a_notice(2**63 - 1, code=code), "amount", code.upper())
        for amount in (2**63, 2**64, 10**30):
            yield notice(f"{amount} {code}", a_notice(amount, code=code), "more than 64 bits", code.upper())


def of_currencies() -> Iterator[Case]:
    """What is no currency, one spelled in capitals, one of a line that its bill does not have, one that ended."""
    for value in NO_CURRENCIES:
        wanted = {"usd\0": "NUL"}.get(value, "urrency") if isinstance(value, str) and value else "currency"
        yield notice(f"currency {value!r}", a_notice(1_000, code=value), wanted)
    for value in ("USD", "Usd"):
        yield notice(f"currency {value!r}", a_notice(1_000, code=value), 1_000)
    for value in ("eur", "jpy", "kwd", "xxx", "hrk"):
        yield notice(f"a line in {value}", a_notice(1_000, line_code=value), "urrency")
    books = {"billing": some_books(a_chart(currency="EUR"))}
    for code in ("HRK", "BGN", "RUB", "ZWL", "USD"):
        bill = a_bill(10_000)
        body = {name: Money(getattr(bill, name).amount_minor, code)
                for name in ("total", "amount_due", "amount_paid", "amount_remaining", "tax", "discount")}  # fmt: skip
        told = Story().bill(msgspec.structs.replace(bill, **body))
        yield Case(f"{code} on a day for which no rate is published", _read_abroad(told, books), "exchange_rate")


def _read_abroad(told: Story, books: dict[str, Any]) -> Callable[[], Draft]:
    history = History(events=tuple(told.events), objects=told.objects)
    return lambda: draft(history, a_setting(books=books, rate_of=published), before_on=AFTER)


def of_totals() -> Iterator[Case]:
    """A total that is not its lines, and a tax that is not in it."""
    for minor in (1, 1_000, 2**53):
        for off in (1, -1):
            yield notice(f"{minor} of which the total is {off} off", a_notice(minor, total=minor + off), "source_total")
    for line, total in ((0, 1), (1, 0), (-5, 5), (5, -5)):
        yield notice(f"{line} said to be {total}", a_notice(line, total=total), "source_total")
    for tax in (1, -1):
        body = a_notice(1_000)
        body["data"]["object"]["tax"] = tax
        yield notice(f"a tax of {tax} that is in no total", body, "source_total")


def _refund(minor: int, *, currency: str = "USD", of: str = "ch_1") -> Story:
    told = Story().bill(a_bill(9_000)).pay(9_000, day=1)
    money = Money(minor, currency)
    refund = Refund(external_id="re_1", status="succeeded", amount=money, payment_id=of)
    return told.tell(EventType.REFUND_ISSUED, ref("refund", "re_1"), refund, day=5, amount=money)


def _credit(minor: int, *, of: str = "in_1") -> Story:
    told = Story().bill(a_bill(9_000))
    note = CreditNote(external_id="cn", customer_id="cus_1", invoice_id=of, status="issued", total=usd(minor))
    return told.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn"), note, day=5, amount=usd(minor))


def _dispute(minor: int, *, of: str = "ch_1") -> Story:
    told = Story().bill(a_bill(9_000)).pay(9_000, day=1)
    dispute = Dispute(external_id="dp", status="needs_response", amount=usd(minor), payment_id=of)
    return told.tell(EventType.DISPUTE_OPENED, ref("dispute", "dp"), dispute, day=5, amount=usd(minor))


def of_corrections() -> Iterator[Case]:
    """More given back than there was, of what nobody knows, or in another currency. What was right before stays."""
    yield story("a refund of all of it", _refund(9_000), 0)
    yield story("a refund that is a unit over the charge", _refund(9_001), "more is given back")
    yield story("a refund of ten times the charge", _refund(90_000), "more is given back")
    yield story("a refund of an unknown charge", _refund(1, of="ch_9"), "the payment it is about is not known")
    yield story("a credit note of all of it", _credit(9_000), 0)
    yield story("a credit note that is a unit over the bill", _credit(9_001), "more is credited")
    yield story("a credit note of an unknown bill", _credit(1, of="in_9"), "the bill it corrects is not posted")
    yield story("a dispute over a unit more than was paid", _dispute(9_001), "more is disputed")
    yield story("a dispute of an unknown charge", _dispute(1, of="ch_9"), "the payment it is about is not known")
    yield story(
        "a payment of an unknown bill", Story().pay(9_000, day=1, bill="in_9"), "the bill it pays is not posted"
    )


def of_taxes() -> Iterator[Case]:
    """Tax inside the price, rounded by the source; what is left is revenue, to the unit."""
    for minor, tax in ((1, 0), (1, 1), (2, 1), (3, 1), (119, 19), (120, 19), (9_999, 1_596), (10_001, 1_597),
                       (10**9 + 1, 159_663_866), (2**53, 1)):  # fmt: skip
        yield story(f"{minor} with {tax} of tax in it", Story().bill(including(minor, tax)), minor)


def _many(minors: list[int], *, off: int = 0, currency: str = "USD") -> Story:
    bill: Invoice = a_bill()
    lines = tuple(InvoiceLine(external_id=f"il_{at}", amount_minor=minor) for at, minor in enumerate(minors))
    money = Money(sum(minors) - off, currency)
    return Story().bill(
        msgspec.structs.replace(
            bill, lines=lines, total=money, amount_due=money, amount_remaining=money, discount=Money(off, currency),
            tax=Money(0, currency), amount_paid=Money(0, currency),
        )
    )  # fmt: skip


def of_parts() -> Iterator[Case]:
    """A unit over three lines, a discount over more lines than units, and very many lines."""
    for minors, off in (([1, 1, 1], 1), ([1, 1, 1], 2), ([1, 0, 0], 0), ([7, 7, 7], 10), ([100, -1, 1], 3)):
        yield story(f"{minors} less {off}", _many(minors, off=off), sum(minors) - off)
    for count in (1, 10, 100, 1_000, 10_000):
        yield story(f"{count} lines of one", _many([1] * count), count)
    for minors, off in (([1], 0), ([3, 3], 1), ([10**9], 999), ([5, 5, 5], 7), ([999, 1], 500)):
        whole = _many(minors, off=off, currency="JPY")
        books = {"billing": some_books(a_chart(currency="JPY"))}
        yield Case(f"{minors} yen less {off}", _read_abroad(whole, books), sum(minors) - off)


def all_cases() -> list[Case]:
    parts = (of_places, of_amounts, of_sizes, of_currencies, of_totals, of_corrections, of_taxes, of_parts)
    return [case for part in parts for case in part()]


def test_the_set_is_whole_and_each_case_is_another() -> None:
    cases = all_cases()
    assert len(cases) == len({case.name for case in cases}) == CASES


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: ascii(case.name))
def test_it_is_posted_to_the_unit_or_kept_out_with_its_reason_and_what_to_do(case: Case) -> None:
    made = case.run()
    if isinstance(case.verdict, int):
        assert isinstance(made, Draft), made
        assert made.unposted == ()
        assert receivable(made) == case.verdict
        return
    if isinstance(made, str):
        assert case.verdict in made
        return
    (unposted,) = made.unposted
    assert any(case.verdict == one.check or case.verdict in one.reason for one in unposted.refusals)
    assert all(one.reason and one.remedy.endswith(".") for one in unposted.refusals)
    # Of the event that is held nothing is posted; what was told before it stands as it was.
    assert not any(one.cause.event == unposted.event for one in made.entries)

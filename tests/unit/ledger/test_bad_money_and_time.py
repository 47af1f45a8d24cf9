"""Amounts and times as nobody should send them (sets B6 and B7): posted to the unit, or kept with a reason.

Each goes the whole way from the bytes of a notice to the books, and nothing on that way may raise.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.entities import Invoice, InvoiceLine
from accordant.canonical.observations import Interpreted, Parked, Quarantined
from accordant.kernel.money import Money
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.exchange import Rate
from accordant.ledger.setting import Setting
from tests.connectors.stripe.test_inbound import event, interpret
from tests.unit.ledger.books import a_chart, some_books
from tests.unit.ledger.test_draft import Story, a_bill
from tests.unit.ledger.test_post import a_setting

AFTER = date(2028, 1, 1)


def one_to_one(of: str, in_: str, day: date) -> Rate | None:
    """So that what is posted abroad is what was billed, whatever the places of the currency."""
    return None if of == in_ else Rate(of=of, in_=in_, rate="1", source="test", published_on=day)


def setting(zone: Any = UTC, currency: str = "USD") -> Setting:
    return a_setting(books={"billing": some_books(a_chart(currency=currency))}, rate_of=one_to_one, zone=zone)


def booked(notice: dict[str, Any], currency: str = "USD") -> Draft | str:
    """The books of one notice, or the words with which it is kept out of them."""
    said = interpret(notice)
    if isinstance(said, Quarantined):
        assert said.where
        return said.reason
    if isinstance(said, Parked):
        return said.reason
    assert isinstance(said, Interpreted)
    objects = {one.ref: one.entity for one in said.observations}
    told = tuple(
        msgspec.structs.replace(one, occurred_at=datetime(2027, 2, 3, tzinfo=UTC)) for one in said.business_events
    )
    made = draft(History(events=told, objects=objects), setting(currency=currency), before_on=AFTER)
    assert all(why.remedy for one in made.unposted for why in one.refusals)
    return made


def a_notice(amount: Any, *, code: Any = "usd", total: Any = None, line_code: Any = None) -> dict[str, Any]:
    """A bill of one line."""
    body = copy.deepcopy(event("invoice.finalized__current"))
    bill = body["data"]["object"]
    line = bill["lines"]["data"][0]
    whole = amount if total is None else total
    bill |= {"currency": code, "total": whole, "amount_due": whole, "amount_paid": 0, "amount_remaining": whole,
             "total_discount_amounts": [], "total_taxes": [], "tax": None}  # fmt: skip
    line |= {"amount": amount, "currency": code if line_code is None else line_code, "discount_amounts": []}
    bill["lines"]["data"] = [line]
    return body


def receivable(made: Draft) -> int:
    return sum(line.amount.amount_minor for one in made.entries for line in one.postings if line.account == "1200")


@pytest.mark.parametrize("code", ["usd", "jpy", "krw", "vnd", "clp", "isk", "ugx", "huf", "twd", "bhd", "kwd", "jod",
                                  "omr", "tnd", "mga", "hrk"])  # fmt: skip
@pytest.mark.parametrize("amount", [1, 7, 100, 1_000, 12_300, 999_999_990, 2**53, 2**53 + 1])
def test_every_currency_is_posted_to_the_unit_or_kept_with_its_reason(code: str, amount: int) -> None:
    made = booked(a_notice(amount, code=code), code.upper())
    if isinstance(made, str):
        assert made
        return
    bill = interpret(a_notice(amount, code=code)).observations[0].entity  # type: ignore[union-attr]
    assert isinstance(bill, Invoice)
    assert made.unposted == ()
    assert receivable(made) == bill.total.amount_minor


@pytest.mark.parametrize("amount", [2**62, 2**63 - 1, 2**63, 2**63 + 1, 10**30, -1, "10.00", "10,00", "1.000,00", "1e2",
                                    " 10 ", "10", 10.5, 1e2, True, None, [10], {"amount": 10}])  # fmt: skip
def test_what_is_no_amount_of_a_bill_is_never_posted_wrong(amount: Any) -> None:
    made = booked(a_notice(amount))
    if isinstance(made, str):
        assert made
        return
    if made.unposted:
        assert made.entries == ()
        return
    assert type(amount) is int
    assert receivable(made) == amount


@pytest.mark.parametrize("code", ["XXX", "xxx", "btc", "", "us", "usdd", " usd", None, 840, ["usd"]])
def test_what_is_no_currency_is_kept_with_its_reason(code: Any) -> None:
    made = booked(a_notice(1_000, code=code))
    assert isinstance(made, str)
    assert made


@pytest.mark.parametrize(("line", "total"), [(1_000, 1_001), (1_000, 999), (0, 1), (1, 0), (-5, 5)])
def test_a_total_that_is_not_its_lines_is_held(line: int, total: int) -> None:
    made = booked(a_notice(line, total=total))
    assert isinstance(made, Draft)
    assert made.entries == ()
    assert {one.check for one in made.unposted[0].refusals} == {"source_total"}


def test_a_line_in_another_currency_than_its_bill_is_kept_with_its_place() -> None:
    said = interpret(a_notice(1_000, line_code="eur"))
    assert isinstance(said, Quarantined)
    assert "lines.data[0]" in (said.where or "")


@pytest.mark.parametrize("amount", [0, -500])
def test_nothing_and_less_than_nothing_are_no_receivable(amount: int) -> None:
    made = booked(a_notice(amount))
    assert isinstance(made, Draft)
    assert receivable(made) in {0, amount}


def test_ten_thousand_lines_of_one_unit_are_ten_thousand_units() -> None:
    lines = tuple(InvoiceLine(external_id=f"il_{at}", amount_minor=1) for at in range(10_000))
    bill = msgspec.structs.replace(a_bill(), lines=lines, total=Money(10_000, "USD"))
    story = Story().bill(bill)
    made = draft(History(events=tuple(story.events), objects=story.objects), setting(), before_on=AFTER)
    assert receivable(made) == 10_000
    assert len(made.schedules) == 10_000


# -- B7: times ---------------------------------------------------------------------------------------------------------


def spanning(starts: datetime, ends: datetime, zone: Any = UTC) -> Draft:
    bill = a_bill(9_001)
    line = msgspec.structs.replace(bill.lines[0], period_starts_at=starts, period_ends_at=ends)
    story = Story().bill(msgspec.structs.replace(bill, lines=(line,)))
    return draft(History(events=tuple(story.events), objects=story.objects), setting(zone), before_on=AFTER)


ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Etc/GMT+12",
         "Africa/Casablanca", "America/Sao_Paulo", "Asia/Kolkata")  # fmt: skip
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(starts=MOMENTS, days=st.integers(-400, 800), seconds=st.integers(0, 86_399), zone=st.sampled_from(ZONES))
def test_a_service_of_any_time_in_any_zone_is_earned_whole(
    starts: datetime, days: int, seconds: int, zone: str
) -> None:
    made = spanning(starts, starts + timedelta(days=days, seconds=seconds), ZoneInfo(zone))
    assert made.unposted == ()
    assert [one.minor for _, one in made.schedules] == [9_001]


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        (datetime(2028, 2, 29, tzinfo=UTC), datetime(2029, 2, 28, tzinfo=UTC)),
        (datetime(2011, 12, 29, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC)),
        (datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC), datetime(2038, 2, 19, tzinfo=UTC)),
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),
    ],
    ids=["a leap day", "a day that Samoa skipped", "2038", "no time in 1970", "ends before it starts"],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Apia", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_dates_at_the_edge_are_earned_whole(starts: datetime, ends: datetime, zone: str) -> None:
    made = spanning(starts, ends, ZoneInfo(zone))
    assert made.unposted == ()
    assert [one.minor for _, one in made.schedules] == [9_001]


@pytest.mark.parametrize(
    "moment", [10**12, 10**15, 10**18, -(10**12), 2**63, "2027-01-01T00:00:00", "yesterday", 1.5, [], True]
)
def test_what_is_no_moment_is_kept_with_its_reason_or_posted_whole(moment: Any) -> None:
    body = a_notice(1_000)
    body["data"]["object"]["lines"]["data"][0]["period"] = {"start": moment, "end": moment}
    made = booked(body)
    if isinstance(made, str):
        assert made
        assert json.dumps(body)  # and the notice is whole, to be read again
        return
    assert receivable(made) == 1_000


@pytest.mark.parametrize("year", [2128, 9999])
def test_a_service_without_an_end_is_held(year: int) -> None:
    made = spanning(datetime(2027, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert made.entries == ()
    assert "more than a hundred years is a mistake" in str(made.unposted[0].refusals[0])

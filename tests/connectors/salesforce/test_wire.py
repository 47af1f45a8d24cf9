"""Values on their way to Salesforce and back: what is read equals what was meant, and no amount becomes a float."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue
from accordant.connectors.salesforce.wire import decode, encode, to_salesforce
from accordant.connectors.sdk.values import ValueUnreadable, canonical, to_wire

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=2)
FINE = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=5)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2999, 1, 1), timezones=ZONES)
VALUES: dict[FieldType, st.SearchStrategy[WireValue]] = {
    FieldType.TEXT: st.text() | st.none() | st.integers() | st.booleans(),
    FieldType.LOOKUP: st.text() | st.none(),
    FieldType.NUMBER: st.integers(-(10**17), 10**17) | FINE.map(lambda one: format(one, "f")) | st.none(),
    FieldType.CURRENCY: (AMOUNTS | FINE).map(lambda one: format(one, "f")) | st.none(),
    FieldType.FLAG: st.booleans() | st.none(),
    FieldType.DATE: st.dates(min_value=date(1700, 1, 1), max_value=date(4000, 12, 31)).map(str) | st.none(),
    FieldType.INSTANT: MOMENTS.map(datetime.isoformat) | st.none(),
}


def kept(kind: FieldType, value: WireValue) -> WireValue:
    """Through the JSON of a request, and out of the JSON of an answer."""
    return to_wire(kind, decode(encode(to_salesforce(kind, value))))


@pytest.mark.parametrize("kind", list(FieldType))
@given(data=st.data())
def test_what_is_read_equals_what_was_meant(kind: FieldType, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    meant = canonical(kind, value)
    assert kept(kind, value) == meant
    assert kept(kind, meant) == meant  # and writing it back changes nothing
    assert type(kept(kind, value)) is type(meant)


@given(amount=AMOUNTS)
def test_two_places_are_kept_to_the_letter(amount: Decimal) -> None:
    spelled = format(amount + 0, ".2f")
    assert kept(FieldType.CURRENCY, spelled) == ("0.00" if amount == 0 else spelled)


@pytest.mark.parametrize(
    ("answered", "wire"),
    [
        (b"1200", "1200.00"),
        (b"1200.0", "1200.00"),
        (b"1200.00", "1200.00"),
        (b"1.2E3", "1200.00"),
        (b"1.2E+3", "1200.00"),
        (b"0.5", "0.50"),
        (b"-0.0", "0.00"),
        (b"1.234", "1.234"),
        (b"9007199254740993.01", "9007199254740993.01"),
        (b"null", None),
    ],
)
def test_an_amount_has_one_spelling(answered: bytes, wire: str | None) -> None:
    assert to_wire(FieldType.CURRENCY, decode(answered)) == wire


def test_an_amount_is_sent_as_a_number_with_its_digits() -> None:
    assert encode(to_salesforce(FieldType.CURRENCY, "9007199254740993.01")) == b"9007199254740993.01"
    assert encode(to_salesforce(FieldType.CURRENCY, "1200.00")) == b"1200.00"
    assert encode(to_salesforce(FieldType.NUMBER, "1E3")) == b"1000"


@pytest.mark.parametrize(
    ("kind", "given_value", "sent", "wire"),
    [
        (FieldType.TEXT, "  Acme  ", "Acme", "Acme"),
        (FieldType.TEXT, "\x1f\u2003Acme\u00a0\n", "Acme", "Acme"),
        (FieldType.TEXT, "\x01\x07Acme\x0e", "Acme", "Acme"),
        (FieldType.TEXT, "", None, None),
        (FieldType.TEXT, " \t ", None, None),
        (FieldType.TEXT, "two\r\nlines", "two\nlines", "two\nlines"),
        (FieldType.TEXT, 7, "7", "7"),
        (FieldType.TEXT, True, "true", "true"),
        (FieldType.NUMBER, 3, Decimal(3), 3),
        (FieldType.NUMBER, "3.50", Decimal("3.50"), "3.50"),
        (FieldType.NUMBER, "", None, None),
        (FieldType.FLAG, None, False, False),
        (FieldType.FLAG, True, True, True),
        (FieldType.DATE, "2026-03-14", "2026-03-14", "2026-03-14"),
        (FieldType.INSTANT, "2026-03-14T09:26:53Z", "2026-03-14T09:26:53.000+0000", "2026-03-14T09:26:53Z"),
        (FieldType.INSTANT, "2026-03-14T10:26:53.9+01:00", "2026-03-14T09:26:53.000+0000", "2026-03-14T09:26:53Z"),
        (FieldType.LOOKUP, "cus_1", "cus_1", "cus_1"),
    ],
)
def test_spellings(kind: FieldType, given_value: WireValue, sent: object, wire: WireValue) -> None:
    assert to_salesforce(kind, given_value) == sent
    assert canonical(kind, given_value) == wire


def test_salesforces_own_spelling_of_an_instant_is_read() -> None:
    assert to_wire(FieldType.INSTANT, "2026-03-14T09:26:53.000+0000") == "2026-03-14T09:26:53Z"
    assert to_wire(FieldType.INSTANT, datetime(2026, 3, 14, 9, tzinfo=UTC).isoformat()) == "2026-03-14T09:00:00Z"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FieldType.CURRENCY, "1,200.00"),
        (FieldType.CURRENCY, "NaN"),
        (FieldType.CURRENCY, "Infinity"),
        (FieldType.CURRENCY, "1e999"),
        (FieldType.CURRENCY, "٣"),
        (FieldType.CURRENCY, "9" * 41),
        (FieldType.NUMBER, True),
        (FieldType.NUMBER, "three"),
        (FieldType.FLAG, "yes"),
        (FieldType.FLAG, 1),
        (FieldType.DATE, "2026-02-30"),
        (FieldType.DATE, "20260314"),
        (FieldType.DATE, "2026-03-14T00:00:00Z"),
        (FieldType.INSTANT, "2026-03-14T09:26:53"),
        (FieldType.INSTANT, "2026-03-14"),
        (FieldType.TEXT, "\ud800"),
    ],
)
def test_a_value_of_another_type_is_refused_before_it_is_sent(kind: FieldType, value: WireValue) -> None:
    with pytest.raises(ValueUnreadable):
        to_salesforce(kind, value)


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b"[" * 200_000, b"[NaN]", b"1e" + b"9" * 30])
def test_bytes_that_cannot_be_read_fail_in_one_way(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(body)


def test_a_record_in_the_place_of_a_value_is_refused() -> None:
    with pytest.raises(ValueUnreadable):
        to_wire(FieldType.TEXT, {"Name": "Acme"})

"""Money is whole units of its currency from end to end (MO1), and nothing is lost when it is divided (MO2)."""

import random
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from accordant.kernel.money import (
    AmountInvalid,
    CurrencyMixed,
    CurrencyUnknown,
    Money,
    exponent_of,
    round_half_up,
    split_minor,
)

CODES = sorted(currency.code for currency in Currency if currency.exponent is not None)
currencies = st.sampled_from(CODES)
amounts = st.builds(Money, st.integers(-(10**40), 10**40), currencies)


@pytest.mark.parametrize(
    ("code", "exponent"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("ISK", 0), ("HUF", 2), ("MGA", 2)]
)
def test_exponents_are_those_of_the_standard(code: str, exponent: int) -> None:
    assert exponent_of(code) == exponent


@pytest.mark.parametrize("code", ["BGN", "HRK", "LTL"])
def test_withdrawn_currencies_can_still_be_read(code: str) -> None:
    assert str(Money(1234, code)) == f"12.34 {code}"


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XXX", "XAU", "XTS", "€"])
def test_what_is_no_currency_is_refused(code: str) -> None:
    with pytest.raises(CurrencyUnknown, match="ISO 4217"):
        Money(1, code)


@pytest.mark.parametrize("amount", [1.0, True, "1", None, Decimal(1)])
def test_only_integers_are_amounts(amount: object) -> None:
    with pytest.raises(AmountInvalid):
        Money(amount, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("10.50", "EUR", 1050),
        ("10.5", "EUR", 1050),
        ("-0.01", "EUR", -1),
        ("-1", "EUR", -100),
        ("0", "EUR", 0),
        ("10.500000", "EUR", 1050),
        ("1200", "JPY", 1200),
        ("1200.00", "JPY", 1200),
        (".0", "JPY", 0),
        ("-.5", "EUR", -50),
        ("1.234", "KWD", 1234),
        ("12345678901234567890123456789012.01", "EUR", 1234567890123456789012345678901201),
    ],
)
def test_plain_decimals_are_read_exactly(text: str, currency: str, minor: int) -> None:
    assert Money.parse(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-",
        "1,000.00",
        "1e3",
        "NaN",
        "Infinity",
        " 1",
        "1 ",
        "+1",
        "--1",
        "1.2.3",
        "١٢",
        "0.001",
        "9" * 101,
        "0x1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(AmountInvalid):
        Money.parse(text, "EUR")


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(123456, "EUR"), "1,234.56 EUR"),
        (Money(-5, "EUR"), "-0.05 EUR"),
        (Money(1200, "JPY"), "1,200 JPY"),
        (Money(0, "KWD"), "0.000 KWD"),
    ],
)
def test_money_is_printed_with_its_own_places(money: Money, text: str) -> None:
    assert str(money) == text


@given(amounts)
def test_money_survives_text_and_storage(money: Money) -> None:
    decimal = money.to_decimal()
    assert decimal.as_tuple().exponent == -exponent_of(money.currency)
    assert Money.parse(format(decimal, "f"), money.currency) == money
    assert msgspec.json.decode(msgspec.json.encode(money), type=Money) == money


def test_stored_floats_and_unknown_currencies_are_not_decoded() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"amount_minor":1.5,"currency":"EUR"}', type=Money)
    with pytest.raises(CurrencyUnknown):
        msgspec.json.decode(b'{"amount_minor":1,"currency":"QQQ"}', type=Money)


@given(st.integers(), st.integers(), currencies)
def test_addition_and_subtraction_undo_each_other(first: int, second: int, currency: str) -> None:
    one, other = Money(first, currency), Money(second, currency)
    assert one + other - other == one
    assert one - one == Money.zero(currency)
    negative = -one
    assert -negative == one


def test_currencies_do_not_mix() -> None:
    with pytest.raises(CurrencyMixed, match="EUR with USD"):
        Money(1, "EUR") + Money(1, "USD")
    with pytest.raises(CurrencyMixed):
        Money(1, "EUR") - Money(1, "USD")


weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any)


@given(st.integers(-(10**15), 10**15), weights)
def test_a_split_keeps_every_unit_and_each_part_is_within_one_of_exact(amount: int, shares: list[int]) -> None:
    parts = split_minor(amount, shares)
    assert sum(parts) == amount
    for part, weight in zip(parts, shares, strict=True):
        assert abs(part - Fraction(amount * weight, sum(shares))) < 1
        if weight == 0:
            assert part == 0


@pytest.mark.nightly
def test_a_million_splits_keep_every_unit() -> None:
    """MO2 at its full count: amounts and weights of every size, each part within one unit of exact."""
    dice = random.Random(20)
    for _ in range(1_000_000):
        amount = dice.randrange(-(10 ** dice.randrange(1, 16)), 10 ** dice.randrange(1, 16))
        shares = [dice.randrange(10 ** dice.randrange(1, 10)) for _ in range(dice.randrange(1, 13))]
        whole = sum(shares)
        if not whole:
            continue
        parts = split_minor(amount, shares)
        assert sum(parts) == amount, (amount, shares)
        for part, weight in zip(parts, shares, strict=True):
            assert abs(part * whole - amount * weight) < whole, (amount, shares)


@given(st.integers(-(10**15), 10**15), weights)
def test_a_larger_weight_never_gets_less(amount: int, shares: list[int]) -> None:
    parts = split_minor(abs(amount), shares)
    ranked = sorted(zip(shares, parts, strict=True))
    assert all(low[1] <= high[1] for low, high in pairwise(ranked) if low[0] < high[0])
    assert split_minor(-abs(amount), shares) == tuple(-part for part in parts)


def test_leftovers_of_equal_remainders_go_to_the_earlier_parts() -> None:
    assert Money(100, "EUR").split([1, 1, 1]) == (Money(34, "EUR"), Money(33, "EUR"), Money(33, "EUR"))


@pytest.mark.parametrize("shares", [[], [0, 0], [1, -1], [2, -1]])
def test_weights_that_cannot_divide_are_refused(shares: list[int]) -> None:
    with pytest.raises(AmountInvalid):
        split_minor(100, shares)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("1/2", 1), ("-1/2", -1), ("3/2", 2), ("5/2", 3), ("-5/2", -3), ("1/3", 0), ("2/3", 1), ("7", 7)],
)
def test_halves_move_away_from_zero(value: str, rounded: int) -> None:
    assert round_half_up(Fraction(value)) == rounded


@given(st.fractions())
def test_rounding_is_to_the_nearest(value: Fraction) -> None:
    assert abs(round_half_up(value) - value) <= Fraction(1, 2)
    assert round_half_up(-value) == -round_half_up(value)

"""How things are said: figures, times, cells of a file, and what of a raw body is covered."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from accordant.canonical.charter import Audience
from accordant.governance.sensitivity import lens
from accordant.kernel.money import Money
from accordant.web.console import charts, words
from accordant.web.console.masks import readable_body
from accordant.web.console.trail_words import trail_name
from accordant.web.console.words import event_name
from tests.tidy.source import PACKAGE

KIND = re.compile(
    r'"((?:registry|court|desk|archive|review|operations|compliance|phases|interpreter|charter)\.[a-z_]+\.[a-z_]+)"'
)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_money_always_has_its_currency_and_a_true_minus() -> None:
    assert words.money(Money(120000, "EUR")) == "1,200.00 EUR"
    assert words.money(Money(-1200, "JPY")) == "−1,200 JPY"
    assert words.moneys((Money(100, "EUR"), Money(200, "USD"))) == "1.00 EUR + 2.00 USD"
    assert words.moneys(()) == "0"


def test_figures_and_values_are_words() -> None:
    assert words.figure(date(2026, 3, 14)) == "14 March 2026"
    assert words.figure(None) == "none"
    assert words.figure(1234567) == "1,234,567"
    assert words.wire(None) == "empty"
    assert words.wire("", known=False) == "unknown"
    assert words.wire(False) == "no"
    assert words.wire(0) == "0"


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, "unknown"), (1, 1, "100%"), (999_999, 1_000_000, "99.99%"), (1, 3, "33.33%"), (0, 5, "0.00%")],
)
def test_a_share_is_never_rounded_up_to_a_whole(part: int, whole: int, said: str) -> None:
    assert words.percent(part, whole) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "unknown"),
        (0, "under 1 ms"),
        (0.04, "40 ms"),
        (3.21, "3.2 s"),
        (300, "5 min"),
        (10800, "3 h"),
        (259200, "3 days"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert words.span(seconds) == said


def test_a_time_is_relative_with_its_exact_instant() -> None:
    html = words.clock_time(NOW - timedelta(minutes=3), NOW)
    assert html == '<time datetime="2026-03-02T11:57:00+00:00" title="2026-03-02 11:57:00.000 UTC">3 min ago</time>'
    assert "unknown" in words.clock_time(None, NOW)
    assert words.relative(NOW + timedelta(hours=2), NOW) == "in 2 h"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("+1 555", "'+1 555"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-cmd", "'-cmd"),
        ("\tx", "'\tx"),
        ("\uff1d1", "'\uff1d1"),
        ("-12.50", "-12.50"),
        (-12, "-12"),
        (Money(-1200, "EUR").to_decimal(), "-12.00"),
        (None, ""),
        ('a "b", c', '"a ""b"", c"'),
        ("\r=1", '"\'\r=1"'),
        ("a\x00b", "ab"),
    ],
)
def test_cells_never_run_as_formulas_and_numbers_stay_numbers(value: object, cell: str) -> None:
    assert words.csv_cell(value) == cell


def test_every_event_state_of_the_product_has_a_word() -> None:
    from accordant.canonical.intents import IntentState
    from accordant.ports.inbox import WorkState

    assert set(words.INTENT_STATES) >= {state.value for state in IntentState}
    assert set(words.EVENT_STATES) >= {state.value for state in WorkState}


def test_every_standing_and_method_of_the_facts_has_a_word() -> None:
    from accordant.analytics.facts import ACCOUNT_STATUSES, PAYMENT_METHOD_STATUSES

    assert set(words.ACCOUNT_STATES) == set(ACCOUNT_STATUSES)
    assert set(words.METHODS) == set(PAYMENT_METHOD_STATUSES)


def test_personal_values_of_a_body_are_covered_until_asked() -> None:
    body = b'{"customer":{"name":"Ada","address":{"city":"London"},"id":"cus_1"},"note":"to ada@x.example","n":[1,2]}'
    hidden = readable_body(body, lens=lens(None))
    for personal in ("Ada", "London", "ada@x.example"):
        assert personal not in hidden
        assert personal in readable_body(body, lens=lens(None, Audience.FINANCE))
    assert "cus_1" in hidden


def test_a_body_that_is_no_json_is_not_shown_covered() -> None:
    for audience in Audience:
        assert "secret" not in readable_body(b"name=secret\xff", lens=lens(None, audience))


def test_a_chart_says_its_figures_and_hatches_the_open_minute() -> None:
    svg = charts.bars([(NOW, 3), (NOW + timedelta(minutes=1), 1)], title="<b>", unit="writes")
    assert "&lt;b&gt;" in svg
    assert "4 writes in 2 minutes" in svg
    assert svg.count('class="bar open"') == 1
    assert "style=" not in svg
    empty = charts.bars([], title="t", unit="writes")
    assert 'class="zero"' in empty


def test_every_kind_the_code_tells_has_its_words() -> None:
    told = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        told |= set(KIND.findall(path.read_text(encoding="utf-8")))
    assert len(told) > 40
    assert {kind for kind in told if trail_name(kind) == event_name(kind)} == set()
    assert trail_name("registry.invoice.advanced") == "Registry invoice advanced"

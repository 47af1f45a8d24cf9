"""Shortened forms: never more digits than promised, one form for one number, and covering twice changes nothing."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.kernel.masking import (
    COVER,
    COVER_LETTER,
    cover_email,
    cover_name,
    cover_number,
    cover_text,
)

ALPHABETS = {
    "digits": string.digits,
    "letters and digits": string.ascii_uppercase + string.digits,
    "with separators": string.digits + " -",
}
# Published test numbers, and one of each length with a check digit that agrees.
CARDS = {15: "378282246310005", 16: "4111111111111111", 19: "6304000000000000000"}
IBANS = ("DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947", "MT84MALT011000012345MTLCAST001S")


def a_card(length: int) -> str:
    """A number of this length whose check digit agrees."""
    head = ("4" + "1234567890" * 2)[: length - 1]
    total = 0
    for place, letter in enumerate(reversed(head)):
        value = int(letter) * (2 - place % 2)
        total += value - 9 if value > 9 else value
    return head + str(-total % 10)


@pytest.mark.parametrize("length", range(1, 35))
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_no_number_shows_more_than_its_end(length: int, alphabet: str) -> None:
    """reliability.md PR2, every length and kind: last four from eight on, else two, at least four hidden or all."""
    letters = ALPHABETS[alphabet]
    for start in range(40):
        text = "".join(letters[(start * 7 + place * 13) % len(letters)] for place in range(length))
        covered = cover_number(text)
        size = sum(letter.isalnum() for letter in text)
        shown = sum(letter.isalnum() for letter in covered)
        hidden = size - shown
        is_card = covered[:1].isalnum() and shown == 10
        assert hidden >= 4 or shown == 0, (text, covered)
        assert is_card or shown <= (4 if size >= 8 else 2), (text, covered)
        assert cover_number(covered) == covered


@pytest.mark.parametrize("length", range(15, 20))
def test_a_card_number_shows_its_first_six_and_last_four(length: int) -> None:
    card = a_card(length)
    assert cover_number(card) == card[:6] + COVER_LETTER * (length - 10) + card[-4:]
    assert cover_number(f"{card[:4]} {card[4:8]}-{card[8:]}") == cover_number(card)
    assert cover_number(cover_number(card)) == cover_number(card)


@pytest.mark.parametrize("card", CARDS.values())
def test_test_numbers_are_known_as_cards(card: str) -> None:
    assert cover_number(card) == card[:6] + COVER_LETTER * (len(card) - 10) + card[-4:]


def test_a_short_card_number_shows_its_end_alone() -> None:
    assert cover_number("4222222222222") == COVER_LETTER * 9 + "2222"


@pytest.mark.parametrize("iban", IBANS)
def test_an_account_number_is_found_in_text_however_it_is_grouped(iban: str) -> None:
    grouped = " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))
    for spelled in (iban, grouped):
        covered = cover_text(f"Please pay to {spelled} by Friday")
        assert covered == f"Please pay to {COVER_LETTER * (len(iban) - 4)}{iban[-4:]} by Friday"


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("Ask ada@mail.example, please", "Ask a•••@mail.example, please"),
        ("to=ada%40mail.example&x=1", "to=a•••%40mail.example&x=1"),
        ("<ada.l+x@mail.co.example>", "<a•••@mail.co.example>"),
        ("grüße@müller.example", "g•••@müller.example"),
        ("card 4111 1111 1111 1111 declined", "card 411111••••••1111 declined"),
        ("SSN 123-45-6789.", "SSN •••••6789."),
        ("EIN 12-3456789", "EIN •••••6789"),
        ("Number 4111111111111112 is no card", "Number 4111111111111112 is no card"),
        ("at 1700000000.1234567", "at 1700000000.1234567"),
        ("postgresql://user@127.0.0.1:5432/x", "postgresql://user@127.0.0.1:5432/x"),
        ("evt_4111111111111111", "evt_4111111111111111"),
        ("nothing to hide", "nothing to hide"),
        ("", ""),
    ],
)
def test_text_loses_what_is_personal_and_nothing_else(text: str, covered: str) -> None:
    assert cover_text(text) == covered


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("Ada Lovelace", "A••• L•••"),
        ("山田 太郎", "山••• 太•••"),
        ("Li", "L•••"),
        ("", ""),
        ("  ", COVER),
        (COVER, COVER),
    ],
)
def test_a_name_keeps_its_first_letters(name: str, covered: str) -> None:
    assert cover_name(name) == covered


def test_what_is_no_address_is_covered_whole() -> None:
    assert cover_email("ada") == COVER
    assert cover_email("ada@localhost") == COVER
    assert cover_email("ada@mail.example") == "a•••@mail.example"
    assert cover_email("") == ""


@pytest.mark.parametrize("cover", [cover_name, cover_email, cover_number, cover_text])
@given(text=st.text(max_size=60))
def test_covering_twice_is_covering_once(cover: Callable[[str], str], text: str) -> None:
    assert cover(cover(text)) == cover(text)


@given(st.from_regex(r"[a-z0-9._+]{2,20}@[a-z]{1,12}\.(com|example|de)", fullmatch=True), st.text(max_size=20))
def test_no_address_survives_in_text(address: str, around: str) -> None:
    local = address.partition("@")[0]
    assert f"{local}@" not in cover_text(f"{around} {address} {around}").replace(around, "")

"""Which tax numbers the European register can be asked about."""

from __future__ import annotations

import pytest

from accordant.canonical.vat import VatNumber
from accordant.identity.vat import NotAsked, vat_number


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        ("DE 136,695 976", "DE", "136695976"),
        ("de136695976", "DE", "136695976"),
        ("EL094259216", "EL", "094259216"),
        ("GR 094 259 216", "EL", "094259216"),
        ("XI 432525179", "XI", "432525179"),
        ("ATU 13585627", "AT", "U13585627"),
        ("IE6433435F", "IE", "6433435F"),
    ],
)
def test_a_number_is_read_as_the_register_wants_it(text: str, country: str, number: str) -> None:
    assert vat_number(text) == VatNumber(country, number)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("GB432525179", "The United Kingdom's numbers left the register"),
        ("DE136695977", "Its length or its check digits"),
        ("DE100", "Its length or its check digits"),
        ("US123456789", "US is no member state"),
        ("NO123456785MVA", "NO is no member state"),
        ("136695976", "What it begins with is no member state"),
        ("EU372022452", "A number of the one-stop shop"),
        ("", "What it begins with"),
    ],
)
def test_what_it_cannot_be_asked_about_says_why_and_what_to_do(text: str, why: str) -> None:
    read = vat_number(text)
    assert isinstance(read, NotAsked)
    assert read.because.startswith(why)
    assert len(read.next_action.split()) > 3
    assert "136695977" not in read.because + read.next_action

"""Statements of any version: everything booked, nothing announced, and only where it adds up to the last unit."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.connectors.camt053.statements import StatementUnreadable, message_id, read_statements
from accordant.kernel.money import Money
from tests.connectors.camt053.kit import IBAN, Entry, statement

DAY = date(2026, 3, 5)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@pytest.mark.parametrize("version", ["02", "04", "08", "12"])
def test_a_statement_of_any_version_says_what_was_booked(version: str) -> None:
    body = statement(
        [
            Entry("1164.90", DAY, "BK-1", text="STRIPE  PAYOUT po_1", end_to_end="E2E-1", name="Stripe Payments"),
            Entry("-12.00", DAY, "BK-2", text="Account fee", name="The bank & co"),
            Entry("99.00", DAY, "BK-3", status="PDNG"),
        ],
        day=DAY,
        opening="100.00",
        version=version,
    )
    (one,) = read_statements(body)
    assert (one.external_id, one.account) == (f"{IBAN}/2026-1", IBAN)
    assert (one.opening, one.closing) == (eur(10_000), eur(125_290))
    assert (one.starts_on, one.ends_on, one.created_at) == (DAY, DAY, datetime(2026, 3, 5, 22, 50, tzinfo=UTC))
    first, second = one.lines
    assert (first.reference, first.amount, first.counterparty) == ("BK-1", eur(116_490), "Stripe Payments")
    assert first.texts == ("E2E-1", "STRIPE PAYOUT po_1")
    assert (second.amount, second.counterparty, second.texts) == (eur(-1_200), "The bank & co", ("Account fee",))
    assert message_id(body) == f"MSG-{IBAN[-4:]}-2026-03-05-1"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ((b"1264.90</Amt>", b"1264.91</Amt>"), "Bal/CLBD"),
        ((b'<Amt Ccy="EUR">1164.90', b'<Amt Ccy="USD">1164.90'), "Ntry/Amt"),
        ((b'<Amt Ccy="EUR">1164.90', b'<Amt Ccy="EUR">1,164.90'), "Amt"),
        ((b'<Amt Ccy="EUR">1164.90', b'<Amt Ccy="EUR">1164.901'), "Amt"),
        ((b'<Amt Ccy="EUR">1164.90', b'<Amt Ccy="EUR">-1164.90'), "Amt"),
        ((b'<Amt Ccy="EUR">1164.90', b'<Amt Ccy="QQQ">1164.90'), "Amt"),
        ((b"<CdtDbtInd>CRDT", b"<CdtDbtInd>BOTH"), "CdtDbtInd"),
        ((b"<Cd>CLBD", b"<Cd>ITBD"), "Bal"),
        ((b"<BookgDt><Dt>2026-03-05", b"<BookgDt><Dt>05.03.2026"), "BookgDt"),
        ((b"<BookgDt><Dt>2026-03-05</Dt></BookgDt>", b""), "Ntry/BookgDt"),
        ((b"<IBAN>DE02120300000000202051</IBAN>", b""), "Acct/Id"),
        ((b"<Id>2026-1</Id>", b""), "Stmt/Id"),
        ((b"<Stmt>", b"<Rpt>"), "Document"),
        ((b"BkToCstmrStmt", b"BkToCstmrDbtCdtNtfctn"), "Document/BkToCstmrStmt"),
        ((b"<Document", b'<!DOCTYPE x [<!ENTITY a "b">]><Document'), "DOCTYPE"),
        ((b"</Document>", b""), "Document"),
    ],
)
def test_what_does_not_fit_is_named_by_its_element(change: tuple[bytes, bytes], where: str) -> None:
    body = statement([Entry("1164.90", DAY, "BK-1")], day=DAY, opening="100.00")
    assert change[0] in body
    with pytest.raises(StatementUnreadable) as unreadable:
        read_statements(body.replace(*change))
    assert unreadable.value.where == where
    assert unreadable.value.remedy


def test_two_bookings_of_one_reference_are_no_statement_and_without_one_each_has_its_own() -> None:
    twice = [Entry("1.00", DAY, "BK-1"), Entry("2.00", DAY, "BK-1")]
    with pytest.raises(StatementUnreadable) as unreadable:
        read_statements(statement(twice, day=DAY))
    assert unreadable.value.where == "Ntry/AcctSvcrRef"
    unnamed = statement([Entry("5.00", DAY), Entry("5.00", DAY)], day=DAY)
    (one,) = read_statements(unnamed)
    assert len({line.reference for line in one.lines}) == 2
    assert read_statements(unnamed) == (one,)


@given(st.lists(st.integers(-(10**10), 10**10), max_size=20), st.integers(-(10**10), 10**10), st.integers(-50, 50))
def test_a_statement_counts_only_where_it_adds_up(minors: list[int], opening: int, off: int) -> None:
    entries = [Entry(_major(minor), DAY, f"BK-{number}") for number, minor in enumerate(minors)]
    body = statement(entries, day=DAY, opening=_major(opening), closing=_major(opening + sum(minors) + off))
    if off:
        with pytest.raises(StatementUnreadable):
            read_statements(body)
    else:
        (one,) = read_statements(body)
        assert [line.amount.amount_minor for line in one.lines] == minors


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(body: bytes) -> None:
    with pytest.raises(StatementUnreadable):
        read_statements(body)


def _major(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"

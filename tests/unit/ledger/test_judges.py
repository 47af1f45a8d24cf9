"""Every pattern of the books, of companies in four currencies, as two other programs add it up."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from accordant.canonical.books import AccountType, Role, ServiceKind
from accordant.canonical.events import EventType
from accordant.kernel.money import Money
from accordant.ledger import exchange, patterns
from accordant.ledger.chart import AccountRule, Chart, LedgerAccount
from accordant.ledger.compose import Books, compose
from accordant.ledger.draft import Draft
from accordant.ledger.entries import JournalEntry, reverse
from accordant.ledger.exchange import Rate
from accordant.ledger.export import account_names, beancount, hledger
from accordant.ledger.patterns import BilledLine, Leg, Share, share_of
from accordant.ledger.periods import months
from tests.unit.ledger.books import ACCOUNTS, RECORDED, a_request
from tests.unit.ledger.judges import Balances, beancount_says, hledger_says, written
from tests.unit.ledger.test_abroad import abroad as books_abroad
from tests.unit.ledger.test_abroad import convert, credit, give_back, pay_out
from tests.unit.ledger.test_abroad import read as read_abroad
from tests.unit.ledger.test_contracts import a_line, agree, billed, measure, some_years
from tests.unit.ledger.test_contracts import read as read_contracts
from tests.unit.ledger.test_draft import Story, a_bill, ref
from tests.unit.ledger.test_taxes import including
from tests.unit.ledger.test_taxes import read as read_taxes

DAY = date(2027, 2, 3)
VISA = "cards"
FEE, CARDS = 300, VISA
#: The roles that the small company of the other tests does not have.
MORE = {
    role: (f"{9000 + at}", role.value.replace("_", " ").title(), AccountType.EXPENSE)
    for at, role in enumerate(role for role in Role if role not in ACCOUNTS)
}
#: Every pattern by itself, with what would make a sum of it come out wrong: taxes, parts, two signs.
PATTERNS: dict[str, list[Leg]] = {
    "bill with tax": patterns.invoice_issued(
        [
            BilledLine(product="pro", net_minor=10_001, tax_code="NY", tax_minor=888),
            BilledLine(product=None, net_minor=-1),
        ]
    ),
    "reverse charge": patterns.invoice_issued([BilledLine(product="pro", net_minor=7_777, tax_code="NY")]),
    "credit note": patterns.credit_note(
        Share(earned=1_550, unearned=2_950), refunded=1_500, to_balance=1_000, owed=2_000, processor=VISA
    ),
    "written off": patterns.written_off(Share(earned=4_000, unearned=6_000, tax=1_000)),
    "written off against the allowance": patterns.written_off(Share(earned=4_000, unearned=0), from_allowance=True),
    "commissions of two, deferred and at once": patterns.commissions_owed(
        [
            patterns.CommissionPart(person="ann", minor=1_601, at_once=False),
            patterns.CommissionPart(person="bob", minor=799, at_once=True),
        ]
    ),
    "commissions clawed back": patterns.commissions_owed(
        [
            patterns.CommissionPart(person="ann", minor=-401, at_once=False),
            patterns.CommissionPart(person="bob", minor=-99, at_once=True),
        ]
    ),
    "commission paid": patterns.commission_paid(1_000, person="ann"),
    "bad debt expected": patterns.bad_debt_expected(501),
    "recovered": patterns.recovered(
        patterns.payment_applied(11_000, open_minor=0, processor=VISA),
        Share(earned=4_000, unearned=6_000, tax=1_000), caught_up=2_000,
    ),
    "overpaid": patterns.payment_applied(13_001, open_minor=10_000),
    "fee": patterns.fee_charged(351, processor=VISA),
    "fee of a dispute": patterns.fee_charged(1_500, processor=VISA, of_dispute=True),
    "payout": patterns.payout_paid(11_649, processor=VISA),
    "converted": patterns.funds_converted(-3_701, processor=VISA),
    "refunded": patterns.refunded(share_of(12_001, recognised=2_000, deferred=10_001), processor=VISA),
    "dispute": patterns.dispute_opened(share_of(9_000, recognised=3_100, deferred=5_900), fee=1_500, processor=VISA),
    "dispute won": patterns.dispute_won(Share(earned=3_100, unearned=5_900), caught_up=2_800, processor=VISA),
    "earned": patterns.revenue_recognised(10_000, deferred=4_000),
    "unbilled": patterns.revenue_unbilled(777),
    "unbilled billed": patterns.unbilled_billed(777),
    "agent": patterns.agent_sale(10_000, commission=1_500, fee=FEE, processor=CARDS),
    "seller paid with withholding": patterns.seller_paid(8_500, withheld=2_040),
    "commission": patterns.commission_earned(4_400),
    "commission expensed": patterns.commission_expensed(1_101),
    "sister bought": patterns.intercompany_bought(6_000),
    "sister delivered": patterns.intercompany_delivered(6_000),
    "collected for a sister": patterns.collected_for_sister(2_500, processor=VISA),
    "collected by a sister": patterns.collected_by_sister(2_500),
    "revalued": exchange.revalued(Role.RECEIVABLE, stands_at=9_000, worth=8_991),
}  # fmt: skip


def a_company(name: str, currency: str) -> Books:
    accounts = {**ACCOUNTS, **MORE}
    chart = Chart(
        legal_entity=name,
        currency=currency,
        accounts={code: LedgerAccount(code=code, name=label, type=kind) for code, label, kind in accounts.values()},
        rules=tuple(AccountRule(role=role, account=code) for role, (code, _, _) in accounts.items()),
    )
    return Books(chart=chart, periods=months(name, year=2027), tax_codes=frozenset({"NY"}))


#: No decimals, two and three, and one that bills in the currency of the first.
COMPANIES = {
    name: a_company(name, currency)
    for name, currency in (("Acme & Söhne", "EUR"), ("Acme 株式会社", "JPY"), ("Acme W.L.L.", "BHD"), ("Acme 4", "USD"))
}


def posted(books: Books, name: str, legs: list[Leg], *, abroad: bool = False) -> JournalEntry:
    request = a_request(legs, source=abs(legs[0].minor), on=DAY, event=name, rule=name)
    own = books.chart.currency
    rate = Rate(of="USD", in_=own, rate="0.913", source="test", published_on=DAY) if abroad and own != "USD" else None
    currency = "USD" if rate else own
    made = compose(
        msgspec.structs.replace(request, currency=currency, rate=rate, text=f'{name}; "quoted" | * ! 第'),
        books,
        recorded_at=RECORDED,
    )
    assert isinstance(made, JournalEntry), (name, made)
    return made


def told(made: Draft, books: Books, name: str) -> list[JournalEntry]:
    """The entries of a story, in the books of one of the companies."""
    assert made.unposted == ()
    assert made.entries
    return [
        msgspec.structs.replace(one, legal_entity=books.chart.legal_entity, id=f"{one.id}-{name}")
        for one in made.entries
    ]


def stories() -> list[JournalEntry]:
    """Lives of bills: written off and recovered, foreign, with tax inside, owed by the customer, given back."""
    euros, dollars = COMPANIES["Acme & Söhne"], COMPANIES["Acme 4"]
    foreign = Story().bill(a_bill(10_000, days=90)).pay(10_000, day=5)
    give_back(foreign, 4_001, day=12, name="re_1")
    convert(foreign, "ch_1", 8_950, day=5, name="txn_1")
    credit(foreign, 1_000, day=20, name="cn_1")
    pay_out(foreign, 850, day=20)
    lost = Story().bill(a_bill(9_000, tax=900))
    lost.tell(EventType.INVOICE_WRITTEN_OFF, ref("invoice", "in_1"), a_bill(9_000, tax=900), day=30)
    lost.pay(9_900, day=60)
    reverse_charge = msgspec.structs.replace(a_bill(9_000), reverse_charge=True)
    return [
        *told(read_abroad(lost), euros, "recovered"),
        *told(lost.read(), dollars, "recovered at home"),
        *told(Story().bill(including(11_900, 1_900)).read(), dollars, "inclusive"),
        *told(read_taxes(reverse_charge, "EU-RC"), dollars, "reverse charge"),
        *told(read_abroad(Story().bill(a_bill(9_000)).pay(10_000, day=12)), euros, "overpaid"),
        *told(read_abroad(Story().bill(a_bill(9_001)).pay(1, day=3)), euros, "in parts"),
        *contracts(),
    ]


def contracts() -> list[JournalEntry]:
    """A ramp with its asset, at home and abroad, and projects that are caught up with."""
    euros, dollars, year = COMPANIES["Acme & Söhne"], COMPANIES["Acme 4"], date(2028, 1, 1)
    ramp = agree(Story().bill(billed(a_line(100_001))).pay(100_001, day=3), 450_000)
    give_back(ramp, 3_001, day=90, name="re_1")
    project = measure(Story().bill(billed(a_line(100_001))), "60", day=10, price=150_000)
    credit(project, 20_003, day=40, name="cn_1")
    measure(project.bill(billed(a_line(70_000), name="in_2"), day=100), "420/820", day=200)
    read, of = read_contracts, {"pro": ServiceKind.PROJECT}
    return [
        *told(read(ramp, until=year), dollars, "ramp"),
        *told(read(ramp, until=year, books=some_years(books_abroad().chart)), euros, "ramp abroad"),
        *told(read(project, until=year, services=of), dollars, "project"),
        *told(read(project, until=year, services=of, books=some_years(books_abroad().chart)), euros, "project abroad"),
    ]


def everything() -> list[JournalEntry]:
    entries = stories()
    for books in COMPANIES.values():
        of_it = [posted(books, name, legs) for name, legs in PATTERNS.items()]
        of_it += [posted(books, f"{name} abroad", legs, abroad=True) for name, legs in PATTERNS.items()
                  if name != "revalued"]  # fmt: skip
        void = of_it[0]
        of_it.append(reverse(void, posted_on=DAY, event="void", text="Voided", recorded_at=RECORDED))
        entries += of_it
    return entries


def ours(entries: list[JournalEntry]) -> tuple[Balances, Balances]:
    names = account_names([one.chart for one in COMPANIES.values()])
    sums: Counter[tuple[str, str]] = Counter()
    originals: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        for one in entry.postings:
            name = names[entry.legal_entity, one.account]
            sums[name, one.amount.currency] += one.amount.amount_minor
            if one.original is not None:
                originals[name, one.original.currency] += one.original.amount_minor
    return _decimals(sums), _decimals(originals)


def _decimals(sums: Counter[tuple[str, str]]) -> Balances:
    return {
        (name, currency): Decimal(Money(minor, currency).to_decimal())
        for (name, currency), minor in sums.items()
        if minor
    }


def test_every_role_and_every_pattern_is_in_what_is_judged() -> None:
    used = {leg.use.role for legs in PATTERNS.values() for leg in legs if leg.minor}
    assert used >= set(Role) - {Role.FX_REALISED}
    assert len(PATTERNS) == 30
    assert len(everything()) > 200


def test_beancount_accepts_every_pattern_and_has_our_balances_in_both_currencies(tmp_path: Path) -> None:
    entries, charts = everything(), [one.chart for one in COMPANIES.values()]
    path = written(tmp_path / "all.beancount", list(beancount(entries, charts, opened_on=date(2027, 1, 1))))
    assert beancount_says(path) == ours(entries)


def test_hledger_accepts_every_pattern_and_has_our_balances(tmp_path: Path) -> None:
    entries, charts = everything(), [one.chart for one in COMPANIES.values()]
    path = written(tmp_path / "all.journal", list(hledger(entries, charts)))
    assert hledger_says(path) == ours(entries)[0]

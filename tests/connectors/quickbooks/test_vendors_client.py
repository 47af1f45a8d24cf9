"""Judges nobody here wrote: Intuit's own client for tokens and python-quickbooks for the rest drive the stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from intuitlib.client import AuthClient
from intuitlib.exceptions import AuthClientError
from quickbooks import QuickBooks
from quickbooks.cdc import change_data_capture
from quickbooks.exceptions import (
    AuthorizationException,
    ObjectNotFoundException,
    QuickbooksException,
    ValidationException,
)
from quickbooks.objects import Account, CreditMemo, Customer, Invoice, Item, JournalEntry, Payment, Preferences
from quickbooks.objects.base import EmailAddress, LinkedTxn, Ref
from quickbooks.objects.detailline import SalesItemLine, SalesItemLineDetail
from quickbooks.objects.journalentry import Entity, JournalEntryLine, JournalEntryLineDetail
from quickbooks.objects.payment import PaymentLine

from accordant.connectors.quickbooks.simulator import CLIENT, REALM, QuickBooksSimulator
from tests.connectors.ledger_kit import CLEARING, DEFERRED, RECEIVABLE, REVENUE, billed, invoice, move, paid, put
from tests.connectors.quickbooks.kit import BILL, ENTRY, Books

T = TypeVar("T")
DAY = "2026-03-10"


class Client:
    """The vendor's clients beside a stand-in; both ask it for a token before anything else."""

    def __init__(self, simulator: QuickBooksSimulator) -> None:
        self._url = simulator.url
        self.tokens: Any = None
        self.api: Any = None

    def open(self, refresh_token: str = "refresh-0") -> Any:
        """Begin with a refresh token."""
        if self.tokens is not None:
            self.close()
        discovery = f"{self._url}/.well-known/openid_configuration"
        self.tokens = AuthClient(*CLIENT, "http://127.0.0.1/callback", discovery, refresh_token=refresh_token)
        self.api = QuickBooks(
            auth_client=self.tokens, refresh_token=refresh_token, company_id=REALM, minorversion=75, use_decimal=True
        )
        self.api.api_url_v3 = f"{self._url}/v3"
        return self.api

    def close(self) -> None:
        """Release connections."""
        self.tokens.close()
        if self.api is not None:
            self.api.session.close()


async def using(work: Callable[[], T]) -> T:
    """The clients block, the stand-in lives in this loop: let them work in a thread."""
    return await asyncio.to_thread(work)


@pytest.fixture
async def client(one: Books, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # loopback speaks without TLS
    made = Client(one.simulator)
    await using(made.open)
    yield made
    await using(made.close)


def ref(one: str) -> Ref:
    made = Ref()
    made.value = one
    return made


def numbered(qb: Any, number: str) -> str:
    """The id of an account by its number."""
    return str(Account.filter(AcctNum=number, qb=qb)[0].Id)


def a_customer(qb: Any, name: str = "Ünal Çelik GmbH") -> Customer:
    made = Customer()
    made.DisplayName = name
    made.PrimaryEmailAddr = EmailAddress()
    made.PrimaryEmailAddr.Address = "a@b.example"
    return made.save(qb=qb)


def sold(qb: Any, made: Any, customer: Customer, number: str, amount: str) -> Any:
    """An invoice or a credit memo of one line, not sent yet."""
    line = SalesItemLine()
    line.Amount = Decimal(amount)
    line.Description = "Plan"
    line.SalesItemLineDetail = SalesItemLineDetail()
    line.SalesItemLineDetail.ItemRef = ref(Item.filter(Name=REVENUE, qb=qb)[0].Id)
    made.CustomerRef = customer.to_ref()
    made.DocNumber, made.TxnDate = number, DAY
    made.Line.append(line)
    return made


def a_payment(qb: Any, customer: Customer, bill: Invoice, amount: str) -> Payment:
    line = PaymentLine()
    line.Amount = Decimal(amount)
    line.LinkedTxn.append(bill.to_linked_txn())
    made = Payment()
    made.TotalAmt, made.TxnDate, made.PaymentRefNum = Decimal(amount), DAY, "p-1"
    made.CustomerRef = customer.to_ref()
    made.DepositToAccountRef = ref(numbered(qb, CLEARING))
    made.Line.append(line)
    return made


def a_link(customer: Customer, bill: Invoice, note: CreditMemo, amount: str) -> Payment:
    """A payment of nothing that sets a credit memo against an invoice."""
    made = Payment()
    made.TotalAmt, made.TxnDate, made.PaymentRefNum = 0, DAY, "l-1"
    made.CustomerRef = customer.to_ref()
    for one, kind in ((bill, "Invoice"), (note, "CreditMemo")):
        line, linked = PaymentLine(), LinkedTxn()
        linked.TxnId, linked.TxnType = one.Id, kind
        line.Amount = Decimal(amount)
        line.LinkedTxn.append(linked)
        made.Line.append(line)
    return made


def a_journal(qb: Any, *lines: tuple[str, str, str], customer: Customer | None = None) -> JournalEntry:
    """Lines as account, side and amount; each names the customer where there is one."""
    made = JournalEntry()
    made.DocNumber, made.TxnDate = "J-1", DAY
    for account, side, amount in lines:
        line = JournalEntryLine()
        line.Amount = Decimal(amount)
        line.JournalEntryLineDetail = detail = JournalEntryLineDetail()
        detail.PostingType, detail.AccountRef = side, ref(numbered(qb, account))
        if customer is not None:
            detail.Entity = Entity()
            detail.Entity.Type, detail.Entity.EntityRef = "Customer", customer.to_ref()
        made.Line.append(line)
    return made


async def test_the_client_lives_a_life_and_the_trial_balance_is_its_own(one: Books, client: Client) -> None:
    def work() -> None:
        qb = client.api
        customer = a_customer(qb)
        bill = sold(qb, Invoice(), customer, "INV-1", "119.00").save(qb=qb)
        assert (bill.TotalAmt, bill.Balance, bill.SyncToken) == (119, 119, "0")
        payment = a_payment(qb, customer, bill, "100.00").save(qb=qb)
        note = sold(qb, CreditMemo(), customer, "CN-1", "19.00").save(qb=qb)
        assert note.RemainingCredit == 19
        a_link(customer, bill, note, "19.00").save(qb=qb)
        settled = Invoice.get(bill.Id, qb=qb)
        assert (settled.Balance, settled.TotalAmt) == (0, 119)
        assert CreditMemo.get(note.Id, qb=qb).RemainingCredit == 0
        journal = a_journal(qb, (DEFERRED, "Debit", "50.00"), (REVENUE, "Credit", "50.00")).save(qb=qb)
        payment.void(qb=qb)
        voided = Payment.get(payment.Id, qb=qb)
        assert (voided.TotalAmt, voided.PrivateNote) == (0, "Voided")
        assert Invoice.get(bill.Id, qb=qb).Balance == 100
        told = journal.delete(qb=qb)
        assert told["JournalEntry"]["status"] == "Deleted"
        with pytest.raises(ObjectNotFoundException):
            JournalEntry.get(journal.Id, qb=qb)
        second = sold(qb, Invoice(), customer, "INV-2", "7.00").save(qb=qb)
        second.void(qb=qb)
        assert (Invoice.get(second.Id, qb=qb).TotalAmt, Invoice.get(second.Id, qb=qb).Balance) == (0, 0)
        assert Customer.get(customer.Id, qb=qb).Balance == 100
        assert Preferences.get(qb=qb).CurrencyPrefs.HomeCurrency.value == "EUR"

    await using(work)
    # What was voided and deleted posts nothing: the bill less its credit memo is what is left.
    assert one.balance() == {RECEIVABLE: "100.00", REVENUE: "-100.00"}


async def test_the_client_reads_what_our_half_wrote(one: Books, client: Client) -> None:
    party = await one.a_customer("cus_1", "Ünal Çelik GmbH")
    await put(one.erp, BILL, "jrn_bill", invoice(billed(party, "100.00", "19.00"), party=party))
    await put(one.erp, ENTRY, "jrn_paid", move(paid(party, "59.50"), settles="jrn_bill"))
    await put(one.erp, BILL, "jrn_note", invoice(billed(party, "-50.00", "-9.50"), party=party, settles="jrn_bill"))

    def work() -> None:
        qb = client.api
        (customer,) = Customer.where("DisplayName like '%(cus_1)'", qb=qb)
        assert customer.CompanyName == "Ünal Çelik GmbH"
        (bill,) = Invoice.filter(CustomerRef=customer.Id, qb=qb)
        assert (bill.TotalAmt, bill.Balance) == (119, 0)
        assert sum(line.Amount for line in bill.Line if isinstance(line, SalesItemLine)) == 119
        (note,) = CreditMemo.all(qb=qb)
        assert (note.TotalAmt, note.RemainingCredit) == (Decimal("59.5"), 0)
        payment = Payment.where("TotalAmt > '0'", qb=qb)[0]
        assert payment.Line[0].LinkedTxn[0].TxnId == bill.Id

    await using(work)


async def test_our_half_notices_what_a_person_did_with_the_client(one: Books, client: Client) -> None:
    """A bill edited, one voided and one deleted there: each is told apart, and none is made a second time."""
    party = await one.a_customer("cus_1")
    for key in ("jrn_1", "jrn_2", "jrn_3"):
        await put(one.erp, BILL, key, invoice(billed(party, "100.00", "19.00"), party=party))
    before = await one.erp.read(BILL, ["jrn_1", "jrn_2", "jrn_3"])
    edited, voided, deleted = (before[key].target_id for key in ("jrn_1", "jrn_2", "jrn_3"))

    def work() -> None:
        qb = client.api
        bill = Invoice.get(edited.partition(",")[2], qb=qb)
        bill.Line[0].Amount += 1
        assert bill.save(qb=qb).TotalAmt == 120
        Invoice.get(voided.partition(",")[2], qb=qb).void(qb=qb)
        Invoice.get(deleted.partition(",")[2], qb=qb).delete(qb=qb)

    await using(work)
    after = await one.erp.read(BILL, ["jrn_1", "jrn_2", "jrn_3"])
    assert after["jrn_1"].fields["lines"] != before["jrn_1"].fields["lines"]
    assert after["jrn_2"].fields["state"] != before["jrn_2"].fields["state"]
    assert "jrn_3" not in after
    found = await one.erp.whereabouts(BILL, [edited, voided, deleted])
    assert {place: one.deleted for place, one in found.items()} == {edited: False, voided: True}
    assert one.balance()[RECEIVABLE] == "120.00"


async def test_it_pages_counts_orders_and_hears_of_changes(one: Books, client: Client) -> None:
    def make() -> None:
        qb = client.api
        for number in range(7):
            one.clock.move(minutes=1)
            a_customer(qb, f"Customer {number}")

    def read() -> None:
        qb = client.api
        names, start = [], 1
        while page := Customer.where("Active = true", order_by="DisplayName DESC", start_position=start,
                                     max_results=3, qb=qb):  # fmt: skip
            names += [found.DisplayName for found in page]
            start += len(page)
        assert names == [f"Customer {number}" for number in reversed(range(7))]
        assert Customer.count(qb=qb) == 7
        assert Customer.count("DisplayName = 'Customer 3'", qb=qb) == 1
        chosen = Customer.choose([Customer.all(qb=qb)[0].Id], qb=qb)
        assert [found.DisplayName for found in chosen] == ["Customer 0"]
        since = one.clock.now - timedelta(seconds=90)
        changed = change_data_capture([Customer, Invoice], since, qb=qb)
        assert [found.DisplayName for found in changed.Customer] == ["Customer 5", "Customer 6"]
        assert not hasattr(changed, "Invoice")
        with pytest.raises(ValidationException) as unreadable:
            Customer.query("SELECT everything FROM Customer", qb=qb)
        assert unreadable.value.error_code == 4000

    await using(make)
    await using(read)


async def test_it_places_customers_below_each_other_and_sees_them_go(one: Books, client: Client) -> None:
    def below(qb: Any, name: str, parent: Any) -> Any:
        made = Customer()
        made.DisplayName, made.Job, made.BillWithParent = name, True, True
        made.ParentRef = parent.to_ref()
        return made.save(qb=qb)

    def work() -> None:
        qb = client.api
        above = a_customer(qb, "Group")
        one_below = below(qb, "Subsidiary", above)
        assert (one_below.Job, one_below.BillWithParent, one_below.Level) == (True, True, 1)
        assert (one_below.FullyQualifiedName, one_below.ParentRef.value) == ("Group:Subsidiary", above.Id)
        sold(qb, Invoice(), one_below, "INV-1", "119.00").save(qb=qb)
        told = Customer.get(above.Id, qb=qb)
        assert (told.Balance, told.BalanceWithJobs) == (Decimal(0), Decimal("119.00"))
        lowest = one_below
        for level in range(2, 5):
            lowest = below(qb, f"Level {level}", lowest)
        told.ParentRef = one_below.to_ref()
        with pytest.raises(QuickbooksException) as deep:
            below(qb, "Too deep", lowest)
        with pytest.raises(QuickbooksException) as circle:
            told.save(qb=qb)
        assert (deep.value.error_code, circle.value.error_code) == (6000, 6000)
        one.simulator.deactivate(lowest.Id)
        gone = Customer.get(lowest.Id, qb=qb)
        assert (gone.Active, gone.DisplayName) == (False, "Level 4 (deleted)")
        assert lowest.Id not in {found.Id for found in Customer.all(qb=qb)}
        changed = change_data_capture([Customer], one.clock.now - timedelta(seconds=90), qb=qb)
        assert {found.Id: found.Active for found in changed.Customer}[lowest.Id] is False

    await using(work)
    tree = {
        member.id: (member.parent_id, member.deleted) async for page in one.erp.members("Customer") for member in page
    }
    rows = {row["DisplayName"]: row["Id"] for row in one.rows("Customer")}
    assert tree[rows["Group"]] == (None, False)
    assert tree[rows["Subsidiary"]] == (rows["Group"], False)
    assert tree[rows["Level 4 (deleted)"]] == (rows["Level 3"], True)


async def test_refusals_arrive_as_the_clients_own_errors(one: Books, client: Client) -> None:
    def code(work: Callable[[], Any]) -> int:
        with pytest.raises(QuickbooksException) as refused:
            work()
        return int(refused.value.error_code)

    def work() -> None:
        qb = client.api
        customer = a_customer(qb)
        bill = sold(qb, Invoice(), customer, "INV-1", "119.00").save(qb=qb)
        assert code(lambda: a_customer(qb)) == 6240
        assert code(lambda: sold(qb, Invoice(), customer, "INV-1", "1.00").save(qb=qb)) == 6140
        assert code(lambda: a_payment(qb, customer, bill, "119.01").save(qb=qb)) == 6000
        slanted = a_journal(qb, (DEFERRED, "Debit", "5.00"), (REVENUE, "Credit", "4.99"))
        assert code(lambda: slanted.save(qb=qb)) == 6000
        nobody = a_journal(qb, (RECEIVABLE, "Debit", "5.00"), (REVENUE, "Credit", "5.00"))
        assert code(lambda: nobody.save(qb=qb)) == 6000
        somebody = a_journal(qb, (RECEIVABLE, "Debit", "5.00"), (REVENUE, "Credit", "5.00"), customer=customer)
        assert somebody.save(qb=qb).Id
        ours, theirs = Customer.get(customer.Id, qb=qb), Customer.get(customer.Id, qb=qb)
        theirs.CompanyName = "Changed first"
        theirs.save(qb=qb)
        ours.CompanyName = "Changed second"
        assert code(lambda: ours.save(qb=qb)) == 5010
        assert Customer.get(customer.Id, qb=qb).CompanyName == "Changed first"
        one.simulator.close_books(one.clock.now.date())
        assert code(lambda: sold(qb, Invoice(), customer, "INV-2", "1.00").save(qb=qb)) == 6210
        assert code(lambda: bill.void(qb=qb)) == 6210

    await using(work)


async def test_a_request_id_used_twice_is_one_record(one: Books, client: Client) -> None:
    def work() -> None:
        qb = client.api
        customer = a_customer(qb)
        twice = [sold(qb, Invoice(), customer, "INV-1", "5.00").save(qb=qb, request_id="r-1") for _ in range(2)]
        assert twice[0].Id == twice[1].Id
        assert Invoice.count(qb=qb) == 1
        other = sold(qb, Invoice(), customer, "INV-2", "5.00").save(qb=qb, request_id="r-2")
        assert other.Id != twice[0].Id

    await using(work)


async def test_its_tokens_are_renewed_and_the_limit_is_told(one: Books, client: Client) -> None:
    simulator = one.simulator
    assert client.tokens.refresh_token == simulator.tokens.refresh_token == "refresh-1"
    assert client.tokens.x_refresh_token_expires_in == 100 * 24 * 3600
    simulator.tokens.expire_all()

    def ended() -> None:
        with pytest.raises(AuthorizationException):
            Customer.all(qb=client.api)
        client.open(client.tokens.refresh_token)
        assert Customer.all(qb=client.api) == []

    await using(ended)
    assert simulator.tokens.refresh_token == "refresh-2"
    one.clock.move(days=2)  # by now the former one is not taken any more, and the present one is

    def used_up() -> None:
        with pytest.raises(AuthClientError) as refused:
            client.tokens.refresh(refresh_token="refresh-1")
        assert refused.value.status_code == 400
        client.open("refresh-2")
        simulator.per_minute = 2
        for _ in range(2):
            Customer.all(qb=client.api)
        with pytest.raises(QuickbooksException) as limited:
            Customer.all(qb=client.api)
        assert limited.value.error_code == 3001

    await using(used_up)
    one.clock.move(seconds=61)
    assert await using(lambda: Customer.all(qb=client.api)) == []


async def test_the_client_believes_our_notices_and_no_forged_one(one: Books, client: Client) -> None:
    for cloud in (True, False):
        body, headers = one.simulator.notice(b"verifier", ("Invoice", "7", "Void"), cloud=cloud)
        believes = client.api.validate_webhook_signature
        assert believes(body.decode(), headers["intuit-signature"], "verifier")
        assert not believes(body.decode() + " ", headers["intuit-signature"], "verifier")
        assert not believes(body.decode(), headers["intuit-signature"], "another")

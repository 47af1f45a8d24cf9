"""Whose record it is, from the charter to the org: found, shared, asked about, made once; both stores, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from accordant.canonical.charter import IdentityPart
from accordant.canonical.matching import ReviewState, Rung, UnmatchedPolicy
from accordant.canonical.review import ReviewAction
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.governance.phases import Tier
from accordant.kernel.errors import ConfigurationError
from accordant.pipeline.plan import write_rulebook
from accordant.store.directory import SqlDirectory
from accordant.store.review import SqlReviews
from accordant.views.identity import match_rates
from tests.integration.operations.kit import KEY, MRR, Installation, an_installation


def identify(hub_of: Installation, **settings: object) -> None:
    """Put an identity part in force."""
    part = msgspec.convert(settings, IdentityPart)
    hub = hub_of.hub
    hub.charter = msgspec.structs.replace(hub.charter, identity=part)
    hub.rulebook = write_rulebook(hub.charter, dict.fromkeys(hub.charter.systems, Tier.GOLD))


def customer(
    there: Installation,
    name: str,
    email: str,
    *,
    unit_minor: int = 10_000,
    where: Mapping[str, object] | None = None,
    **metadata: str,
) -> str:
    """A billing customer with one monthly subscription; its id. ``where`` is its phone and address."""
    account = there.stripe.account
    product = account.create_product({"name": "Pro", "metadata": {}})
    price = account.create_price(product, currency="usd", unit_amount=unit_minor, interval="month")
    given = {"name": name, "email": email, "metadata": metadata, **(where or {})}
    made = account.create_customer(given, card=True)
    account.billing.subscribe(made, [(price, 1)])
    return str(made["id"])


def accounts(salesforce: SalesforceSimulator) -> list[dict[str, object]]:
    return [dict(one.values) for one in salesforce.org.records["Account"].values() if not one.deleted]


def reviews(there: Installation) -> SqlReviews:
    return SqlReviews(there.hub.database)


async def test_the_company_that_sales_knows_is_not_doubled(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        known = there.salesforce.create("Account", Name="Northwind Traders Ltd", Website="https://www.northwind-t.com")
        identify(there)
        buyer = customer(there, "Northwind Traders", "ap@northwind-t.com")
        await there.hub.scan_directory("salesforce")
        await there.settle()

        assert [(one["Id"], one[KEY]) for one in accounts(there.salesforce)] == [(known, buyer)]
        assert accounts(there.salesforce)[0]["Name"] == "Northwind Traders"
        with there.hub.database.read() as connection:
            (rate,) = match_rates(connection)
        assert (rate.matched, rate.created, rate.review, rate.rate_percent) == (1, 0, 0, 100)
        assert rate.by_rung == {Rung.DOMAIN_AND_NAME.value: 1}


async def test_nothing_is_written_before_the_target_was_read(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        identify(there)
        customer(there, "Contoso", "ap@contoso-x.com")
        await there.settle()
        assert there.writes() == 0
        assert await there.hub.scan_round() == 1
        await there.deliver()
        assert len(accounts(there.salesforce)) == 1
        written = there.writes()
        there.clock.move(seconds=6)
        assert await there.hub.scan_round() == 1, "a batch that had not heard of the scan may have committed after it"
        assert await there.hub.scan_round() == 0
        await there.settle()
        assert there.writes() == written


async def test_a_scan_whose_process_died_at_its_end_is_followed_by_the_next_one(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_installation(store_url, tmp_path) as there:
        known = there.salesforce.create("Account", Name="Contoso", Website="contoso-x.com")
        identify(there)
        buyer = customer(there, "Contoso", "ap@contoso-x.com")
        await there.settle()
        office = there.hub.directory_office
        with monkeypatch.context() as dying:
            dying.setattr(office, "_replan", died)
            with pytest.raises(Died):
                await there.hub.scan_round()
        scan = SqlDirectory(there.hub.database).scan("salesforce", "Account")
        assert scan is not None
        assert not scan.is_open
        assert accounts(there.salesforce)[0].get(KEY) is None
        # The next process looks at once: the same day, no further scan.
        read = there.salesforce.rest.calls_used
        there.clock.move(minutes=1)
        assert await there.hub.scan_round() == 1
        assert there.salesforce.rest.calls_used == read
        await there.deliver()
        assert [(one["Id"], one[KEY]) for one in accounts(there.salesforce)] == [(known, buyer)]
        assert await there.hub.scan_round() == 0


class Died(BaseException):
    """The process is killed here."""


def died(*_: object, **_named: object) -> None:
    raise Died


async def test_doubt_holds_the_writes_and_asks_once(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        for name in ("Fabrikam Inc", "Fabrikam GmbH"):
            there.salesforce.create("Account", Name=name, Website="fabrikam-x.com")
        identify(there)
        await there.hub.scan_directory("salesforce")
        customer(there, "Fabrikam", "ap@fabrikam-x.com")
        await there.settle()
        there.hub.replan_accounts()
        await there.deliver()

        assert {one.get(KEY) for one in accounts(there.salesforce)} == {None}
        assert there.salesforce.count("Billing_Subscription__c") == 0
        (case,) = reviews(there).open_cases(limit=10)
        assert case.state is ReviewState.OPEN
        assert len(case.case.candidates) == 2
        assert case.case.why == "2 records have the same domain."


@pytest.mark.parametrize(
    "theirs",
    [
        {"BillingPostalCode": "50 668", "BillingCountry": "Germany"},
        {"BillingPostalCode": "50668", "BillingCountry": "DE"},
        {"Phone": "0221 / 1234567"},
    ],
    ids=["a country by its name", "a country by its code", "a phone"],
)
async def test_one_name_at_one_place_is_a_question(store_url: str, tmp_path: Path, theirs: dict[str, str]) -> None:
    async with an_installation(store_url, tmp_path) as there:
        there.salesforce.create("Account", Name="Adatum Corporation", **theirs)
        there.salesforce.create("Account", Name="Adatum Corporation", BillingPostalCode="1010", BillingCountry="AT")
        identify(there)
        await there.hub.scan_directory("salesforce")
        address = {"postal_code": "50668", "country": "DE", "city": "Köln"}
        where = {"phone": "+49 221 1234567", "address": address}
        customer(there, "Adatum Corp.", "adatum@gmail.com", where=where)
        await there.settle()
        (case,) = reviews(there).open_cases(limit=10)
        assert [one.rung for one in case.case.candidates] == [Rung.NAME_AND_PLACE]
        assert case.case.why == "What speaks for it (name and place or phone) is not allowed to link by itself."
        assert there.salesforce.org.records["Account"].keys() == {one["Id"] for one in accounts(there.salesforce)}
        assert {one.get(KEY) for one in accounts(there.salesforce)} == {None}


async def test_a_question_that_answers_itself_is_taken_back(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        ids = [there.salesforce.create("Account", Name=f"Fabrikam {n}", Website="fabrikam-x.com") for n in "AB"]
        identify(there)
        await there.hub.scan_directory("salesforce")
        buyer = customer(there, "Fabrikam", "ap@fabrikam-x.com")
        await there.settle()
        (asked,) = reviews(there).open_cases(limit=10)
        there.salesforce.org.records["Account"][ids[0]].values["Website"] = "fabrikam-other.com"
        there.salesforce.org.records["Account"][ids[0]].values["Name"] = "Somebody else"
        there.salesforce.org.records["Account"][ids[1]].values["Name"] = "Fabrikam"
        await there.hub.scan_directory("salesforce")
        await there.deliver()

        decided = reviews(there).case(asked.case.id)
        assert decided is not None
        assert decided.state is ReviewState.LAPSED
        held = {one["Id"]: one.get(KEY) for one in accounts(there.salesforce)}
        assert held == {ids[0]: None, ids[1]: buyer}


@pytest.mark.parametrize("known_first", [True, False])
async def test_two_customers_of_one_company_are_added_up(store_url: str, tmp_path: Path, known_first: bool) -> None:
    async with an_installation(store_url, tmp_path) as there:
        if known_first:
            there.salesforce.create("Account", Name="Tailspin Toys", Website="tailspin-x.com")
        identify(there)
        await there.hub.scan_directory("salesforce")
        first = customer(there, "Tailspin Toys", "ap@tailspin-x.com", unit_minor=10_000)
        await there.settle()
        customer(there, "Tailspin Toys LLC", "emea@tailspin-x.com", unit_minor=2_500)
        await there.settle()

        (record,) = accounts(there.salesforce)
        assert record[KEY] == first
        assert record[MRR] == 125
        assert record["Billing_Subscription_Count__c"] == 2
        below = there.salesforce.org.records["Billing_Subscription__c"].values()
        assert {one.values["Account__c"] for one in below} == {record["Id"]}
        with there.hub.database.read() as connection:
            (rate,) = match_rates(connection)
        assert rate.shared == 2


async def test_two_customers_in_one_batch_make_one_record(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        identify(there)
        await there.hub.scan_directory("salesforce")
        for number in range(3):
            customer(there, "Wingtip", f"ap{number}@wingtip-x.com", unit_minor=1_000)
        await there.settle()
        (record,) = accounts(there.salesforce)
        assert record[MRR] == 30


async def test_a_later_change_of_either_customer_reaches_the_shared_record(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        identify(there)
        await there.hub.scan_directory("salesforce")
        customer(there, "Wingtip", "ap@wingtip-x.com", unit_minor=1_000)
        await there.settle()
        account = there.stripe.account
        product = account.create_product({"name": "More", "metadata": {}})
        price = account.create_price(product, currency="usd", unit_amount=500, interval="month")
        second = account.create_customer({"name": "Wingtip", "email": "w@wingtip-x.com", "metadata": {}}, card=True)
        account.billing.subscribe(second, [(price, 4)])
        await there.settle()
        assert accounts(there.salesforce)[0][MRR] == 30
        account.billing.subscribe(second, [(price, 1)])
        await there.settle()
        assert accounts(there.salesforce)[0][MRR] == 35


async def test_a_record_of_an_unknown_customer_is_not_taken_over(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        there.salesforce.create("Account", Name="Litware", Website="litware-x.com", **{KEY: "cus_other"})
        identify(there)
        await there.hub.scan_directory("salesforce")
        customer(there, "Litware", "ap@litware-x.com")
        await there.settle()
        (case,) = reviews(there).open_cases(limit=10)
        assert "cus_other" in case.case.why
        assert accounts(there.salesforce)[0][KEY] == "cus_other"


async def test_the_reference_that_billing_keeps_decides(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        known = there.salesforce.create("Account", Name="Something else altogether")
        identify(there, references={"salesforce": "crm_id"})
        await there.hub.scan_directory("salesforce")
        buyer = customer(there, "Adventure Works", "bob@gmail.com", crm_id=known)
        await there.settle()
        assert [(one["Id"], one[KEY]) for one in accounts(there.salesforce)] == [(known, buyer)]


@pytest.mark.parametrize(
    ("policy", "records", "cases"),
    [
        (UnmatchedPolicy.CREATE, 1, 0),
        (UnmatchedPolicy.REVIEW, 0, 1),
        (UnmatchedPolicy.LEAVE, 0, 0),
        (UnmatchedPolicy.HYBRID, 1, 1),
    ],
)
async def test_what_becomes_of_a_customer_nobody_knows(
    store_url: str, tmp_path: Path, policy: UnmatchedPolicy, records: int, cases: int
) -> None:
    async with an_installation(store_url, tmp_path) as there:
        identify(there, unmatched=policy.value)
        await there.hub.scan_directory("salesforce")
        customer(there, "Proseware", "ap@proseware-x.com")
        await there.settle()
        assert len(accounts(there.salesforce)) == records
        assert len(reviews(there).open_cases(limit=10)) == cases


async def test_what_was_written_before_is_adopted_when_identity_is_put_in_force(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        first = customer(there, "Wingtip", "ap@wingtip-x.com", unit_minor=1_000)
        await there.settle()
        identify(there)
        await there.hub.scan_directory("salesforce")
        customer(there, "Wingtip", "ap2@wingtip-x.com", unit_minor=2_000)
        await there.settle()
        (record,) = accounts(there.salesforce)
        assert (record[KEY], record[MRR]) == (first, 30)


async def test_a_scan_goes_on_where_it_broke_off(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        for number in range(5):
            there.salesforce.create("Account", Name=f"Company {number}")
        identify(there)
        directory = SqlDirectory(there.hub.database)
        first = await there.hub.scan_directory("salesforce")
        assert (first.records, first.known, first.resumed) == (5, 5, False)
        scan = directory.scan("salesforce", "Account")
        assert scan is not None
        assert not scan.is_open
        last = sorted(there.salesforce.org.records["Account"])[2]
        begun = msgspec.structs.replace(scan, started_at=there.clock(), cursor=last, records=3, complete_at=None)
        there.clock.move(seconds=1)
        directory.keep_page(begun, [], now=there.clock())
        again = await there.hub.scan_directory("salesforce")
        assert (again.resumed, again.records) == (True, 5)


async def test_what_is_gone_from_the_target_is_forgotten(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        ids = [there.salesforce.create("Account", Name=f"Company {number}") for number in range(3)]
        identify(there)
        await there.hub.scan_directory("salesforce")
        there.salesforce.org.records["Account"][ids[0]].deleted = True
        there.clock.move(seconds=1)
        report = await there.hub.scan_directory("salesforce")
        assert (report.forgotten, report.known) == (1, 2)


async def test_an_account_is_found_by_the_e_mail_of_its_people(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        known = there.salesforce.create("Account", Name="Coho Vineyard")
        there.salesforce.create("Contact", LastName="Bay", Email="Bay@Coho-X.com", AccountId=known)
        identify(there)
        await there.hub.scan_directory("salesforce")
        buyer = customer(there, "A. Bay", "bay@coho-x.com")
        await there.settle()
        assert [(one["Id"], one[KEY]) for one in accounts(there.salesforce)] == [(known, buyer)]


async def test_nobody_is_looked_for_without_the_part(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        with pytest.raises(ConfigurationError, match="no identity part"):
            await there.hub.scan_directory("salesforce")
        assert await there.hub.scan_round() == 0


async def test_a_customer_leads_to_its_record_by_the_e_mail_it_has_now(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        identify(there)
        await there.hub.scan_directory("salesforce")
        first = customer(there, "Wingtip", "ap@wingtip-x.com")
        await there.settle()
        there.stripe.advance(60)
        there.clock.move(seconds=60)
        book = there.stripe.account.book
        book.change(book.get("customer", first), "customer.updated", email="ap@wingtip-y.com")
        await there.settle()
        customer(there, "Wingtip", "bill@wingtip-y.com")
        await there.settle()
        assert [one[KEY] for one in accounts(there.salesforce)] == [first]
        customer(there, "Wingtip", "bill@wingtip-x.com")
        await there.settle()
        assert len(accounts(there.salesforce)) == 2


async def test_a_customer_who_was_split_off_leads_nobody_to_the_record(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        known = there.salesforce.create("Account", Name="Wingtip", Website="wingtip-x.com")
        identify(there, unmatched="review")
        await there.hub.scan_directory("salesforce")
        buyer = customer(there, "Wingtip", "ap@wingtip-x.com")
        await there.settle()
        directory = SqlDirectory(there.hub.database)
        way = f"new:{buyer}"
        assert directory.records("salesforce", "Account", [way])[way].merged_into == known
        await there.hub.review_room.decide(ReviewAction.SPLIT, buyer, actor="ada", reason="Another Wingtip.")
        await there.settle()
        assert directory.records("salesforce", "Account", [way]) == {}


async def test_a_scan_looks_again_only_for_those_who_have_no_record(store_url: str, tmp_path: Path) -> None:
    async with an_installation(store_url, tmp_path) as there:
        identify(there, unmatched="leave")
        there.salesforce.create("Account", Name="Wingtip", Website="wingtip-x.com")
        await there.hub.scan_directory("salesforce")
        customer(there, "Wingtip", "ap@wingtip-x.com")
        customer(there, "Litware", "ap@litware-x.com")
        await there.settle()
        (left,) = reviews(there).unsettled("salesforce", "Account")
        assert len(there.hub.state.account_ids()) == 2
        assert reviews(there).of_accounts([left]).links == ()
        known = there.salesforce.create("Account", Name="Litware", Website="litware-x.com")
        there.clock.move(seconds=1)
        await there.hub.scan_directory("salesforce")
        assert reviews(there).of_accounts([left]).links[0].target_id == known
        assert reviews(there).unsettled("salesforce", "Account") == ()

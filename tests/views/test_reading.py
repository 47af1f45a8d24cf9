"""The read models on a small company, on SQLite and PostgreSQL: what each page is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import event

from accordant.canonical.error_patterns import pattern_of
from accordant.canonical.intents import Applied, Refused
from accordant.kernel.ids import derived_id
from accordant.kernel.money import Money
from accordant.store.engine import Database
from accordant.views.agreement import compare_records
from accordant.views.customer import customer, customers
from accordant.views.lookup import look_up
from accordant.views.overview import overview, quantile
from accordant.views.shadow import shadow_records
from accordant.views.status import pulse, status
from accordant.views.trace import trace
from accordant.views.trouble import lanes_behind, trouble
from accordant.views.why import held_value, why
from tests.databases import open_store
from tests.web.company import CHARTER, NOW, Company, fields_of, seed_company, throw_switch

BETA = derived_id("acc", "stripe", "customer", "cus_beta")


@pytest.fixture
def store(store_url: str) -> Iterator[Database]:
    database = open_store(store_url)
    yield database
    database.close()


@pytest.fixture
def company(store: Database) -> Company:
    return seed_company(store)


def test_an_empty_store_answers_every_question(store: Database) -> None:
    seen = overview(store, CHARTER, now=NOW)
    assert seen.feed == ()
    assert seen.risk.worth == ()
    assert [flow.lag_p50_s for flow in seen.flows] == [None, None]
    assert len(seen.settled_per_minute) == 60
    assert compare_records(store, now=NOW).records == 0
    assert customers(store, now=NOW).lines == ()
    assert trouble(store, now=NOW).groups == ()
    assert trace(store, 1) is None
    assert customer(store, BETA, now=NOW) is None
    assert why(store, "salesforce:Account/x", "MRR__c") is None
    assert pulse(store) == (0, 0, 0)


def test_the_agreement_counts_every_record_and_names_the_fields(company: Company) -> None:
    agreement = compare_records(company.database, now=NOW)
    by_flow = {flow.flow: flow for flow in agreement.flows}
    accounts, subscriptions = by_flow["accounts"], by_flow["subscriptions"]
    assert (accounts.records, accounts.agreeing, accounts.differing, accounts.missing) == (4, 2, 1, 1)
    assert [(one.field, one.records) for one in accounts.fields] == [("MRR__c", 1)]
    assert (subscriptions.records, subscriptions.differing) == (1, 1)
    assert (agreement.records, agreement.agreeing) == (5, 2)


def test_a_target_that_holds_more_fields_than_are_desired_agrees(company: Company) -> None:
    at = NOW - timedelta(seconds=30)
    seq = company.receive("customer.created", "customer/cus_extra", at=at)
    extra = company.describe("cus_extra", "Extra", at=at, seq=seq, mrr_minor=100)
    company.want(extra, "cus_extra", {"Name": "Extra"}, at=at, seq=seq)
    company.deliver(at=at, outcome=Applied(target_id="001", created=False), before={"Industry": "Food", "Name": "Old"})
    # The uncertain write of Delta was due again and went through with it.
    assert compare_records(company.database, now=NOW).flows[0].agreeing == 4


def test_the_overview_knows_lag_risk_and_the_latest_events(company: Company) -> None:
    seen = overview(company.database, CHARTER, now=NOW)
    accounts = seen.flows[0]
    assert accounts.lag_p50_s == pytest.approx(1.38)  # it happened a second before it arrived
    assert accounts.waiting == 1
    assert accounts.oldest_wait_s == pytest.approx(601)
    assert seen.risk.worth == (Money(9800 + 250000, "EUR"),)
    assert seen.risk.accounts == 3, "the third is known by a given-up event alone"
    assert seen.feed[0].account_name == "Acme Robotics GmbH"
    assert seen.feed[0].state == "received"
    assert sum(count for _, count in seen.settled_per_minute) == 6


def test_minutes_that_are_over_are_not_counted_again(company: Company) -> None:
    finished: dict[datetime, int] = {}
    first = overview(company.database, CHARTER, now=NOW, finished=finished).settled_per_minute
    assert len(finished) == 57
    again = overview(company.database, CHARTER, now=NOW, finished=finished).settled_per_minute
    assert again == first
    marked = dict.fromkeys(finished, 7)
    shown = overview(company.database, CHARTER, now=NOW, finished=marked).settled_per_minute
    assert [count for _, count in shown][:57] == [7] * 57
    later = overview(company.database, CHARTER, now=NOW + timedelta(hours=2), finished=marked).settled_per_minute
    assert sum(count for _, count in later) == 0
    assert len(marked) == 57


def test_the_trace_walks_from_the_arrival_to_the_receipts(company: Company) -> None:
    found = trace(company.database, 4)
    assert found is not None
    assert found.state == "processed"
    assert [seen.outcome for seen in found.observations] == ["advanced"]
    assert [event.type.value for event in found.business_events] == ["payment.applied"]
    assert {write.state for write in found.writes} == {"dead", "shadowed"}
    dead = next(write for write in found.writes if write.state == "dead")
    assert isinstance(dead.receipts[0].outcome, Refused)
    assert dead.decision.reasons[0].text == "Stripe owns this value."
    assert [one.seq for one in found.neighbours] == [2]
    assert found.trail[0].kind == "registry.account.advanced"


def test_a_trace_counts_repeats_and_twins(company: Company) -> None:
    found = trace(company.database, 8)
    assert found is not None
    assert (found.deliveries, found.twins) == (1, 1)
    assert found.lane_parked == "x"


def test_trouble_is_grouped_by_cause_and_sorted_by_money(company: Company) -> None:
    seen = trouble(company.database, now=NOW)
    assert [group.kind for group in seen.groups][:2] == ["uncertain", "dead"]
    assert seen.groups[0].worth == (Money(250000, "EUR"),)
    assert seen.groups[1].items[0].lane_parked
    assert seen.groups[1].items[0].party is not None
    assert {group.kind for group in seen.groups} == {"uncertain", "dead", "parked", "quarantined", "dead_event", "twin"}
    assert seen.counts.for_a_person == 5
    assert not seen.partial


def test_one_cause_makes_one_group_whatever_the_record() -> None:
    one = pattern_of("Salesforce refused Account 'cus_1': the e-mail ada@acme.example is not valid (row 17).")
    other = pattern_of("Salesforce refused Account 'cus_2': the e-mail bob@beta.example is not valid (row 9).")
    assert one == other
    assert pattern_of("The field Plan__c was deleted.") != pattern_of("The field Name was deleted.")


def test_writes_behind_a_parked_lane_are_counted(company: Company) -> None:
    seen = trouble(company.database, now=NOW)
    lane = next(group for group in seen.groups if group.kind == "dead").items[0].lane
    assert lanes_behind(company.database, [lane]) == 0
    beta = company.describe("cus_beta", "Beta Bakery", at=NOW, seq=4, mrr_minor=9900)
    company.want(beta, "cus_beta", fields_of("Beta Bakery", "99.00"), at=NOW, seq=4)
    assert lanes_behind(company.database, [lane]) == 1


def test_a_customer_is_told_whole(company: Company) -> None:
    found = customer(company.database, BETA, now=NOW)
    assert found is not None
    assert found.sentence.startswith("Pays. Pro monthly, 98.00 EUR MRR")
    assert [record.differing for record in found.records] == [1, 1]
    assert {one.system for one in found.identities} == {"stripe", "salesforce"}
    assert len(found.events) == 2
    assert len(found.writes) == 3


def test_customers_are_listed_filtered_searched_and_paged(company: Company) -> None:
    everyone = customers(company.database, now=NOW)
    assert [line.external_id for line in everyone.lines] == ["cus_delta", "cus_beta", "cus_gamma", "cus_acme"]
    assert [line.external_id for line in customers(company.database, now=NOW, status="churned").lines] == []
    assert len(customers(company.database, now=NOW, status="active").lines) == 4
    for query in ("ACME ROB", "billing@cus_acme", "cus_acme"):
        assert [line.external_id for line in customers(company.database, now=NOW, query=query).lines] == ["cus_acme"]
    # Matched by the stored text, but by no value of the account: nobody is called "currency".
    assert customers(company.database, now=NOW, query="currency").lines == ()
    assert customers(company.database, now=NOW, query="100%_").lines == ()


def test_the_next_page_goes_on_where_the_last_ended(company: Company) -> None:
    for index in range(70):
        company.describe(f"cus_{index:03d}", f"Company {index}", at=NOW, seq=4, mrr_minor=100)
    first = customers(company.database, now=NOW)
    assert len(first.lines) == 50
    assert first.further is not None
    second = customers(company.database, now=NOW, after=first.further)
    assert len(second.lines) == 24
    assert second.further is None
    assert not {line.account_id for line in first.lines} & {line.account_id for line in second.lines}


@pytest.mark.parametrize(
    ("query", "page", "where"),
    [
        ("3", "event", "3"),
        ("evt_0004", "event", "4"),
        (" cus_beta ", "customer", BETA),
        ("stripe:customer/cus_beta", "customer", BETA),
        (BETA, "customer", BETA),
        ("salesforce:Account/cus_beta", "record", "salesforce:Account/cus_beta"),
    ],
)
def test_any_id_leads_to_its_page(company: Company, query: str, page: str, where: str) -> None:
    hit = look_up(company.database, query, connections=["stripe", "salesforce"])
    assert hit is not None
    assert (hit.page, hit.id) == (page, where)


def test_the_ids_of_targets_and_of_the_hub_itself_are_found(company: Company) -> None:
    found = customer(company.database, BETA, now=NOW)
    assert found is not None
    account = next(record for record in found.records if record.object == "Account")
    assert account.target_id is not None
    wanted = [
        account.target_id,
        found.writes[0].intent.id,
        found.writes[0].intent.idempotency_key,
        found.events[0][1].id,
    ]
    pages = [look_up(company.database, one, connections=["stripe"]) for one in wanted]
    assert [hit.page if hit else None for hit in pages] == ["customer", "event", "event", "event"]
    named = why(company.database, f"salesforce:Account/{account.target_id}", "MRR__c")
    assert named is not None
    assert named.record.ref == account.ref


@pytest.mark.parametrize("query", ["", "   ", "zzz", "9" * 40, "x" * 5000, "'; DROP TABLE entity; --", "²", "٣"])
def test_what_is_no_id_leads_nowhere(company: Company, query: str) -> None:
    assert look_up(company.database, query, connections=["stripe"]) is None


def test_the_shadow_shows_only_what_differs(company: Company) -> None:
    refs = [ref for flow in compare_records(company.database, now=NOW).flows for ref in flow.sample]
    records = {record.ref: record for record in shadow_records(company.database, refs)}
    beta = records["salesforce:Account/cus_beta"]
    assert [(pair.field, pair.held, pair.desired) for pair in beta.fields] == [("MRR__c", "49.00", "98.00")]
    assert beta.account_id == BETA
    assert records["salesforce:Account/cus_delta"].target_id is None
    assert [one.ref for one in shadow_records(company.database, refs, field="Name")] == ["salesforce:Account/cus_delta"]


def test_why_leads_upwards_newest_first(company: Company) -> None:
    found = why(company.database, "salesforce:Account/cus_beta", "MRR__c")
    assert found is not None
    assert held_value(found.record, "MRR__c") == ("49.00", True)
    assert [(hop.change.after, hop.applied, hop.seq) for hop in found.hops] == [("98.00", False, 4), ("49.00", True, 2)]
    assert found.hops[0].event_type == "customer.subscription.updated"
    assert found.hops[0].sources == (("stripe:customer/cus_beta", 2),)
    nothing = why(company.database, "salesforce:Account/cus_beta", "No_Such__c")
    assert nothing is not None
    assert nothing.hops == ()


def test_the_frame_names_what_is_stopped(company: Company) -> None:
    throw_switch(company.database, "flow:accounts", reason="Field renamed", by="rita")
    seen = status(company.database)
    assert seen.is_paused("accounts")
    assert not seen.is_paused("subscriptions")
    assert seen.switches[0].reason == "Field renamed"


def test_the_number_of_questions_does_not_grow_with_the_page(company: Company) -> None:
    def questions() -> int:
        asked: list[str] = []
        listener = lambda _c, _cu, statement, *_: asked.append(statement)  # noqa: E731
        event.listen(company.database.engine, "before_cursor_execute", listener)
        try:
            customers(company.database, now=NOW)
            trouble(company.database, now=NOW)
            overview(company.database, CHARTER, now=NOW)
            customer(company.database, BETA, now=NOW)
        finally:
            event.remove(company.database.engine, "before_cursor_execute", listener)
        return len(asked)

    before = questions()
    for index in range(40):
        account = company.describe(f"cus_{index:03d}", f"Company {index}", at=NOW, seq=4, mrr_minor=100)
        company.want(account, f"cus_{index:03d}", fields_of("x", "1.00"), at=NOW, seq=4, held="The flow is paused.")
    assert questions() <= before + 1


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert quantile([], 50) is None
    assert quantile([1.0], 95) == 1.0
    assert quantile([float(n) for n in range(1, 101)], 95) == 95.0

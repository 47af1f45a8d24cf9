"""The outbound half against the stand-in over HTTP: what was written is judged by the stand-in's own ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import Applied, RefusalClass, Refused, Uncertain, WireValue
from accordant.canonical.refs import EntityKind
from accordant.canonical.targets import FieldSpec, ObjectSpec
from accordant.connectors import registry
from accordant.connectors.salesforce import soql
from accordant.connectors.salesforce.calls import LimitUsage
from accordant.connectors.salesforce.outbound import SalesforceOutbound
from accordant.kernel.errors import InvariantBroken, RejectedError
from accordant.ports.connector import (
    AnswerLost,
    AuthorizationExpired,
    RateLimited,
    RecordWrite,
    TargetUnavailable,
    WriteResult,
)
from accordant.ports.last_word import WriteForbidden, last_word
from accordant.testing.contracts import load_specification
from tests.connectors.salesforce.outbound_kit import (
    ACCOUNT,
    CUSTOMER,
    SUBSCRIPTION,
    a_write,
    an_org,
    customers,
    only,
)

EVERY_FIELD: dict[str, WireValue] = {
    "Name": "  Example & Sons 'Ltd' \\ \"quoted\" ",
    "Billing_Status__c": "Past due",
    "Billing_MRR__c": "1200.00",
    "Billing_At_Risk_MRR__c": "0.5",
    "Billing_Plan__c": "",
    "Billing_Cycle__c": "monthly",
    "Billing_Next_Renewal__c": "2026-04-14",
    "Billing_Subscription_Count__c": 3,
    "Billing_Last_Payment_Date__c": None,
    "Billing_Last_Payment_Amount__c": "-19.99",
    "Billing_Payment_Method_Status__c": "On file",
    "Billing_Failed_Payments__c": 0,
    "Billing_Days_To_First_Payment__c": 12,
    "Billing_Lifetime_Value__c": "123456789.01",
    "Billing_Discount__c": "20% off forever, Grüße, 日本",
    "Billing_Currency__c": "EUR",
    "Billing_Past_Due_Amount__c": None,
    "Billing_Customer_Since__c": "2024-02-29",
    "Billing_MRR_History__c": "2024-02-29 new +12.00 EUR",
    "Billing_Expansion_Total__c": "0.00",
}


def applied(result: WriteResult) -> Applied:
    assert isinstance(result.outcome, Applied), result.outcome
    return result.outcome


def refused(result: WriteResult) -> Refused:
    assert isinstance(result.outcome, Refused), result.outcome
    return result.outcome


async def in_batches(outbound: SalesforceOutbound, records: list[RecordWrite]) -> list[WriteResult]:
    size = outbound.batch_max
    results: list[WriteResult] = []
    for start in range(0, len(records), size):
        results.extend(await outbound.write(ACCOUNT, records[start : start + size]))
    return results


# -- writing once ------------------------------------------------------------------------------------------------------


async def test_450_records_in_three_calls() -> None:
    async with an_org() as org:
        results = await in_batches(org.outbound, customers(450, Billing_MRR__c="10.00"))
        assert all(applied(result).created for result in results)
        assert (org.simulator.count("Account"), org.sent("PATCH")) == (450, 3)
        # The courier goes by what the manifest declares.
        declared = {one.name: one.protocol for one in registry.connector("salesforce", where="test").manifest.writes}
        assert declared == {name: org.outbound.protocol(name) for name in declared}


async def test_the_same_write_twice_is_one_record() -> None:
    async with an_org() as org:
        first = await org.outbound.write(ACCOUNT, customers(5))
        second = await org.outbound.write(ACCOUNT, customers(5))
        assert [applied(one).target_id for one in first] == [applied(one).target_id for one in second]
        assert not any(applied(one).created for one in second)
        assert org.simulator.count("Account") == 5
        effects = org.simulator.effects_of("Account", "cus_0000")
        assert [effect.action for effect in effects] == ["created", "updated"]


async def test_only_what_is_given_is_touched() -> None:
    async with an_org() as org:
        await org.outbound.write(ACCOUNT, [a_write("cus_1", Name="EXAMPLE-1", Billing_Cycle__c="monthly")])
        org.simulator.edit("Account", "cus_1", "Phone", "+1 555 0100", "person@example.com")
        await org.outbound.write(ACCOUNT, [a_write("cus_1", Billing_Cycle__c="annual")])
        held = org.simulator.record("Account", "cus_1")
        assert (held["Name"], held["Phone"], held["Billing_Cycle__c"]) == ("EXAMPLE-1", "+1 555 0100", "annual")


async def test_a_key_twice_in_one_batch_is_written_in_order() -> None:
    """Salesforce refuses both rows of a key that comes twice in one call, so the second goes in a second call."""
    async with an_org() as org:
        records = [a_write("cus_1", Name="first"), a_write("cus_2", Name="other"), a_write("cus_1", Name="second")]
        results = await org.outbound.write(ACCOUNT, records)
        assert [applied(one).created for one in results] == [True, True, False]
        assert org.simulator.record("Account", "cus_1")["Name"] == "second"
        assert org.sent("PATCH") == 2


async def test_nothing_to_write_is_no_call() -> None:
    async with an_org() as org:
        assert await org.outbound.write(ACCOUNT, []) == ()
        assert await org.outbound.read(ACCOUNT, [""]) == {}
        assert org.calls == []


async def test_more_than_a_batch_is_a_defect() -> None:
    async with an_org() as org:
        with pytest.raises(InvariantBroken):
            await org.outbound.write(ACCOUNT, customers(201))


async def test_a_field_outside_the_mapping_is_a_defect() -> None:
    async with an_org() as org:
        with pytest.raises(InvariantBroken, match=r"Account\.Phone"):
            await org.outbound.write(ACCOUNT, [a_write("cus_1", Name="EXAMPLE-1", Phone="1")])


# -- reading back ------------------------------------------------------------------------------------------------------


async def test_every_field_type_reads_back_as_it_was_meant() -> None:
    async with an_org() as org:
        assert EVERY_FIELD.keys() == ACCOUNT.fields.keys()
        [result] = await org.outbound.write(ACCOUNT, [a_write("cus_1", **EVERY_FIELD)])
        held = (await org.outbound.read(ACCOUNT, ["cus_1"]))["cus_1"]
        assert held.target_id == applied(result).target_id
        assert held.fields == org.outbound.canonical(ACCOUNT, EVERY_FIELD)
        assert (held.fields["Name"], held.fields["Billing_Plan__c"]) == ("Example & Sons 'Ltd' \\ \"quoted\"", None)
        assert (held.fields["Billing_MRR__c"], held.fields["Billing_At_Risk_MRR__c"]) == ("1200.00", "0.50")


async def test_flags_instants_and_lookups_read_back() -> None:
    async with an_org() as org:
        org.simulator.define_field("Billing_Subscription__c", "Changed__c", "datetime")
        instant = FieldSpec(type=FieldType.INSTANT)
        spec = ObjectSpec(
            name=SUBSCRIPTION.name,
            key_field=SUBSCRIPTION.key_field,
            fields={**SUBSCRIPTION.fields, "Changed__c": instant},
        )
        await org.outbound.write(ACCOUNT, [a_write("cus_1", Name="EXAMPLE-1")])
        meant: dict[str, WireValue] = {
            "Account__c": "cus_1",
            "Cancels_At_Period_End__c": True,
            "Changed__c": "2026-03-14T10:26:53.25+01:00",
            "Quantity__c": 4,
        }
        [result] = await org.outbound.write(spec, [a_write("sub_1", **meant)])
        applied(result)
        held = (await org.outbound.read(spec, ["sub_1"]))["sub_1"].fields
        assert {name: held[name] for name in meant} == org.outbound.canonical(spec, meant)
        assert held["Changed__c"] == "2026-03-14T09:26:53Z"
        [result] = await org.outbound.write(spec, [a_write("sub_1", Account__c=None, Cancels_At_Period_End__c=None)])
        applied(result)
        held = (await org.outbound.read(spec, ["sub_1"]))["sub_1"].fields
        assert (held["Account__c"], held["Cancels_At_Period_End__c"]) == (None, False)


async def test_a_key_cannot_change_the_question() -> None:
    hostile = ["a' OR Name != '", "b\\", "c\\' OR Id != null --", 'd"', "e\nf", "100%_", "ü"]
    async with an_org() as org:
        await org.outbound.write(ACCOUNT, [a_write("innocent", Name="EXAMPLE-1")])
        assert await org.outbound.read(ACCOUNT, hostile) == {}
        await org.outbound.write(ACCOUNT, [a_write(key, Name="EXAMPLE-2") for key in hostile])
        assert set(await org.outbound.read(ACCOUNT, hostile)) == set(hostile)


async def test_many_and_long_keys_go_in_questions_that_fit() -> None:
    async with an_org() as org:
        keys = [f"{n:03d}" + "'é" * 100 for n in range(120)]
        await org.outbound.write(ACCOUNT, [a_write(key, Name="EXAMPLE-1") for key in keys])
        assert set(await org.outbound.read(ACCOUNT, [*keys, *keys, "missing"])) == set(keys)
        asked = [call for call in org.calls if call.method == "GET"]
        assert len(asked) > 1
        assert max(len(call.path) + len(call.query) for call in asked) < 8_000


def test_at_most_200_keys_a_question() -> None:
    questions = list(soql.by_keys(only(EntityKind.ACCOUNT, "Name"), [f"k{n}" for n in range(401)]))
    assert [question.count("','") + 1 for question in questions] == [200, 200, 1]


async def test_all_keys_page_by_page() -> None:
    async with an_org(page_rows_max=50) as org:
        await in_batches(org.outbound, customers(230, Billing_MRR__c="10.00"))
        org.simulator.create("Account", Name="Without a key")
        found = dict([one async for one in org.outbound.keys(ACCOUNT)])
        assert sorted(found) == [f"cus_{n:04d}" for n in range(230)]
        assert found["cus_0007"].fields["Billing_MRR__c"] == "10.00"
        assert org.sent("GET") == 5


async def test_keys_that_differ_in_letter_case_only_are_not_mixed_up() -> None:
    """Where the key field does not tell case apart, an upsert of cus_a would overwrite the customer cus_A."""
    async with an_org(case_sensitive=False) as org:
        await org.outbound.write(ACCOUNT, [a_write("cus_A", Name="Big")])
        assert await org.outbound.read(ACCOUNT, ["cus_a"]) == {}
        [result] = await org.outbound.write(ACCOUNT, [a_write("cus_a", Name="Small")])
        assert (refused(result).cause, refused(result).code) == (RefusalClass.BUSINESS_RULE, "KEY_DIFFERS_IN_CASE")
        assert org.simulator.record("Account", "cus_A")["Name"] == "Big"
        org.simulator.edit("Account", "cus_A", CUSTOMER, "cus_B", "person@example.com")
        await org.outbound.read(ACCOUNT, ["cus_a"])  # once the cause is gone, reading again lets the write through
        [result] = await org.outbound.write(ACCOUNT, [a_write("cus_a", Name="Small")])
        assert applied(result).created


async def test_keys_that_differ_in_letter_case_are_two_records_in_a_case_sensitive_field() -> None:
    async with an_org() as org:
        await org.outbound.write(ACCOUNT, [a_write("cus_A", Name="Big"), a_write("cus_a", Name="Small")])
        held = await org.outbound.read(ACCOUNT, ["cus_A", "cus_a"])
        assert (held["cus_A"].fields["Name"], held["cus_a"].fields["Name"]) == ("Big", "Small")


# -- refusals ----------------------------------------------------------------------------------------------------------


async def test_one_row_that_is_always_refused_stops_no_other() -> None:
    async with an_org() as org:
        org.simulator.reject("Account", "cus_0003", message="Blocked by finance")
        results = await org.outbound.write(ACCOUNT, customers(5))
        bad = refused(results[3])
        assert (bad.cause, bad.code) == (RefusalClass.BUSINESS_RULE, "FIELD_CUSTOM_VALIDATION_EXCEPTION")
        assert "Blocked by finance" in bad.message
        assert org.simulator.count("Account") == 4


async def test_refusals_name_class_code_and_field() -> None:
    async with an_org() as org:
        long, unlisted, nameless, locked, huge = results = await org.outbound.write(
            ACCOUNT,
            [
                a_write("cus_1", Name="x", Billing_Currency__c="EURO"),
                a_write("cus_2", Name="x", Billing_Status__c="No such status"),
                a_write("cus_3", Billing_Cycle__c="monthly"),
                a_write("cus_4", Name="x"),
                a_write("cus_5", Name="x", Billing_MRR__c="1" * 20),
            ],
        )
        assert isinstance(locked.outcome, Applied)
        shown = [
            (refused(one).cause, refused(one).code, refused(one).fields) for one in (long, unlisted, nameless, huge)
        ]
        quality = RefusalClass.DATA_QUALITY
        assert shown == [
            (quality, "STRING_TOO_LONG", ("Billing_Currency__c",)),
            (quality, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ("Billing_Status__c",)),
            (quality, "REQUIRED_FIELD_MISSING", ("Name",)),
            (quality, "NUMBER_OUTSIDE_VALID_RANGE", ("Billing_MRR__c",)),
        ]
        assert len(results) == 5


async def test_a_locked_row_is_transient() -> None:
    async with an_org() as org:
        org.simulator.reject("Account", "cus_0000", code="UNABLE_TO_LOCK_ROW", times=1)
        assert refused((await org.outbound.write(ACCOUNT, customers(1)))[0]).cause is RefusalClass.TRANSIENT
        applied((await org.outbound.write(ACCOUNT, customers(1)))[0])


async def test_a_lookup_to_a_missing_account_says_so() -> None:
    async with an_org() as org:
        [result] = await org.outbound.write(SUBSCRIPTION, [a_write("sub_1", Account__c="cus_missing")])
        assert refused(result).cause is RefusalClass.DATA_QUALITY
        assert "the record it looks up is not there" in refused(result).message
        assert org.simulator.count("Billing_Subscription__c") == 0


async def test_a_value_of_a_wrong_type_is_refused_before_it_is_sent() -> None:
    async with an_org() as org:
        bad, good, nokey = await org.outbound.write(
            ACCOUNT,
            [a_write("cus_1", Name="x", Billing_MRR__c="a lot"), a_write("cus_2", Name="x"), a_write("", Name="x")],
        )
        assert (refused(bad).code, refused(bad).fields) == ("VALUE_UNREADABLE", ("Billing_MRR__c",))
        assert refused(nokey).code == "KEY_MISSING"
        assert applied(good).created


async def test_an_unreadable_row_is_found_among_two_hundred() -> None:
    """The org retyped a field: Salesforce refuses the whole call for the rows whose value it cannot read."""
    async with an_org() as org:
        org.simulator.define_field("Account", "Billing_Cycle__c", "double", scale=2)
        records = [*customers(199), a_write("cus_bad", Name="x", Billing_Cycle__c="monthly")]
        results = await org.outbound.write(ACCOUNT, records)
        assert refused(results[199]).code == "JSON_PARSER_ERROR"
        assert sum(isinstance(one.outcome, Applied) for one in results) == 199
        assert org.simulator.count("Account") == 199
        assert org.sent("PATCH") < 20


async def test_a_field_that_was_deleted_stops_only_the_rows_that_hold_it() -> None:
    async with an_org() as org:
        org.simulator.delete_field("Account", "Billing_Cycle__c")
        records = [a_write("cus_1", Name="x", Billing_Cycle__c="monthly"), a_write("cus_2", Name="x")]
        with_it, without = await org.outbound.write(ACCOUNT, records)
        assert refused(with_it).code == "INVALID_FIELD"
        assert applied(without).created
        with pytest.raises(RejectedError, match="Billing_Cycle__c"):
            await org.outbound.read(ACCOUNT, ["cus_2"])


# -- sessions, limits and lost answers ---------------------------------------------------------------------------------


async def test_a_session_that_ends_mid_run_is_renewed() -> None:
    async with an_org() as org:
        org.simulator.set_limits(token_calls_max=2)
        results = [one for _ in range(5) for one in await org.outbound.write(ACCOUNT, customers(2))]
        assert all(isinstance(one.outcome, Applied) for one in results)
        assert org.simulator.tokens.granted == 3
        assert len(org.simulator.effects_of("Account", "cus_0000")) == 5


async def test_a_secret_that_changed_holds_the_connection() -> None:
    async with an_org() as org:
        await org.outbound.write(ACCOUNT, customers(1))
        org.simulator.tokens.app = type(org.simulator.tokens.app)(client_secret="EXAMPLE-OTHER")
        org.simulator.expire_tokens()
        with pytest.raises(AuthorizationExpired, match="invalid_client") as caught:
            await org.outbound.write(ACCOUNT, customers(1))
        assert "EXAMPLE-SECRET" not in str(caught.value)


async def test_429_obeys_retry_after() -> None:
    async with an_org() as org:
        org.simulator.fault("too_many", seconds=17)
        with pytest.raises(RateLimited) as caught:
            await org.outbound.write(ACCOUNT, customers(1))
        assert caught.value.retry_after_s == 17
        assert org.simulator.effects == {}


async def test_the_daily_limit_names_what_was_used() -> None:
    async with an_org(daily_calls_max=2) as org:
        for _ in range(2):
            await org.outbound.write(ACCOUNT, customers(1))
        assert org.outbound.limit_usage == LimitUsage(2, 2)
        with pytest.raises(RateLimited, match="2 of 2 calls used") as caught:
            await org.outbound.write(ACCOUNT, customers(1))
        assert caught.value.retry_after_s == 900


@pytest.mark.parametrize("kind", ["timeout_after", "reset_after", "error_after", "html", "truncated"])
async def test_a_lost_answer_of_a_write_that_was_carried_out(kind: str) -> None:
    async with an_org() as org:
        org.simulator.fault(kind, method="PATCH", seconds=1.0)
        with pytest.raises(AnswerLost):
            await org.outbound.write(ACCOUNT, customers(3))
        assert set(await org.outbound.read(ACCOUNT, ["cus_0000", "cus_0001", "cus_0002"])) == {
            "cus_0000",
            "cus_0001",
            "cus_0002",
        }
        await org.outbound.write(ACCOUNT, customers(3))
        assert org.simulator.count("Account") == 3


@pytest.mark.parametrize("kind", ["busy", "error_before", "reset_before", "timeout_before"])
async def test_a_lost_answer_of_a_write_that_was_not(kind: str) -> None:
    async with an_org() as org:
        org.simulator.fault(kind, method="PATCH", seconds=1.0)
        with pytest.raises(AnswerLost):
            await org.outbound.write(ACCOUNT, customers(1))
        assert await org.outbound.read(ACCOUNT, ["cus_0000"]) == {}


async def test_an_org_that_is_down_took_nothing() -> None:
    async with an_org() as org:
        await org.outbound.write(ACCOUNT, customers(1))
        await org.simulator.go_down()
        await org.outbound.close()  # else the next call goes over a connection from before
        with pytest.raises(TargetUnavailable):
            await org.outbound.write(ACCOUNT, customers(2))
        await org.simulator.come_up()
        assert org.simulator.count("Account") == 1


@pytest.mark.parametrize(("kind", "expected"), [("reset_after", Uncertain), ("too_many", Refused), ("busy", Uncertain)])
async def test_a_failure_after_a_part_was_answered_is_an_outcome(kind: str, expected: type) -> None:
    """The first wave was answered: its outcomes must not be lost because the second wave's were."""
    async with an_org() as org:
        twice = [a_write("cus_1", Name="first"), a_write("cus_1", Name="second"), a_write("cus_1", Name="third")]
        org.simulator.fault("slow", method="PATCH", seconds=0)
        org.simulator.fault(kind, method="PATCH", seconds=5)
        first, second, third = await org.outbound.write(ACCOUNT, twice)
        assert applied(first).created
        assert isinstance(second.outcome, expected)
        assert (refused(third).cause, refused(third).code) == (RefusalClass.TRANSIENT, "NOT_SENT")


# -- describing, names and the vendor's contract -----------------------------------------------------------------------


async def test_describe_names_type_length_and_what_a_picklist_takes() -> None:
    async with an_org() as org:
        fields = {one.name: one for one in await org.outbound.describe("Account")}
        key, name, status = fields[CUSTOMER], fields["Name"], fields["Billing_Status__c"]
        assert (key.type, key.external_id, key.length, key.writable) == ("string", True, 255, True)
        assert (name.external_id, name.length, name.picklist) == (False, 255, None)
        assert status.picklist is not None
        assert "Past due" in status.picklist
        assert fields["Type"].picklist is None  # listed, but any text is taken
        assert fields["Billing_MRR__c"].length is None
        assert not fields["CreatedDate"].writable
        with pytest.raises(RejectedError, match="Nonsense__c"):
            await org.outbound.describe("Nonsense__c")


@pytest.mark.parametrize("name", ["Account; DROP", "../limits", "Account?x", "", "1Account", "Account\n", "Äccount"])
async def test_a_name_that_is_none_is_never_sent(name: str) -> None:
    async with an_org() as org:
        with pytest.raises(RejectedError):
            await org.outbound.describe(name)
        with pytest.raises(RejectedError):
            await org.outbound.read(ObjectSpec(name=name, key_field=CUSTOMER, fields={}), ["cus_1"])
        with pytest.raises(RejectedError):
            await org.outbound.write(ObjectSpec(name=name, key_field=CUSTOMER, fields={}), [a_write("cus_1")])
        assert org.calls == []


@pytest.mark.parametrize(
    ("field", "path"), [("Account__c", "Account__r"), ("AccountId", "Account"), ("ns__Payer__c", "ns__Payer__r")]
)
def test_relationships(field: str, path: str) -> None:
    assert soql.relationship(field) == path


def test_a_lookup_that_leads_nowhere_is_a_wrong_setting() -> None:
    for field, spec in (
        ("Owner", FieldSpec(type=FieldType.LOOKUP, lookup_object="User", lookup_key="Key__c")),
        ("Account__c", FieldSpec(type=FieldType.LOOKUP, lookup_object="Account")),
    ):
        with pytest.raises(RejectedError, match=field):
            soql.columns(ObjectSpec(name="Contact", key_field="Key__c", fields={field: spec}))


async def test_a_standard_lookup_is_written_and_read_by_external_id() -> None:
    async with an_org() as org:
        org.simulator.define_field("Contact", "Key__c", external_id=True, unique=True)
        lookup = FieldSpec(type=FieldType.LOOKUP, lookup_object="Account", lookup_key=CUSTOMER)
        spec = ObjectSpec(
            name="Contact",
            key_field="Key__c",
            fields={"AccountId": lookup, "LastName": FieldSpec(type=FieldType.TEXT)},
        )
        await org.outbound.write(ACCOUNT, [a_write("cus_1", Name="EXAMPLE-1")])
        [result] = await org.outbound.write(spec, [a_write("c1", AccountId="cus_1", LastName="Example")])
        applied(result)
        held = await org.outbound.read(spec, ["c1"])
        assert held["c1"].fields == {"AccountId": "cus_1", "LastName": "Example"}


@pytest.mark.contracts
async def test_every_call_keeps_the_vendors_contract(contracts: Path) -> None:
    """The document lists neither composite nor query: calls it covers are checked whole, rows against its Account."""
    specification = load_specification(
        contracts / "salesforce/lightning-platform-rest-v59-sobjects-subset.json.gz",
        prefix="/services/data/{version}",
        null_is_absent=True,
        check_formats=False,
    )
    async with an_org() as org:
        await org.outbound.describe("Account")
        await org.outbound.write(ACCOUNT, [a_write("cus_1", Name="EXAMPLE-1", Billing_MRR__c="1.00")])
        await org.outbound.read(ACCOUNT, ["cus_1"])
        checked = 0
        for call in org.calls:
            if "/sobjects/" in call.path and "/composite/" not in call.path:
                checked += 1
                assert specification.check_request(call.method, call.path, query=call.query) == ()
            if "/composite/" in call.path:
                [row] = json.loads(call.request_body)["records"]
                standard = {name: value for name, value in row.items() if not name.endswith("__c")}
                assert standard.pop("attributes") == {"type": "Account"}
                checked += 1
                found = specification.check_request(
                    "POST",
                    "/services/data/v59.0/sobjects/Account",
                    content_type=call.content_type,
                    body=json.dumps(standard).encode(),
                )
                assert found == ()
        assert checked == 2


async def test_what_is_forbidden_at_the_last_moment_is_not_sent_and_what_was_answered_stays() -> None:
    asked: list[bool] = []

    def word() -> None:
        asked.append(True)
        if len(asked) > allowed:
            raise WriteForbidden

    async with an_org() as org:
        await org.outbound.write(ACCOUNT, [a_write("cus_0", Name="EXAMPLE-0")])
        sent = org.sent("PATCH")
        allowed = 0
        with last_word(word), pytest.raises(WriteForbidden):
            await org.outbound.write(ACCOUNT, customers(3))
        assert org.sent("PATCH") == sent
        # One key twice is two calls: the second is stopped after the first was answered.
        asked.clear()
        allowed = 1
        with last_word(word):
            first, second = await org.outbound.write(
                ACCOUNT, [a_write("cus_9", Name="EXAMPLE-9"), a_write("cus_9", Name="EXAMPLE-10")]
            )
        applied(first)
        assert (refused(second).code, refused(second).cause) == ("NOT_SENT", RefusalClass.TRANSIENT)
        assert org.sent("PATCH") == sent + 1

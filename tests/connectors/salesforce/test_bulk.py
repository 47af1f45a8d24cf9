"""Above two thousand records of one object go in one job (requirement 109): each row has its own outcome.

The oracle is the stand-in's own ledger of committed writes.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.intents import Applied, RefusalClass, Refused, Uncertain
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.salesforce import bulk
from accordant.connectors.sdk.http import HttpAnswer
from accordant.kernel.errors import TransientError
from accordant.ports.connector import AnswerLost, Bulk, NoteJob, RecordWrite, TargetUnavailable, WriteResult
from tests.connectors.salesforce import outbound_kit as kit
from tests.connectors.salesforce.outbound_kit import ACCOUNT, CUSTOMER, SUBSCRIPTION, Org, a_write

#: Enough for a job in these tests; the connector's own bound is two thousand.
ENOUGH = 20


@asynccontextmanager
async def an_org() -> AsyncIterator[Org]:
    """An org, and a connector that waits for no clock."""
    async with kit.an_org() as org:
        await org.outbound.close()
        org.outbound = kit.connect(org.simulator.url, org.calls, sleep=kit.at_once)
        try:
            yield org
        finally:
            await org.outbound.close()


def some(count: int, *, value: str = "Example") -> list[RecordWrite]:
    return [a_write(f"cus_{number:05d}", Name=f"{value} {number}") for number in range(count)]


async def unnoted(_job: str) -> None:
    """Nobody has to know of this job."""


async def in_one_go(
    org: Org, spec: ObjectSpec, records: Sequence[RecordWrite], note: NoteJob = unnoted
) -> tuple[WriteResult, ...]:
    return await org.outbound.write_bulk(spec, records, note=note)


def few(org: Org) -> None:
    """A connector that begins a job early, so that a test need not write thousands of rows."""
    limits = Bulk(records_min=ENOUGH, records_max=10_000, lasts_max=bulk.LASTS_MAX)
    setattr(org.outbound, "bulk", limits)  # noqa: B010  a class variable in the product


def kinds(results: Sequence[WriteResult]) -> Counter[str]:
    return Counter(type(one.outcome).__name__ for one in results)


def ledger(org: Org) -> Counter[str]:
    """How many writes were committed to each record, by its key."""
    rows = org.simulator.org.records["Account"]
    return Counter({str(rows[name].values[CUSTOMER]): len(log) for name, log in org.simulator.effects.items() if log})


async def test_more_than_two_thousand_are_one_job_and_not_eleven_calls() -> None:
    async with an_org() as org:
        written = some(2_001)
        results = await in_one_go(org, ACCOUNT, written)
        assert kinds(results) == {"Applied": 2_001}
        assert all(isinstance(one.outcome, Applied) and one.outcome.created for one in results)
        assert ledger(org) == {record.key: 1 for record in written}
        assert org.simulator.record("Account", "cus_02000")["Name"] == "Example 2000"
        assert len(org.simulator.bulk.jobs) == 1
        assert org.sent("PUT") == 1
        assert not [call for call in org.calls if "composite" in call.path]
        again = await in_one_go(org, ACCOUNT, some(2_001, value="Changed"))
        assert {one.outcome.created for one in again if isinstance(one.outcome, Applied)} == {False}


async def test_two_thousand_are_calls() -> None:
    async with an_org() as org:
        assert kinds(await in_one_go(org, ACCOUNT, some(2_000))) == {"Applied": 2_000}
        assert org.simulator.bulk.jobs == {}


async def test_one_bad_row_does_not_stop_its_neighbours_and_says_why() -> None:
    async with an_org() as org:
        few(org)
        org.simulator.reject("Account", "cus_00007", message="Region: required, since 2024")
        results = await in_one_go(org, ACCOUNT, some(60))
        assert kinds(results) == {"Applied": 59, "Refused": 1}
        refused = results[7].outcome
        assert isinstance(refused, Refused)
        assert (refused.cause, refused.code) == (RefusalClass.BUSINESS_RULE, "FIELD_CUSTOM_VALIDATION_EXCEPTION")
        assert "Region: required, since 2024" in refused.message
        assert ledger(org)["cus_00007"] == 0


@pytest.mark.parametrize("ends_as", ["Failed", "Aborted"])
async def test_what_a_job_did_not_come_to_is_not_lost(ends_as: str) -> None:
    """A broken job's rest goes out by calls at once; that of one that somebody aborted is tried again later."""
    async with an_org() as org:
        few(org)
        org.simulator.bulk.rows_max, org.simulator.bulk.ends_as = 25, ends_as
        results = await in_one_go(org, ACCOUNT, some(60))
        if ends_as == "Failed":
            assert kinds(results) == {"Applied": 60}
            assert set(ledger(org).values()) == {1}
        else:
            assert kinds(results[:25]) == {"Applied": 25}
            assert {
                (one.outcome.cause, one.outcome.code) for one in results[25:] if isinstance(one.outcome, Refused)
            } == {(RefusalClass.TRANSIENT, "UNPROCESSED")}
            assert sum(ledger(org).values()) == 25


async def test_a_job_that_is_refused_as_a_whole_finds_its_bad_row_by_calls() -> None:
    async with an_org() as org:
        few(org)
        records = [*some(40), a_write("cus_odd", Name="Odd", Billing_MRR__c="1.00")]
        org.simulator.org.object("Account").remove("Billing_MRR__c")
        results = await in_one_go(org, ACCOUNT, records)
        assert kinds(results) == {"Applied": 40, "Refused": 1}
        assert isinstance(results[-1].outcome, Refused)
        assert set(ledger(org).values()) == {1}


async def test_values_arrive_as_by_a_call_and_what_is_not_given_is_left_alone() -> None:
    async with an_org() as org:
        few(org)
        await in_one_go(org, ACCOUNT, some(30))
        org.simulator.edit("Account", "cus_00003", "Website", "typed.example", "sales@example.com")
        texts = ['Comma, "quoted"', "Line\nbreak", "Zoë Ünïcode ✓", "=1+1", "a\tb"]
        records = [a_write(f"cus_{number:05d}", Name=text) for number, text in enumerate(texts * 5)]
        records[6] = a_write("cus_00006", Name="#N/A")
        assert kinds(await in_one_go(org, ACCOUNT, records)) == {"Applied": 25}
        for record in records:
            assert org.simulator.record("Account", record.key)["Name"] == record.fields["Name"]
        assert org.simulator.record("Account", "cus_00003")["Website"] == "typed.example"
        held = await org.outbound.read(ACCOUNT, [record.key for record in records])
        assert {key: one.fields["Name"] for key, one in held.items()} == {r.key: r.fields["Name"] for r in records}


async def test_a_subscription_finds_its_account_by_its_key() -> None:
    async with an_org() as org:
        few(org)
        await in_one_go(org, ACCOUNT, some(30))
        lookup = next(name for name, field in SUBSCRIPTION.fields.items() if field.lookup_object == "Account")
        records = [a_write(f"sub_{number}", **{lookup: f"cus_{number:05d}"}) for number in range(30)]
        records.append(a_write("sub_lost", **{lookup: "cus_nobody"}))
        results = await in_one_go(org, SUBSCRIPTION, records)
        assert kinds(results) == {"Applied": 30, "Refused": 1}
        assert isinstance(results[-1].outcome, Refused)


async def test_records_that_a_job_cannot_name_go_by_calls_beside_it() -> None:
    async with an_org() as org:
        few(org)
        (first, *_) = await in_one_go(org, ACCOUNT, some(30))
        assert isinstance(first.outcome, Applied)
        records = some(30, value="New")
        records[0] = msgspec.structs.replace(records[0], target_id=first.outcome.target_id)
        records.append(a_write("cus_00005", Name="Told twice"))
        results = await in_one_go(org, ACCOUNT, records)
        assert kinds(results) == {"Applied": 31}
        assert org.simulator.record("Account", "cus_00000")["Name"] == "New 0"
        assert org.simulator.record("Account", "cus_00005")["Name"] == "Told twice"


# -- answers that are lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "error_after"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/jobs/ingest"), ("PUT", "/batches")])
async def test_a_job_whose_opening_is_lost_has_written_nothing(kind: str, method: str, path: str) -> None:
    async with an_org() as org:
        few(org)
        await org.outbound.read(ACCOUNT, ["cus_00000"])  # logged in
        org.simulator.fault(kind, method=method, path=path, times=2)  # a file that is broken off is put once more
        with pytest.raises(TargetUnavailable, match="Nothing of it is processed"):
            await in_one_go(org, ACCOUNT, some(30))
        assert ledger(org) == Counter()
        org.simulator.faults.clear()
        assert kinds(await in_one_go(org, ACCOUNT, some(30))) == {"Applied": 30}
        assert set(ledger(org).values()) == {1}


async def test_a_job_whose_start_is_not_answered_is_asked_whether_it_started() -> None:
    async with an_org() as org:
        few(org)
        org.simulator.fault("reset_after", method="PATCH", path="/jobs/ingest", times=1)
        assert kinds(await in_one_go(org, ACCOUNT, some(30))) == {"Applied": 30}
        org.simulator.fault("reset_before", method="PATCH", path="/jobs/ingest", times=1)
        with pytest.raises(TargetUnavailable, match="was not started"):
            await in_one_go(org, ACCOUNT, some(30, value="Changed"))
        assert {job.state for job in org.simulator.bulk.jobs.values()} == {"JobComplete", "Aborted"}
        assert set(ledger(org).values()) == {1}


async def test_results_that_cannot_be_read_are_never_read_as_failure() -> None:
    async with an_org() as org:
        few(org)
        org.simulator.fault("error_before", method="GET", path="/failedResults", times=10)
        with pytest.raises(AnswerLost, match="results of a job"):
            await in_one_go(org, ACCOUNT, some(30))
        assert set(ledger(org).values()) == {1}


async def test_a_job_that_never_ends_is_aborted_and_its_rows_go_out_again() -> None:
    async with an_org() as org:
        few(org)
        org.simulator.bulk.polls_until_done = 1_000_000
        results = await in_one_go(org, ACCOUNT, some(30))
        assert {one.outcome.code for one in results if isinstance(one.outcome, Refused)} == {"UNPROCESSED"}
        assert [job.state for job in org.simulator.bulk.jobs.values()] == ["Aborted"]
        assert ledger(org) == Counter()


async def test_a_row_that_no_result_names_is_uncertain() -> None:
    async with an_org() as org:
        few(org)
        real = org.simulator.bulk._table

        def forgetful(job: object, kind: str) -> str:
            return "\n".join(line for line in real(job, kind).split("\n") if "cus_00004" not in line)  # type: ignore[arg-type]

        setattr(org.simulator.bulk, "_table", forgetful)  # noqa: B010  a static method of the stand-in
        results = await in_one_go(org, ACCOUNT, some(30))
        assert isinstance(results[4].outcome, Uncertain)
        assert kinds(results) == {"Applied": 29, "Uncertain": 1}


# -- jobs nobody waits for ---------------------------------------------------------------------------------------------


async def test_a_job_is_noted_before_it_can_begin() -> None:
    async with an_org() as org:
        few(org)
        noted: list[tuple[str, str]] = []

        async def note(job: str) -> None:
            noted.append((job, org.simulator.bulk.jobs[job].state))

        assert kinds(await in_one_go(org, ACCOUNT, some(30), note)) == {"Applied": 30}
        ((job, state),) = noted
        assert ([*org.simulator.bulk.jobs], state) == ([job], "Open")


async def test_a_job_that_cannot_be_noted_is_not_begun() -> None:
    async with an_org() as org:
        few(org)

        async def note(_job: str) -> None:
            raise TransientError("The store is away.")

        with pytest.raises(TransientError, match="away"):
            await in_one_go(org, ACCOUNT, some(30), note)
        org.simulator.bulk.let_time_pass()
        assert ledger(org) == Counter()


async def begun(org: Org) -> str:
    """A job whose owner is killed as soon as it has begun: not a call of his comes any more."""
    ask = org.outbound._ask_of_job
    names: list[str] = []

    async def note(job: str) -> None:
        names.append(job)

    async def killed(_seconds: float) -> None:
        raise Killed

    async def until_killed(method: str, path: str, *rest: Any, **more: Any) -> HttpAnswer:
        if json.dumps("Aborted") in str(rest):
            raise TransientError("There is nobody to call.")
        return await ask(method, path, *rest, **more)

    with pytest.raises(Killed):
        await bulk.ingest(
            until_killed,
            object_name="Account",
            key_field=CUSTOMER,
            file=f"{CUSTOMER},Name\ncus_1,Old\n".encode(),
            note=note,
            sleep=killed,
        )
    return names[0]


class Killed(BaseException):
    """SIGKILL, as far as a test can have it."""


async def test_a_job_that_was_left_goes_on_until_somebody_ends_it() -> None:
    async with an_org() as org:
        org.simulator.bulk.polls_until_done = 10
        await begun(org)
        org.simulator.bulk.let_time_pass()
        assert org.simulator.record("Account", "cus_1")["Name"] == "Old"
        left = await begun(org)
        await org.outbound.write(ACCOUNT, [a_write("cus_1", Name="New")])
        await org.outbound.end_job(left)
        org.simulator.bulk.let_time_pass()
        assert org.simulator.record("Account", "cus_1")["Name"] == "New"
        assert org.simulator.bulk.jobs[left].state == "Aborted"


async def test_what_has_ended_or_is_not_there_needs_no_end() -> None:
    async with an_org() as org:
        few(org)
        await in_one_go(org, ACCOUNT, some(30))
        (done,) = org.simulator.bulk.jobs
        for job in (done, "750000000000000AAA"):
            await org.outbound.end_job(job)
        assert org.simulator.bulk.jobs[done].state == "JobComplete"


async def test_a_job_that_does_not_end_is_waited_for() -> None:
    async with an_org() as org:
        org.simulator.bulk.polls_until_done = 10
        left = await begun(org)
        org.simulator.fault("error_before", method="PATCH", path="/jobs/ingest", times=10)
        with pytest.raises(TransientError):
            await org.outbound.end_job(left)


# -- the form ----------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=30)

#: Every row has a key, as every record has.
ROWS = st.dictionaries(st.sampled_from("bc"), TEXTS | st.none() | st.booleans()).map(lambda row: {"a": "key"} | row)


@given(rows=st.lists(ROWS, max_size=6))
def test_a_file_says_every_cell_and_nothing_else(rows: list[dict[str, str | bool | None]]) -> None:
    said = list(csv.DictReader(io.StringIO(bulk.table([*rows, {"a": "the last"}]).decode(), newline="")))
    assert said[-1]["a"] == "the last"
    expected = {None: bulk.EMPTIED, True: "true", False: "false"}
    for row, cells in zip([row for row in rows if row], said, strict=False):
        for name, value in row.items():
            assert cells[name] == (value if isinstance(value, str) else expected[value])


@pytest.mark.parametrize(
    ("text", "code", "message", "fields"),
    [
        ("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "REQUIRED_FIELD_MISSING",
         "Required fields are missing: [Name]", ("Name",)),
        ("DUPLICATE_VALUE:duplicate value found: A duplicates value on record with id: 001:--", "DUPLICATE_VALUE",
         "duplicate value found: A duplicates value on record with id: 001", ()),
        ("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access:--", "UNABLE_TO_LOCK_ROW",
         "unable to obtain exclusive access", ()),
        ("", "UNNAMED", "no reason given", ()),
    ],
)  # fmt: skip
def test_an_error_of_a_file_is_read(text: str, code: str, message: str, fields: tuple[str, ...]) -> None:
    found = bulk.fault_of(text)
    assert (found.code, found.message, found.fields) == (code, message, fields)


async def test_every_call_of_a_job_is_one_that_the_vendor_tells_of(contracts: Path) -> None:
    told = json.loads((contracts / "salesforce" / "postman-requests-2021.json").read_text())
    listed = told if isinstance(told, list) else told["requests"]
    known = {
        (one["method"], one["url"].partition("/services/data/v{{version}}")[2].replace("{{_jobId}}", "JOB"))
        for one in listed
        if "jobs/ingest" in one["url"]
    }
    async with an_org() as org:
        few(org)
        org.simulator.bulk.polls_until_done = 1_000_000
        await in_one_go(org, ACCOUNT, some(30))
        org.simulator.bulk.polls_until_done = 0
        await in_one_go(org, ACCOUNT, some(30))
        asked = set()
        for call in org.calls:
            path = call.path.partition("/v59.0")[2]
            for job in org.simulator.bulk.jobs:
                path = path.replace(job, "JOB")
            if "jobs/ingest" in path:
                asked.add((call.method, path))
    assert len(asked) == 7
    assert asked <= known

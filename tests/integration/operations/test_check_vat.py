"""Tax numbers are asked of the register, and no outage of it, however long, ever releases anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance
from accordant.connectors.vies.simulator import CODES, ViesSimulator
from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.operations.check_vat import REST_MAX, VatCheck, VatRound, told_of_vat
from accordant.store.schema import audit_entry, data_key, vat_consultation
from accordant.store.vat import SqlVatBook
from accordant.views.clearances import clearances_of
from accordant.web.caretaker import Caretaker
from accordant.web.vat_desk import vat_desk
from tests.integration.operations.kit import Installation, an_installation

CHARTER = """
gates:
  - name: vat-first
    check: vat
    entity: account
    purpose: Nothing is written for a customer whose tax number is in doubt.
    next_action: Ask finance to look at the number.
    evidence_days_max: 60
vat: {{requester: DE136695976, recheck_days: 30, stand_in: true, address: "{url}"}}
"""
AUSTRIAN, FRENCH, DANISH, GERMAN = "ATU13585627", "FR40303265045", "DK13585628", "DE811128135"


@asynccontextmanager
async def asking(store: str, folder: Path) -> AsyncIterator[tuple[Installation, ViesSimulator]]:
    """A hub whose gate wants the register's answer, and the register."""
    vies = ViesSimulator(now=lambda: datetime(2026, 12, 1, tzinfo=UTC))
    url = await vies.start()
    try:
        async with an_installation(store, folder, more=CHARTER.format(url=url)) as one:
            yield one, vies
    finally:
        await vies.stop()


async def customer(one: Installation, *numbers: str) -> str:
    """One more customer with these tax numbers; the hub's id of it."""
    known = set(one.hub.state.account_ids())
    (name,) = one.sell(1)
    renumber(one, name, *numbers)
    await one.settle()
    (account_id,) = set(one.hub.state.account_ids()) - known
    return account_id


def renumber(one: Installation, name: str, *numbers: str) -> None:
    book = one.stripe.account.book
    listed = {"object": "list", "data": [{"object": "tax_id", "value": number} for number in numbers]}
    one.stripe.advance(60)
    book.change(book.get("customer", name), "customer.updated", tax_ids=listed)


async def check(one: Installation, account_id: str, **more: str) -> VatCheck:
    async with vat_desk(one.hub) as desk:
        return await desk.check(account_id, actor="Ada", **more)


async def check_due(one: Installation) -> VatRound:
    async with vat_desk(one.hub) as desk:
        return await desk.check_due(actor="schedule")


def standing(one: Installation, account_id: str) -> Clearance:
    return one.hub.state.clearances([account_id])[account_id][CheckKind.VAT]


def is_open(one: Installation, account_id: str) -> bool:
    """Whether every gate of the charter lets this customer through now."""
    return all(line.is_open for line in clearances_of(one.hub.database, one.hub.charter, account_id, now=one.clock()))


async def test_a_yes_opens_with_its_evidence_and_grows_old(store_url: str, tmp_path: Path) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        vies.registered[AUSTRIAN] = ("Beispiel & Co", "Ring 1, Wien")
        account_id = await customer(one, AUSTRIAN)
        assert one.salesforce.count("Account") == 0
        found = await check(one, account_id)
        assert (found.finding, found.not_asked) == (standing(one, account_id), ())
        assert (standing(one, account_id).status, standing(one, account_id).evidence) == (
            CheckStatus.PASSED, "EU register WAPIAAAA00000001",
        )  # fmt: skip
        await one.deliver()
        assert one.salesforce.count("Account") == 1
        one.clock.move(days=61)
        assert not is_open(one, account_id)
        (kept,) = SqlVatBook(one.hub.database, one.hub.vault).newest([account_id])[account_id].values()
        assert (kept.asked_by, kept.answer.name, kept.answer.address) == ("Ada", "Beispiel & Co", "Ring 1, Wien")
        with one.hub.database.read() as connection:
            (row,) = connection.execute(select(vat_consultation))
            kind = "compliance.vat.asked"
            (body,) = connection.execute(select(audit_entry.c.body).where(audit_entry.c.kind == kind)).scalars()
        for told in (
            row.body,
            bytes(str(tuple(row)[:-1]), "utf-8"),
            body if isinstance(body, bytes) else body.encode(),
        ):
            assert b"13585627" not in told
            assert b"Beispiel" not in told


async def test_a_no_holds_and_says_why(store_url: str, tmp_path: Path) -> None:
    async with asking(store_url, tmp_path) as (one, _vies):
        account_id = await customer(one, FRENCH)
        await check(one, account_id)
        assert standing(one, account_id).status is CheckStatus.FAILED
        assert standing(one, account_id).reason == "The register does not know the number of FR"
        await one.deliver()
        assert one.salesforce.count("Account") == 0


async def test_no_code_of_the_register_ever_opens(tmp_path: Path) -> None:
    async with asking(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as (one, vies):
        account_id = await customer(one, AUSTRIAN)
        for code in sorted(set(CODES.values())):
            vies.down["*"] = code
            await check(one, account_id)
            assert standing(one, account_id).status is CheckStatus.PENDING, code
            assert not is_open(one, account_id), code
            await one.deliver()
            one.clock.move(hours=3)
        assert one.salesforce.count("Account") == 0


async def test_six_hours_without_the_register_release_nobody_and_take_nothing_back(
    store_url: str, tmp_path: Path
) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        vies.registered[AUSTRIAN] = vies.registered[DANISH] = ("", "")
        cleared, new, changed = await customer(one, AUSTRIAN), "", await customer(one, DANISH)
        assert (await check_due(one)).valid == 2
        await one.deliver()
        assert one.salesforce.count("Account") == 2
        await vies.stop()
        new = await customer(one, GERMAN)
        # A customer whose number is another now: what the register said of the old one says nothing of it.
        name = next(ref.id for ref in one.hub.state.references([changed])[changed] if ref.system == "stripe")
        renumber(one, name, FRENCH)
        await one.settle()
        caretaker = Caretaker(one.hub)
        for _ in range(12):
            one.clock.move(minutes=30)
            await check_due(one)
            await caretaker.duty_round()
            await one.deliver()
        assert (is_open(one, cleared), is_open(one, new), is_open(one, changed)) == (True, False, False)
        assert one.salesforce.count("Account") == 2
        assert standing(one, new).reason == "The register gave no answer (UNREACHABLE); it is asked again by itself."


async def test_a_country_that_is_down_keeps_no_other_waiting_and_rests_ever_longer(
    store_url: str, tmp_path: Path
) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        vies.registered[AUSTRIAN] = ("", "")
        vies.down["FR"] = "MS_UNAVAILABLE"
        first, second = await customer(one, FRENCH), await customer(one, "FR83404833048")
        other = await customer(one, AUSTRIAN)
        found = await check_due(one)
        # One question tells that France does not answer; nobody asks the second.
        assert (found.due, found.valid, found.unknown, found.resting) == (3, 1, 1, 1)
        assert (is_open(one, other), is_open(one, first), is_open(one, second)) == (True, False, False)
        asked = []
        for _ in range(48):
            one.clock.move(minutes=30)
            before = len(vies.calls)
            await check_due(one)
            asked.append(len(vies.calls) - before)
        assert sum(asked) < 12
        assert max(asked) == 1
        vies.down.clear()
        vies.registered[FRENCH] = vies.registered["FR83404833048"] = ("", "")
        one.clock.move(seconds=REST_MAX.total_seconds())
        assert (await check_due(one)).valid == 2
        assert (await check_due(one)).due == 0
        assert told_of_vat(await check_due(one)).startswith("Every number")


async def test_where_the_whole_register_is_down_one_question_is_enough(store_url: str, tmp_path: Path) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        vies.down["*"] = "IP_BLOCKED"
        for number in (AUSTRIAN, FRENCH, DANISH, GERMAN):
            await customer(one, number)
        found = await check_due(one)
        assert found.unknown + found.resting == 4
        assert found.unknown <= 4
        assert found.for_persons == ("IP_BLOCKED",)
        assert "write to the Commission" in told_of_vat(found)


async def test_what_a_person_found_elsewhere_stands_against_silence_but_not_against_a_no(
    store_url: str, tmp_path: Path
) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        account_id = await customer(one, AUSTRIAN)
        by_hand = Clearance(
            account_id=account_id, check=CheckKind.VAT, status=CheckStatus.PASSED, evidence="letter 17",
            checked_at=one.clock(), recorded_by="Ada", recorded_at=one.clock(),
        )  # fmt: skip
        one.hub.clear(by_hand)
        vies.down["AT"] = "TIMEOUT"
        assert (await check(one, account_id)).finding is None
        assert standing(one, account_id) == by_hand
        vies.down.clear()
        assert (await check(one, account_id)).finding is not None
        assert standing(one, account_id).status is CheckStatus.FAILED


async def test_every_number_has_to_be_valid(store_url: str, tmp_path: Path) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        vies.registered[AUSTRIAN] = ("", "")
        account_id = await customer(one, AUSTRIAN, "DE136695977")
        found = await check(one, account_id)
        assert len(found.not_asked) == 1
        assert standing(one, account_id).status is CheckStatus.PENDING
        assert not is_open(one, account_id)
        assert (await check(one, account_id, number=AUSTRIAN)).finding == standing(one, account_id)
        assert is_open(one, account_id)


async def test_without_a_number_or_a_gate_nothing_is_asked(store_url: str, tmp_path: Path) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        account_id = await customer(one)
        with pytest.raises(RejectedError, match="keeps no tax number"):
            await check(one, account_id)
        assert (await check_due(one)).due == 0
        assert vies.calls == []
        one.hub.charter = msgspec.structs.replace(one.hub.charter, gates=())
        with pytest.raises(ConfigurationError, match="no gate that asks for it"):
            async with vat_desk(one.hub):
                pass


async def test_what_the_register_said_of_a_holder_goes_with_its_key(store_url: str, tmp_path: Path) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        vies.registered[AUSTRIAN] = ("Beispiel & Co", "Ring 1, Wien")
        account_id = await customer(one, AUSTRIAN)
        await check(one, account_id)
        with one.hub.database.write_unaudited() as connection:
            connection.execute(data_key.update().values(wrapped=None))
        book = SqlVatBook(one.hub.database, type(one.hub.vault)(one.hub.database, bytes(32)))
        assert book.newest([account_id]) == {}
        assert is_open(one, account_id)


async def test_the_clock_asks_and_tells_a_person_where_no_waiting_helps(store_url: str, tmp_path: Path) -> None:
    async with asking(store_url, tmp_path) as (one, vies):
        vies.down["*"] = "VAT_BLOCKED"
        account_id = await customer(one, AUSTRIAN)
        caretaker = Caretaker(one.hub)
        await caretaker.duty_round()
        one.clock.move(hours=2)
        await caretaker.duty_round()
        assert standing(one, account_id).reason.startswith("The register has blocked the company's own number")
        (alert,) = one.hub.alerts.due(now=one.clock(), limit=10)
        assert "vat.unanswered" in alert

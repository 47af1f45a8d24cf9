"""Parties that were there before us: found by what they tell, linked with their number, given back, followed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.intents import Applied, Refused
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.rpc import Rpc, TrytonRefused
from accordant.identity.normalize import tax_ids
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import RecordWrite
from tests.connectors.tryton.hands import merge
from tests.connectors.tryton.kit import INVOICE, PARTY, a_customer, billed, connect, invoice, put, send
from tests.connectors.tryton.server import Tryton

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
SPEC = IdentitySpec(system="tryton", object="party.party", key_field="code")
VAT = "DE136695976"


@pytest.fixture
async def erp(tryton: Tryton) -> AsyncIterator[TrytonOutbound]:
    made = connect(tryton)
    yield made
    await made.close()


async def by_hand(rpc: Rpc, code: str, name: str, **more: Any) -> str:
    """A party as a person made it, long before us."""
    address = {"addresses": [["create", [{}]]]}
    made = await rpc.call("party.party", "create", [{"code": code, "name": name, **address, **more}])
    return str(made[0])


def mechanisms(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"contact_mechanisms": [["create", [{"type": kind, "value": value} for kind, value in pairs]]]}


def identifiers(*pairs: tuple[str | None, str]) -> dict[str, Any]:
    return {"identifiers": [["create", [{"type": kind, "code": code} for kind, code in pairs]]]}


async def ask(erp: TrytonOutbound, *keys: MatchKey, spec: IdentitySpec = SPEC) -> dict[str, Candidate]:
    return {one.id: one for one in await erp.search(spec, keys)}


async def test_a_party_is_found_by_everything_that_tells_whose_it_is(erp: TrytonOutbound, rpc: Rpc) -> None:
    address = {"addresses": [["create", [{"postal_code": "10115", "city": "Berlin"}]]]}
    facts = mechanisms(("email", "Books@Acme-Pumps.de"), ("website", "https://www.acme-pumps.de/en"), ("phone", "1234"))
    acme = await by_hand(rpc, "7001", "ACME Pumps GmbH", **facts, **address, **identifiers(("eu_vat", VAT)))
    for key in (
        MatchKey(KeyKind.EMAIL, "books@acme-pumps.de"),
        MatchKey(KeyKind.DOMAIN, "acme-pumps.de"),
        MatchKey(KeyKind.TAX_ID, "de:vat:136695976"),
        MatchKey(KeyKind.NAME, "acme pumps"),
        MatchKey(KeyKind.CROSS_REFERENCE, "7001"),
        MatchKey(KeyKind.CROSS_REFERENCE, acme),
    ):
        assert acme in await ask(erp, key), key
    found = (await ask(erp, MatchKey(KeyKind.EMAIL, "books@acme-pumps.de")))[acme]
    assert found == Candidate(
        system="tryton",
        object="party.party",
        id=acme,
        name="ACME Pumps GmbH",
        emails=("Books@Acme-Pumps.de",),
        domains=("https://www.acme-pumps.de/en",),
        tax_ids=(VAT,),
        numbers=("7001",),
        phones=("1234",),
        postcode="10115",
    )


async def test_nobody_is_found_by_what_is_another_s_or_by_no_key_at_all(erp: TrytonOutbound, rpc: Rpc) -> None:
    await by_hand(rpc, "7010", "Under_score AG", **mechanisms(("email", "a_b@under.example")))
    assert await ask(erp, MatchKey(KeyKind.EMAIL, "axb@under.example")) == {}
    assert await ask(erp, MatchKey(KeyKind.EMAIL, "a%@under.example")) == {}
    assert await ask(erp, MatchKey(KeyKind.PHONE, "1234")) == {}
    assert await ask(erp, MatchKey(KeyKind.CROSS_REFERENCE, "9" * 30)) == {}
    assert await erp.search(SPEC, ()) == ()
    moves = IdentitySpec(system="tryton", object="account.move", key_field="description")
    assert await ask(erp, MatchKey(KeyKind.NAME, "under"), spec=moves) == {}
    assert [page async for page in erp.census(moves)] == []


async def test_an_archived_party_is_no_candidate(erp: TrytonOutbound, rpc: Rpc) -> None:
    gone = await by_hand(rpc, "7020", "Gone Ltd", **mechanisms(("email", "x@gone.example")))
    await rpc.call("party.party", "write", [int(gone)], {"active": False})
    assert await ask(erp, MatchKey(KeyKind.EMAIL, "x@gone.example")) == {}
    assert gone not in {one.id async for page in erp.census(SPEC) for one in page}


@pytest.mark.parametrize(
    ("kind", "number"),
    [("eu_vat", VAT), ("de_vat", "136695976"), ("gb_vat", "GB 980 7806 84"), ("us_ein", "91-1144442")],
)
async def test_a_tax_number_is_read_with_its_country(erp: TrytonOutbound, rpc: Rpc, kind: str, number: str) -> None:
    name = f"Taxed by {kind}"
    party = await by_hand(rpc, f"703-{kind}", name, **identifiers(("fr_siren", "552008443"), (kind, number)))
    (found,) = (await ask(erp, MatchKey(KeyKind.CROSS_REFERENCE, party))).values()
    (one,) = tax_ids(found.tax_ids, found.country)
    assert one.scheme == {"us_ein": "us:ein", "gb_vat": "gb:vat"}.get(kind, "de:vat")
    assert party in await ask(erp, MatchKey(KeyKind.TAX_ID, str(one)))


async def test_every_party_is_told_once_page_by_page_and_from_where_a_reading_broke_off(
    erp: TrytonOutbound, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accordant.connectors.tryton.candidates.PAGE", 2)
    ours = await put(erp, PARTY, "cus_700", {"name": "Ours", "email": "ours@example.com"})
    theirs = await by_hand(rpc, "7040", "Theirs")
    ids = [one.id async for page in erp.census(SPEC) for one in page]
    assert ids == sorted(ids, key=int)
    assert {ours.target_id, theirs} <= set(ids)
    told = {one.id: one async for page in erp.census(SPEC, after=str(int(ours.target_id) - 1)) for one in page}
    assert min(map(int, told)) == int(ours.target_id)
    assert told[ours.target_id].cross_references == ("cus_700",)
    assert told[theirs].cross_references == ()


async def test_a_field_that_the_charter_names_tells_too(erp: TrytonOutbound, rpc: Rpc) -> None:
    spec = IdentitySpec(
        system="tryton", object="party.party", key_field="code", fields={RecordAttribute.TAX_ID: "code_alnum"}
    )
    party = await by_hand(rpc, "DE 136 695 976", "Its number is its code")
    found = await ask(erp, MatchKey(KeyKind.TAX_ID, "de:vat:136695976"), spec=spec)
    assert found[party].tax_ids == (VAT,)
    wrong = IdentitySpec(
        system="tryton", object="party.party", key_field="code", fields={RecordAttribute.TAX_ID: "no_such"}
    )
    with pytest.raises(RejectedError, match="no_such"):
        await ask(erp, MatchKey(KeyKind.TAX_ID, "de:vat:136695976"), spec=wrong)


async def linked(erp: TrytonOutbound, party: str, key: str, **fields: str) -> Any:
    """A record that the ladder matched, written by its id."""
    record = RecordWrite(key=key, fields=dict(fields), idempotency_key=f"accordant-{key}", target_id=party)
    (result,) = await erp.write(PARTY, [record])
    return result.outcome


async def test_a_party_that_was_there_keeps_its_number_and_gets_our_documents(erp: TrytonOutbound, rpc: Rpc) -> None:
    party = await by_hand(rpc, "7050", "Old Friend KG", **identifiers((None, "their own number")), addresses=None)
    outcome = await linked(erp, party, "cus_705", name="Old Friend KG")
    assert isinstance(outcome, Applied)
    assert (outcome.created, outcome.number) == (False, "7050")
    held = await erp.read(PARTY, ["cus_705", "7050"])
    assert {key: record.target_id for key, record in held.items()} == {"cus_705": party, "7050": party} or set(
        held
    ) == {"cus_705"}
    assert "cus_705" in {key async for key, _ in erp.keys(PARTY)}
    assert (await erp.whereabouts(PARTY, [party]))[party].key == "cus_705"
    made = await put(erp, INVOICE, "jrn_old_friend", invoice(billed("cus_705", "100.00", "19.00"), party="cus_705"))
    assert made.fields["party"] == "cus_705"
    row = (await rpc.find("party.party", [["id", "=", int(party)]], ["code", "identifiers.code"]))[0]
    assert row["code"] == "7050"
    assert [one["code"] for one in row["identifiers."]] == ["their own number", "accordant:cus_705"]
    again = await linked(erp, party, "cus_705", name="Old Friend KG")
    assert isinstance(again, Applied)
    twice = (await rpc.find("party.party", [["id", "=", int(party)]], ["identifiers.code"]))[0]
    assert len(twice["identifiers."]) == 2
    other = await linked(erp, party, "cus_706")
    assert isinstance(other, Refused)
    assert other.code == "KEY_OF_ANOTHER"
    assert "accordant:cus_705" in other.message


async def test_a_party_is_given_back_and_its_customer_gets_one_of_its_own(erp: TrytonOutbound, rpc: Rpc) -> None:
    first = await put(erp, PARTY, "cus_710", {"name": "Ours after all", "email": None})
    record = RecordWrite(
        key="cus_710", fields={"name": "Somebody else"}, idempotency_key="x", target_id=first.target_id, frees=True
    )
    (freed,) = await erp.write(PARTY, [record])
    assert isinstance(freed.outcome, Applied)
    assert await erp.read(PARTY, ["cus_710"]) == {}
    assert (await erp.whereabouts(PARTY, [first.target_id]))[first.target_id].key is None
    own = await put(erp, PARTY, "cus_710", {"name": "Ours", "email": None})
    assert own.target_id != first.target_id
    codes = await rpc.find("party.party", [["id", "in", [int(first.target_id), int(own.target_id)]]], ["code", "name"])
    assert [(row["code"], row["name"]) for row in codes] == [("cus_710", "Somebody else"), ("cus_710-2", "Ours")]


async def test_an_archived_party_is_not_written_and_a_new_one_takes_its_place_when_asked(
    erp: TrytonOutbound, rpc: Rpc
) -> None:
    first = await put(erp, PARTY, "cus_720", {"name": "Archived", "email": None})
    await rpc.call("party.party", "write", [int(first.target_id)], {"active": False})
    assert await erp.read(PARTY, ["cus_720"]) == {}
    where = (await erp.whereabouts(PARTY, [first.target_id]))[first.target_id]
    assert (where.deleted, where.key) == (True, "cus_720")
    stopped = await send(erp, INVOICE, "jrn_arch", invoice(billed("cus_720", "1.00", "0.19"), party="cus_720"))
    assert isinstance(stopped, Refused)
    assert stopped.code == "PARTY_ARCHIVED"
    second = await put(erp, PARTY, "cus_720", {"name": "Anew", "email": None})
    assert second.target_id != first.target_id
    assert (await put(erp, INVOICE, "jrn_arch", invoice(billed("cus_720", "1.00", "0.19"), party="cus_720"))).target_id


@pytest.mark.parametrize("was_there", [False, True])
async def test_a_merged_party_leads_to_the_other_and_its_documents_go_there(
    erp: TrytonOutbound, rpc: Rpc, was_there: bool
) -> None:
    key = f"cus_73{int(was_there)}"
    if was_there:
        first = await by_hand(rpc, f"773{int(was_there)}", "Twice there")
        await linked(erp, first, key)
    else:
        first = (await put(erp, PARTY, key, {"name": "Twice there", "email": None})).target_id
    other = await by_hand(rpc, f"783{int(was_there)}", "The other")
    await merge(rpc, int(first), int(other))
    assert await erp.read(PARTY, [key]) == {}
    where = await erp.whereabouts(PARTY, [first, other])
    assert (where[first].deleted, where[first].merged_into) == (True, other)
    assert (where[other].deleted, where[other].key) == (False, None)
    bill = invoice(billed(key, "10.00", "1.90"), party=key)
    assert isinstance(await send(erp, INVOICE, f"jrn_merged_{key}", bill), Applied)
    row = await rpc.find("account.invoice", [["reference", "=", f"jrn_merged_{key}"]], ["party"])
    assert row[0]["party"] == int(other)
    assert isinstance(await linked(erp, other, key), Applied)
    assert (await erp.read(INVOICE, [f"jrn_merged_{key}"]))[f"jrn_merged_{key}"].fields["party"] == key


async def test_tryton_itself_merges_no_party_that_has_posted_documents(erp: TrytonOutbound, rpc: Rpc) -> None:
    await a_customer(erp, "cus_735")
    await put(erp, INVOICE, "jrn_stays", invoice(billed("cus_735", "10.00", "1.90"), party="cus_735"))
    other = await by_hand(rpc, "7835", "The other")
    first = (await erp.read(PARTY, ["cus_735"]))["cus_735"].target_id
    with pytest.raises(TrytonRefused, match="posted move"):
        await merge(rpc, int(first), int(other))
    assert "cus_735" in await erp.read(PARTY, ["cus_735"])


async def test_a_party_of_a_customer_and_one_of_another_are_merged(erp: TrytonOutbound, rpc: Rpc) -> None:
    await a_customer(erp, "cus_740")
    await a_customer(erp, "cus_741")
    held = await erp.read(PARTY, ["cus_740", "cus_741"])
    first, other = held["cus_740"].target_id, held["cus_741"].target_id
    await merge(rpc, int(first), int(other))
    where = await erp.whereabouts(PARTY, [first, other])
    assert where[first].merged_into == other
    assert where[other].key == "cus_741"
    assert {key: one.target_id for key, one in (await erp.read(PARTY, ["cus_740", "cus_741"])).items()} == {
        "cus_741": other
    }

"""Who stands below whom in a real Tryton: relations of one type, from either end, of today; and its absence, told."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from accordant.canonical.matching import KeyKind, MatchKey, Member
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.connectors.tryton.rpc import Rpc
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import HierarchyLister
from tests.connectors.tryton.kit import connect
from tests.connectors.tryton.server import HAS_RELATIONS, Tryton

pytestmark = [pytest.mark.postgres, pytest.mark.subprocess, pytest.mark.slow]
PARTY = "party.party"
SPEC = IdentitySpec(system="tryton", object=PARTY, key_field="code")
ABOVE = "is a subsidiary of"
with_relations = pytest.mark.skipif(
    not HAS_RELATIONS, reason="The package trytond_party_relationship is not installed; the connector needs none."
)


async def types(rpc: Rpc, name: str) -> tuple[int, int]:
    """A type of relation and its reverse, as a person makes them."""
    up, down = await rpc.call("party.relation.type", "create", [{"name": name}, {"name": f"{name}, reversed"}])
    await rpc.call("party.relation.type", "write", [up], {"reverse": down})
    await rpc.call("party.relation.type", "write", [down], {"reverse": up})
    return int(up), int(down)


async def a_party(rpc: Rpc, name: str) -> int:
    return int((await rpc.call(PARTY, "create", [{"name": name}]))[0])


async def relate(rpc: Rpc, kind: int, one: int, other: int, **more: Any) -> None:
    await rpc.call("party.relation.all", "create", [{"type": kind, "from_": one, "to": other, **more}])


async def members(erp: TrytonOutbound) -> dict[str, Member]:
    return {one.id: one async for page in erp.members(PARTY) for one in page}


@with_relations
async def test_a_subsidiary_stands_below_its_company_from_whichever_end_it_was_said(
    tryton: Tryton, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accordant.connectors.tryton.relations.PAGE", 2)
    up, down = await types(rpc, ABOVE)
    other, _ = await types(rpc, "is a friend of")
    top, middle, low, past, friend = [await a_party(rpc, f"Family {number}") for number in range(5)]
    await relate(rpc, up, middle, top)
    await relate(rpc, down, middle, low)
    await relate(rpc, up, past, top, end_date=date(2020, 1, 1))
    await relate(rpc, other, friend, top)
    await rpc.call(PARTY, "write", [low], {"active": False})
    erp = connect(tryton, parent_relation=ABOVE)
    try:
        assert isinstance(erp, HierarchyLister)
        assert erp.levels_max == {PARTY: None}
        told = await members(erp)
        assert told[str(top)] == Member(id=str(top))
        assert told[str(middle)] == Member(id=str(middle), parent_id=str(top))
        assert told[str(low)] == Member(id=str(low), parent_id=str(middle), deleted=True)
        assert told[str(past)] == Member(id=str(past))
        assert told[str(friend)] == Member(id=str(friend))
        found = await erp.search(SPEC, [MatchKey(KeyKind.CROSS_REFERENCE, str(middle))])
        assert [one.parent_id for one in found] == [str(top)]
    finally:
        await erp.close()


@with_relations
async def test_a_type_that_is_not_there_or_there_twice_is_named(tryton: Tryton, rpc: Rpc) -> None:
    await types(rpc, "twice")
    await types(rpc, "twice")
    for name, said in (("stands below", "no type"), ("twice", "several types")):
        erp = connect(tryton, parent_relation=name)
        try:
            with pytest.raises(RejectedError, match=f"{said} of relation.*{name}"):
                await members(erp)
        finally:
            await erp.close()


@pytest.mark.skipif(HAS_RELATIONS, reason="The module party_relationship is active here.")
async def test_without_the_module_the_setting_is_refused_with_its_remedy(tryton: Tryton) -> None:
    erp = connect(tryton, parent_relation=ABOVE)
    try:
        with pytest.raises(RejectedError, match="party_relationship"):
            await members(erp)
    finally:
        await erp.close()


async def test_without_the_setting_there_is_no_hierarchy_and_nothing_is_asked(tryton: Tryton) -> None:
    erp = connect(tryton)
    try:
        assert erp.levels_max == {}
        with pytest.raises(RejectedError, match="no hierarchy"):
            await members(erp)
    finally:
        await erp.close()

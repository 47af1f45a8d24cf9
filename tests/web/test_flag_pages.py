"""The page of a red flag: the packet whole, two who signed in by name, files, and what is refused."""

from __future__ import annotations

from pathlib import Path

from litestar import Litestar
from litestar.testing import TestClient

from accordant.canonical.people import PersonRole
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_red_flags import CHARTER, credit, flags, named, rename, reused, seen
from tests.web.test_phase_pages import HERE, browsing, csrf, people


def send(client: TestClient[Litestar], flag: str, act: str, **fields: str) -> tuple[int, str]:
    form = {"csrf": csrf(client.get(f"/flags/{flag}").text), "reason": "Read and agreed."} | fields
    answer = client.post(f"/flags/{flag}/{act}", data=form, headers=HERE)
    return answer.status_code, answer.text


async def test_two_who_signed_in_take_a_flag_down(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=CHARTER) as one:
        tokens = people(one, dict.fromkeys(("Ada", "Bo"), PersonRole.APPROVER))
        (customer,) = one.sell(1)
        await one.settle()
        credit(one, customer)
        rename(one, [customer])
        await one.settle()
        (flag,) = flags(one)
        digest = seen(one, flag).digest
        with browsing(one, tokens["Ada"]) as ada:
            assert f"/flags/{flag.id}" in ada.get("/trouble").text
            page = ada.get(f"/flags/{flag.id}").text
            for told in (
                "evt_",
                flag.subject,
                "Billing_MRR__c",
                "credited",
                "100.01",
                "0 of 2 people",
                "As its owner said",
            ):
                assert told in page, told
            code, text = send(ada, flag.id, "approve", packet="0" * 64)
            assert (code, "changed since it was looked at" in text) == (409, True)
            assert send(ada, flag.id, "approve", packet=digest)[0] == 303
            code, text = send(ada, flag.id, "approve", packet=digest)
            assert (code, "another person" in text) == (409, True)
            told = ada.get(f"/flags/{flag.id}.json").json()
            assert (told["digest"], len(told["packet"]["decisions"])) == (digest, 1)
            assert ada.get(f"/flags/{flag.id}.csv").text.startswith("system,record,field,before,after")
            assert ada.get("/flags/flg_nothing").status_code == 404
        with browsing(one, tokens["Bo"]) as bo:
            assert send(bo, flag.id, "refuse", reason="Not yet.")[0] == 303
            assert "0 of 2 people" in bo.get(f"/flags/{flag.id}").text
            assert send(bo, flag.id, "approve", packet=digest)[0] == 303
        with browsing(one, tokens["Ada"]) as ada:
            assert send(ada, flag.id, "approve", packet=digest)[0] == 303
            assert "writing goes on" in ada.get(f"/flags/{flag.id}").text
        await one.deliver()
        assert named(one, customer) == f"Renamed {customer}"


async def test_where_two_are_asked_for_nobody_acts_without_a_name(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=CHARTER) as one:
        first, second = one.sell(2)
        await one.settle()
        credit(one, first)
        await one.settle()
        (flag,) = flags(one)
        with browsing(one) as guest:
            code, text = send(guest, flag.id, "approve", packet=seen(one, flag).digest)
            assert (code, "nobody is signed in by name" in text) == (409, True)
            reused(one, second)
            (other,) = [found for found in flags(one) if found.id != flag.id]
            assert send(guest, other.id, "approve", packet=seen(one, other).digest)[0] == 303
            assert [found.id for found in flags(one)] == [flag.id]

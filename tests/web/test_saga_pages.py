"""The board of sagas between stand-ins: empty, at a step with what holds it, done, taken back by a person."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.operations.bookkit import LEDGER
from tests.integration.operations.kit import an_installation
from tests.integration.operations.test_sagas import a_customer, amend, desk_of, only
from tests.web.test_phase_pages import HERE, browsing, csrf


async def test_a_change_is_seen_from_its_page_and_taken_back(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path, more=LEDGER) as one:
        await a_customer(one)
        desk = desk_of(one.hub)
        with browsing(one) as guest:
            assert "No saga was begun yet" in guest.get("/sagas").text
            await amend(one)
            await one.settle()
            desk.round()
            saga = only(desk)
            board = guest.get("/sagas").text
            assert saga.id in board
            assert "1 of 5" in board
            page = guest.get(f"/sagas/{saga.id}").text
            assert len(re.findall(r'<li class="done"', page)) == 1
            assert len(re.findall(r'<li class="here"', page)) == 1
            assert "The next is due on" in page
            assert saga.correlation in page
            told = guest.get(f"/sagas/{saga.id}.json").json()["saga"]
            assert [step["sight"] for step in told["steps"]][:2] == ["done", "under_way"]
            assert guest.get("/sagas.csv").text.startswith("saga,kind,subject")
            assert guest.get("/sagas/sga_nothing").status_code == 404
            form = {"csrf": csrf(page)}
            empty = guest.post(f"/sagas/{saga.id}/undo", data=form | {"because": " "}, headers=HERE)
            assert empty.status_code == 409
            assert "for a reason" in empty.text
            given = form | {"because": "Never <agreed>."}
            assert guest.post(f"/sagas/{saga.id}/undo", data=given, headers=HERE).status_code == 303
            page = guest.get(f"/sagas/{saga.id}").text
            assert "Never &lt;agreed&gt;." in page
            assert "Take it back</summary>" not in page
            again = guest.post(f"/sagas/{saga.id}/undo", data=given, headers=HERE)
            assert again.status_code == 409
            assert "undone already" in again.text
            nothing = guest.post("/sagas/sga_nothing/undo", data=given, headers=HERE)
            assert nothing.status_code == 404

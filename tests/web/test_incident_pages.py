"""The incident page between stand-ins: empty, at a step with its figure, moved on by a running hub, and afterwards."""

from __future__ import annotations

import re
from pathlib import Path

from litestar import Litestar
from litestar.testing import TestClient

from accordant.web.caretaker import Caretaker
from tests.integration.operations.kit import an_installation
from tests.web.test_phase_pages import HERE, browsing, csrf


def send(client: TestClient[Litestar], act: str, **fields: str) -> tuple[int, str]:
    form = {"csrf": csrf(client.get("/incident").text)} | fields
    answer = client.post(f"/incident/{act}", data=form, headers=HERE)
    return answer.status_code, answer.text


async def test_an_incident_is_led_from_its_page(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.sell(1)
        await one.settle()
        caretaker = Caretaker(one.hub)
        with browsing(one) as guest:
            page = guest.get("/incident").text
            assert "No incident is open" in page
            assert "Incident:" not in guest.get("/").text
            assert send(guest, "advance")[0] == 409
            assert send(guest, "open", title="", since="")[0] == 409
            assert send(guest, "open", title="Lost <writes>", since="yesterday")[0] == 409
            assert send(guest, "open", title="Lost <writes>", since="2023-12-31T08:00")[0] == 303
            overview = guest.get("/").text
            assert "Lost &lt;writes&gt;" in overview, "the banner is on every page, and text is text"
            assert "Paused:" not in overview, "what the incident stopped is told by its step"
            one.hub.pause("accounts", "Bo", "Our own reason.")
            assert "Our own reason." in guest.get("/").text
            one.hub.resume("accounts", "Bo", "Looked at.")
            page = guest.get("/incident").text
            assert "2023-12-31 08:00 UTC" in page
            assert len(re.findall(r'<li class="ahead"', page)) == 6
            assert "messages and tickets still under way" in page
            for number in range(1, 8):
                one.clock.move(minutes=1)
                act = "close" if number == 7 else "advance"
                assert f'action="/incident/{act}"' in guest.get("/incident").text
                assert send(guest, act)[0] == 303
                assert "a running hub is at it" in guest.get("/incident").text
                assert await caretaker.incident_round()
                assert len(re.findall(r'<li class="done"', guest.get("/incident").text)) in {number, 0}
            assert "No incident is open" in guest.get("/incident").text
            name = re.findall(r"/incident/(inc_\w+)", guest.get("/incident").text)[0]
            past = guest.get(f"/incident/{name}").text
            assert past.count('<li class="done"') == 7
            told = guest.get(f"/incident/{name}.json").json()["incident"]
            assert [moment["kind"] for moment in told["timeline"]][-1] == "closed"
            assert guest.get(f"/incident/{name}.csv").text.startswith("at,actor,step,kind,text")
            assert guest.get("/incident/inc_nothing").status_code == 404


async def test_one_that_was_opened_by_mistake_is_cancelled_from_its_page(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.sell(1)
        await one.settle()
        caretaker = Caretaker(one.hub)
        with browsing(one) as guest:
            assert send(guest, "cancel", because="Never open.")[0] == 409
            assert send(guest, "open", title="False alarm", since="")[0] == 303
            assert 'action="/incident/cancel"' in guest.get("/incident").text
            assert send(guest, "cancel", because=" ")[0] == 409
            assert send(guest, "cancel", because="A <test> of the siren.")[0] == 303
            page = guest.get("/incident?told=cancelled").text
            assert "goes on" in page
            assert "cancelled" in page
            name = re.findall(r"/incident/(inc_\w+)", page)[0]
            past = guest.get(f"/incident/{name}").text
            assert "A &lt;test&gt; of the siren." in past
            assert "every record matched" not in past
            assert past.count('<li class="done"') == 0
            assert send(guest, "open", title="A real one", since="")[0] == 303
            for _ in range(2):
                one.clock.move(minutes=1)
                assert send(guest, "advance")[0] == 303
                assert await caretaker.incident_round()
            assert 'action="/incident/cancel"' not in guest.get("/incident").text
            assert send(guest, "cancel", because="Too late.")[0] == 409


async def test_a_target_that_is_away_is_said_and_asked_again(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.sell(1)
        await one.settle()
        caretaker = Caretaker(one.hub)
        with browsing(one) as guest:
            assert send(guest, "open", title="CRM away", since="")[0] == 303
            for _ in range(4):
                one.clock.move(minutes=1)
                send(guest, "advance")
                assert await caretaker.incident_round()
            await one.salesforce.go_down()
            send(guest, "advance")
            assert await caretaker.incident_round()
            assert "The step could not be worked on." in guest.get("/incident").text
            await one.salesforce.come_up()
            one.clock.move(minutes=10)
            send(guest, "advance")
            assert await caretaker.incident_round()
            assert "Replay support enrichment" in guest.get("/").text or "step 6 of 7" in guest.get("/").text

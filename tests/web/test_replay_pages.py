"""The form for a replay: counted first, ordered once confirmed, walked by a running hub, and listed."""

from __future__ import annotations

from pathlib import Path

from litestar import Litestar
from litestar.testing import TestClient

from accordant.web.caretaker import Caretaker
from tests.integration.operations.kit import an_installation
from tests.web.test_phase_pages import HERE, browsing, csrf


def send(client: TestClient[Litestar], **fields: str) -> tuple[int, str]:
    form = {"csrf": csrf(client.get("/replay").text), "reason": "Missed."} | fields
    answer = client.post("/replay", data=form, headers=HERE)
    return answer.status_code, answer.text


async def test_a_replay_is_counted_ordered_and_walked(tmp_path: Path) -> None:
    async with an_installation(f"sqlite:///{tmp_path}/store.db", tmp_path) as one:
        one.sell(2)
        await one.settle()
        caretaker = Caretaker(one.hub)
        with browsing(one) as guest:
            assert "Nothing was walked again yet" in guest.get("/replay").text
            for fields, told in (
                ({}, "Nothing was chosen"),
                ({"event": "evt_1"}, "by its number"),
                ({"since": "yesterday"}, "is no instant"),
            ):
                code, text = send(guest, **fields)
                assert (code, told in text) == (409, True), told
            code, text = send(guest, everything="yes", counted="")
            assert (code, "Nothing was changed yet." in text) == (200, True)
            assert guest.get("/replay.json").json()["replays"] == []
            total = text.split('name="counted" value="')[1].split('"')[0]
            assert send(guest, everything="yes", counted="1")[0] == 200, "the count changed: shown again"
            code, text = send(guest, everything="yes", counted=total, reason="")
            assert (code, "stated reason" in text) == (409, True)
            assert send(guest, everything="yes", counted=total, class_money="", automation_renewals="yes")[0] == 303
            assert "being walked" in guest.get("/replay").text
            assert caretaker.replay_round()
            assert not caretaker.replay_round(), "once"
            (line,) = guest.get("/replay.json").json()["replays"]
            assert (line["done"], line["changed"], line["automations"]) == (int(total), 0, ["renewals"])
            assert line["finished_at"]
            code, text = send(guest, event_type="nothing.happened", counted="0")
            assert "0 events" in text
            assert guest.get("/replay.csv").text.startswith("replay,actor,started")

"""The page on which a person says what became of a write that nobody can be asked about."""

from __future__ import annotations

import re
from pathlib import Path

from accordant.ports.connector import DestinationClass
from accordant.testing.destinations import CallMoment
from tests.integration.operations.test_settle_letter import EVIDENCE, between, lanes, letter_of, made, trail
from tests.web.test_phase_pages import HERE, browsing, csrf


async def test_a_person_says_that_it_is_there_and_the_lane_goes_on(tmp_path: Path) -> None:
    async with between(f"sqlite:///{tmp_path}/store.db", tmp_path, CallMoment.WRITE_ANSWER) as (one, target):
        letter = letter_of(one)
        with browsing(one) as visitor:
            trouble = visitor.get("/trouble").text
            assert f"/trouble/settle?intent={letter}" in trouble
            assert "/trouble/retry" not in trouble
            page = visitor.get(f"/trouble/settle?intent={letter}")
            assert "the connection broke" in page.text
            form = {"csrf": csrf(page.text), "intent": letter, "found": "there", "found_as": "", "evidence": EVIDENCE}
            unsaid = visitor.post("/trouble/settle", data=form, headers=HERE)
            assert (unsaid.status_code, "id of the record" in unsaid.text) == (422, True)
            assert EVIDENCE in unsaid.text
            neither = visitor.post("/trouble/settle", data=form | {"found": "perhaps"}, headers=HERE)
            assert (neither.status_code, "Say what you found" in neither.text) == (422, True)
            done = visitor.post("/trouble/settle", data=form | {"found_as": "rec-1"}, headers=HERE)
            assert done.status_code == 303
            assert "counts as made" in visitor.get(done.headers["location"]).text
            assert visitor.get(f"/trouble/settle?intent={letter}").status_code == 404
            assert visitor.post("/trouble/settle", data=form, headers=HERE).status_code == 404
        assert lanes(one) == []
        assert len(made(target)) == 1
        ((_, body),) = trail(one, "operations.letter.found")
        assert (body["evidence"], body["found_as"]) == (EVIDENCE, "rec-1")


async def test_a_person_says_that_nothing_is_there_and_it_goes_out(tmp_path: Path) -> None:
    async with between(f"sqlite:///{tmp_path}/store.db", tmp_path, CallMoment.WRITE) as (one, target):
        letter = letter_of(one)
        with browsing(one) as visitor:
            form = {"csrf": csrf(visitor.get(f"/trouble/settle?intent={letter}").text), "intent": letter}
            form |= {"found": "absent", "evidence": EVIDENCE}
            done = visitor.post("/trouble/settle", data=form, headers=HERE)
            assert done.status_code == 303
            assert re.search(r"1 dead letter went back", visitor.get(done.headers["location"]).text)
        await one.deliver()
        assert len(made(target)) == 2


async def test_a_target_that_can_be_asked_offers_no_such_page(tmp_path: Path) -> None:
    async with between(f"sqlite:///{tmp_path}/store.db", tmp_path, CallMoment.WRITE) as (one, target):
        letter = letter_of(one)
        target.destination_class = DestinationClass.SEARCH_ONLY
        with browsing(one) as visitor:
            assert visitor.get(f"/trouble/settle?intent={letter}").status_code == 404
            assert "/trouble/retry" in visitor.get("/trouble").text

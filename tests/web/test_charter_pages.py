"""The charter in the console: version, verdicts, who changed what, the artifacts; every value as text, never markup."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec

from accordant.canonical.charter import Charter, GatePart, Phase
from accordant.canonical.clearances import CheckKind
from accordant.canonical.refs import EntityKind
from accordant.store.charters import CharterShelf
from tests.databases import open_store
from tests.web.company import CHARTER, NOW, ConsoleDesk, browse, seed_company

HOSTILE = "<script>alert(1)</script> & Söhne"


def a_desk(folder: Path, *, charter: Charter = CHARTER) -> ConsoleDesk:
    desk = ConsoleDesk(open_store(f"sqlite:///{folder / 'store.sqlite'}"))
    seed_company(desk.database, desk)
    desk.charter = charter
    return desk


def gated() -> Charter:
    gate = GatePart(
        name="kyc-first", check=CheckKind.KYC, entity=EntityKind.ACCOUNT, purpose=HOSTILE, next_action="Ask Ada."
    )
    return msgspec.structs.replace(CHARTER, gates=(gate,))


def test_the_version_the_verdicts_and_who_changed_what(tmp_path: Path) -> None:
    flows = (msgspec.structs.replace(CHARTER.flows[0], phase=Phase.CONTROLLED), *CHARTER.flows[1:])
    today = msgspec.structs.replace(gated(), flows=flows)
    desk = a_desk(tmp_path, charter=today)
    shelf = CharterShelf(desk.database)
    shelf.remember(CHARTER, now=NOW - timedelta(days=2), actor="Ada")
    shelf.remember(today, now=NOW - timedelta(hours=1), actor=HOSTILE)
    with browse(desk) as visitor:
        page = visitor.get("/charter").text
        assert today.version in page
        assert "no\u2011go" in page
        assert "What the flow accounts is missing" in page
        assert "flows[accounts].phase" in page
        assert "automated" in page
        assert "controlled" in page
        assert "on behalf of Ada" in page
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
        told = visitor.get("/charter.json").json()
        assert [one["version"] for one in told["adoptions"]] == [today.version, CHARTER.version]
        assert told["adoptions"][1]["changes"] is None
        assert "flows[accounts].phase" in visitor.get("/charter.csv").text
    desk.database.close()


def test_each_artifact_is_a_page_a_file_and_escaped(tmp_path: Path) -> None:
    desk = a_desk(tmp_path, charter=gated())
    with browse(desk) as visitor:
        for slug, word in [
            ("system-inventory", "Stakeholders"),
            ("entity-map", "Incident after"),
            ("sensitivity-policy", "Who sees how much"),
            ("gate-list", "Held without a finding"),
        ]:
            page = visitor.get(f"/charter/{slug}")
            assert page.status_code == 200
            assert word in page.text
            assert "<script>alert" not in page.text
            assert visitor.get(f"/charter/{slug}.json").json()["slug"] == slug
            assert visitor.get(f"/charter/{slug}.csv").text.startswith("table,column_1")
        assert "&lt;script&gt;" in visitor.get("/charter/gate-list").text
        assert visitor.get("/charter/nothing").status_code == 404
    desk.database.close()


def test_an_empty_store_says_what_will_appear(tmp_path: Path) -> None:
    desk = ConsoleDesk(open_store(f"sqlite:///{tmp_path / 'store.sqlite'}"))
    with browse(desk) as visitor:
        assert "No charter has been in force in this store yet" in visitor.get("/charter").text
        assert "There are no gates" in visitor.get("/charter/gate-list").text
    desk.database.close()

"""Set B5 from the inbox to the register: kept letter by letter; what no store can hold is set aside with its reason."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from accordant.canonical.entities import Account
from accordant.kernel.hashing import digest
from accordant.store.schema import entity, inbox_event, inbox_work
from tests.integration.pipeline.kit import Rooms, rooms
from tests.text_corpus import TEXTS, UNSTORABLE

AT = datetime(2026, 3, 14, tzinfo=UTC)


def told(number: int, name: str) -> bytes:
    customer = {
        "id": f"cus_{number}", "object": "customer", "name": name, "created": 1_700_000_000, "livemode": False,
        "currency": "eur", "metadata": {"note": name}, "invoice_settings": {},
    }  # fmt: skip
    event = {
        "id": f"evt_{number}", "object": "event", "api_version": "2024-04-10", "created": 1_700_000_000 + number,
        "livemode": False, "pending_webhooks": 1, "type": "customer.created", "data": {"object": customer},
        "request": {"id": None, "idempotency_key": None},
    }  # fmt: skip
    return json.dumps(event).encode()


def states(one: Rooms) -> dict[bytes, tuple[str, str]]:
    """What became of each body, by its digest."""
    query = select(inbox_event.c.digest, inbox_work.c.state, inbox_work.c.reason).select_from(
        inbox_work.join(inbox_event, inbox_event.c.seq == inbox_work.c.seq)
    )
    with one.hub.database.read() as connection:
        return {bytes(row.digest): (row.state, row.reason or "") for row in connection.execute(query)}


def test_every_text_is_kept_as_it_is_or_set_aside_with_its_reason(store_url: str, tmp_path: Path) -> None:
    texts = (*TEXTS, *UNSTORABLE)
    with rooms(store_url, tmp_path, at=AT) as one:
        bodies = [told(number, text) for number, text in enumerate(texts)]
        by_digest = dict(zip(map(digest, bodies), texts, strict=True))
        one.accept(bodies)
        one.finish(random.Random(5))
        found = states(one)
        assert found.keys() == by_digest.keys(), "every delivery is kept, byte by byte"
        aside = {by_digest[name]: reason for name, (state, reason) in found.items() if state == "quarantined"}
        assert aside.keys() == set(UNSTORABLE)
        assert all(aside.values())
        assert {state for state, _ in found.values()} == {"processed", "quarantined"}
        ids = [row[0] for row in one.rows(entity, "id")]
        known = {stored.entity.external_id: stored.entity for stored in one.hub.state.entities(ids).values()}
        names = {name: one.name for name, one in known.items() if isinstance(one, Account)}
        assert names == {f"cus_{number}": text for number, text in enumerate(TEXTS)}

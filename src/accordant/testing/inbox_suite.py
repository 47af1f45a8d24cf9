"""What every inbox has to do, whatever stands behind it: a table or a broker.

Subclass `InboxSuite` in a test module, give it a fixture ``inbox`` and say in ``settle`` how an event is done with.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

from accordant.ports.connector import Envelope
from accordant.ports.inbox import Arrival, Inbox, Reception

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITIONS = 64
_SENDERS = 6


def arrival(name: str, *, lane: str = "customer/1", body: bytes = b"", at: datetime = NOW) -> Arrival:
    """A verified delivery of the event ``name``."""
    content = body or f'{{"id": "{name}"}}'.encode()
    return Arrival(
        connection="source",
        envelope=Envelope(external_id=name, event_type="customer.changed", lane=lane, occurred_at=at),
        headers=b"{}",
        body=content,
        digest=hashlib.sha256(content).digest(),
        received_at=at,
    )


def expect(found: object, wanted: object) -> None:
    """Raises: AssertionError with both where they differ."""
    if found != wanted:
        raise AssertionError(f"found {found!r}, expected {wanted!r}")


class InboxSuite:
    """The obligations of `ports.inbox.Inbox`, as tests. Each gets an empty inbox from the fixture ``inbox``."""

    def settle(self, inbox: Inbox, seq: int) -> None:
        """Say that the event is processed, as the commit of its batch does."""
        raise NotImplementedError

    def names(self, inbox: Inbox, *, limit: int = 100, partitions: frozenset[int] | None = None) -> list[str]:
        """The ids of what is handed out now."""
        return [event.external_id for event in inbox.claim(limit=limit, now=NOW, partitions=partitions)]

    def test_what_was_accepted_comes_out_byte_for_byte(self, inbox: Inbox) -> None:
        """Headers, body and both stamps are untouched, and this is the first try."""
        body = bytes(range(256))
        expect(inbox.accept([arrival("a", body=body)]), (Reception.NEW,))
        (event,) = inbox.claim(limit=1, now=NOW)
        expect((event.external_id, event.body, event.headers, event.attempts), ("a", body, b"{}", 1))
        expect((event.occurred_at, event.received_at), (NOW, NOW))

    def test_a_repeat_is_known_within_a_group_and_across_groups(self, inbox: Inbox) -> None:
        """The same bytes are a repeat, other bytes under the same id a conflict; the first stays in force."""
        verdicts = inbox.accept([arrival("a"), arrival("a"), arrival("a", body=b"other"), arrival("b")])
        expect(verdicts, (Reception.NEW, Reception.REPEAT, Reception.CONFLICT, Reception.NEW))
        expect(inbox.accept([arrival("b"), arrival("a", body=b"other")]), (Reception.REPEAT, Reception.CONFLICT))
        expect(self.names(inbox), ["a", "b"])

    def test_a_lane_comes_out_in_the_order_of_its_arrival(self, inbox: Inbox) -> None:
        """The order is that of arrival, whatever the stamps say; lanes may mix."""
        for number in range(12):
            inbox.accept([arrival(f"{number}", lane=f"customer/{number % 3}", at=NOW - timedelta(seconds=number))])
        by_lane: dict[str, list[int]] = {}
        for event in inbox.claim(limit=100, now=NOW):
            by_lane.setdefault(event.lane, []).append(int(event.external_id))
        expect(sorted(by_lane.values()), [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]])

    def test_a_limit_cuts_off_the_youngest(self, inbox: Inbox) -> None:
        """The oldest go first."""
        inbox.accept([arrival(f"{number}") for number in range(5)])
        expect(self.names(inbox, limit=2), ["0", "1"])

    def test_what_nobody_settled_comes_again_with_its_tries_counted(self, inbox: Inbox) -> None:
        """A crash after a claim loses nothing and counts as a try."""
        inbox.accept([arrival("a")])
        expect([inbox.claim(limit=1, now=NOW)[0].attempts for _ in range(3)], [1, 2, 3])

    def test_what_a_living_worker_gives_back_accuses_nobody(self, inbox: Inbox) -> None:
        """The store failed, not the event: however often, it is the same try, and later deaths count from there."""
        inbox.accept([arrival("a"), arrival("b")])
        for _ in range(20):
            taken = inbox.claim(limit=10, now=NOW)
            expect([(event.external_id, event.attempts) for event in taken], [("a", 1), ("b", 1)])
            inbox.give_back([event.seq for event in taken])
        expect([event.attempts for event in inbox.claim(limit=10, now=NOW)], [1, 1])
        expect([event.attempts for event in inbox.claim(limit=10, now=NOW)], [2, 2])

    def test_what_was_settled_is_done_and_still_known(self, inbox: Inbox) -> None:
        """Seen and done are two facts: a repeat of what is done is still a repeat."""
        inbox.accept([arrival("a"), arrival("b")])
        first = inbox.claim(limit=1, now=NOW)[0]
        self.settle(inbox, first.seq)
        expect(self.names(inbox), ["b"])
        expect(inbox.accept([arrival("a")]), (Reception.REPEAT,))
        expect(self.names(inbox), ["b"])

    def test_partitions_cut_the_lanes_apart_and_leave_none_out(self, inbox: Inbox) -> None:
        """Two workers with halves of the partitions take each event once between them."""
        inbox.accept([arrival(f"{number}", lane=f"customer/{number}") for number in range(40)])
        even = self.names(inbox, partitions=frozenset(range(0, PARTITIONS, 2)))
        odd = self.names(inbox, partitions=frozenset(range(1, PARTITIONS, 2)))
        expect(sorted(even + odd, key=int), [f"{number}" for number in range(40)])
        expect(self.names(inbox, partitions=frozenset()), [])

    def test_of_many_senders_of_one_event_one_is_the_first(self, inbox: Inbox) -> None:
        """Deliveries of one event at once end as one event."""
        found: Counter[Reception] = Counter()
        guard = threading.Lock()

        def send() -> None:
            verdicts = inbox.accept([arrival(f"{number}") for number in range(10)])
            with guard:
                found.update(verdicts)

        senders = [threading.Thread(target=send) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        expect(found, {Reception.NEW: 10, Reception.REPEAT: 10 * (_SENDERS - 1)})
        expect(sorted(self.names(inbox), key=int), [f"{number}" for number in range(10)])

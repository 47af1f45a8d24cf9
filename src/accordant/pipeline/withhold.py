"""The outbox without the fields that a target no longer takes: what was planned before goes out without them.

Planned anew, a record lacks them anyhow; on the day they are back, every record that went out meanwhile is planned
again (`operations/check_drift.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from accordant.ports.handed_jobs import HandedJobs
from accordant.ports.outbox import LeasedIntent, Outbox, SentRequest, Verdict


class WithholdingOutbox:
    """An ``Outbox`` that hands over each intent without the withheld fields of its flow."""

    def __init__(self, outbox: Outbox, withheld: Mapping[str, frozenset[str]]) -> None:
        self._outbox = outbox
        self._withheld = withheld

    @property
    def jobs(self) -> HandedJobs:
        """See the port."""
        return self._outbox.jobs

    def claim(
        self,
        *,
        target: str,
        limit: int,
        now: datetime,
        lease_until: datetime,
        paused_flows: frozenset[str],
        lease_now: datetime | None = None,
    ) -> tuple[LeasedIntent, ...]:
        """See the port."""
        leased = self._outbox.claim(
            target=target,
            limit=limit,
            now=now,
            lease_until=lease_until,
            paused_flows=paused_flows,
            lease_now=lease_now,
        )
        return tuple(self._trimmed(one) for one in leased)

    def renew(self, leased: Sequence[LeasedIntent], *, lease_until: datetime) -> frozenset[str]:
        """See the port."""
        return self._outbox.renew(leased, lease_until=lease_until)

    def sent(self, records: Collection[str]) -> dict[str, SentRequest]:
        """See the port."""
        return self._outbox.sent(records)

    def note_sent(self, requests: Mapping[str, SentRequest], leased: Sequence[LeasedIntent]) -> frozenset[str]:
        """See the port."""
        return self._outbox.note_sent(requests, leased)

    def settle(self, verdicts: Sequence[Verdict], *, now: datetime) -> None:
        """See the port."""
        self._outbox.settle(verdicts, now=now)

    def _trimmed(self, leased: LeasedIntent) -> LeasedIntent:
        withheld = self._withheld.get(leased.intent.flow, frozenset())
        if withheld.isdisjoint(leased.intent.fields):
            return leased
        fields = {name: value for name, value in leased.intent.fields.items() if name not in withheld}
        return msgspec.structs.replace(leased, intent=msgspec.structs.replace(leased.intent, fields=fields))

"""Signed notices that hold no state: proven, kept, and understood as nothing but a reason to look at what they name.
Guarantees that a notice of another company, or of a kind nobody knows, is shown and not passed over.
Next: a connector's ``inbound.py``, which says how its vendor spells one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from accordant.canonical.intents import WireValue
from accordant.canonical.observations import Interpretation, Interpreted, Parked, Quarantined, Sighting
from accordant.canonical.refs import ExternalRef
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.receivables import RECEIVABLE, UNSTAMPED_AT, FetchedReceivables, unreadable
from accordant.connectors.sdk.sightings import gone, is_record, record_envelope, sighted
from accordant.connectors.sdk.signatures import SignatureScheme, verify_signature
from accordant.ports.connector import Envelope

NOTICE = "notice"


def webhook_secrets(settings: Mapping[str, str]) -> tuple[bytes, ...]:
    """What signs notices, the newest first, out of the setting of that name; none where only the sweep fetches."""
    return tuple(one.encode() for one in settings.get("webhook_secrets", "").replace(",", " ").split())


class Change(msgspec.Struct, frozen=True):
    """One change of a notice: of which company, of what kind of record, and when (UTC).

    ``records`` are what may be ours of it: an object of a mapping with the target id, as the crosswalk has it.
    """

    company: str
    kind: str
    at: datetime
    records: tuple[tuple[str, str], ...] = ()


class NotifiedInbound(FetchedReceivables, ABC):
    """Implements ``ports.connector.Inbound`` and ``RecordTeller`` for notices and for what a reader fetched.

    ``company`` is the vendor's id of the one this connection is of; with ``only_own`` the vendor keeps each one's
    notices apart, so that one of another company is a mistake. ``kinds`` are those that may come.
    """

    def __init__(
        self,
        *,
        title: str,
        party_type: str,
        scheme: SignatureScheme,
        company: str,
        kinds: Collection[str],
        only_own: bool,
    ) -> None:
        super().__init__(title=title, party_type=party_type)
        self._scheme = scheme
        self._company = company
        self._kinds = frozenset(kinds)
        self._only_own = only_own

    @abstractmethod
    def is_notice(self, body: bytes) -> bool:
        """Whether a body is a notice, and nothing that was fetched."""

    @abstractmethod
    def changes(self, body: bytes) -> tuple[Change, ...]:
        """The changes of a notice. Raises msgspec.DecodeError or UnicodeDecodeError."""

    @abstractmethod
    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See ``ports.connector.RecordTeller``."""

    @abstractmethod
    def name(self, body: bytes) -> str:
        """The name of a notice that can be read: the same for the same delivery."""

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """See the port."""
        verify_signature(self._scheme, headers=headers, body=body, secrets=secrets, now=now)

    def read_envelope(self, body: bytes) -> Envelope:
        """See the port."""
        try:
            if is_record(body):
                return record_envelope(body)
            if not self.is_notice(body):
                return super().read_envelope(body)
            changes = self.changes(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return unreadable(body, f"The body is no notice of {self._title}: {error}.")
        return Envelope(
            external_id=f"{NOTICE}/{self.name(body)}",
            event_type=NOTICE,
            lane=f"{NOTICE}/{self._company}",
            occurred_at=max((one.at for one in changes), default=UNSTAMPED_AT),
        )

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """See the port. A notice holds no state: what it names is read where it is ours, and what customers owe is
        asked for by the sweep.
        """
        try:
            if is_record(body):
                return sighted(system, body)
            if not self.is_notice(body):
                return super().interpret(system=system, body=body)
            changes = self.changes(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Quarantined(f"A notice of {self._title} cannot be read: {error}.")
        foreign = sorted({one.company for one in changes} - {self._company})
        if foreign and self._only_own:
            return Quarantined(
                f"The notice is of the company {foreign[0]}, and this connection is of {self._company}: give each "
                "company a webhook and a system of its own."
            )
        if unknown := sorted({one.kind for one in changes} - self._kinds):
            return Parked(f"Changes of {unknown[0]!r} are not understood yet.")
        return Interpreted(
            (),
            sightings=tuple(
                Sighting(ref=ExternalRef(system, object_name, one), seen_at=change.at)
                for change in changes
                if change.company == self._company
                for object_name, one in change.records
            ),
        )

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        """See the port. A record that was written here and is not there was deleted."""
        if ref.object_type == RECEIVABLE:
            return super().interpret_object(ref=ref, body=body, read_at=read_at)
        if not body:
            return gone(ref, at=read_at)
        try:
            told = sighted(ref.system, body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Quarantined(f"What {self._title} said of {ref} cannot be read: {error}.")
        return Interpreted((), sightings=tuple(one for one in told.sightings if one.ref == ref))

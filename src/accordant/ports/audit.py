"""The audit trail: what was decided or changed, by whom and why. Written in the transaction of the change."""

from datetime import datetime

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the trail.

    ``kind`` is ``<area>.<entity>.<past participle>``, ``actor`` a person or ``accordant``, ``subject`` what it is
    about,
    ``cause`` the inbox sequence number. ``body`` holds names, versions, digests and rules; personal values stay in
    the sealed or erasable tables it points to.
    """

    kind: str
    actor: str
    subject: str
    cause: int | None
    at: datetime
    body: dict[str, str | int | bool | list[str] | None]

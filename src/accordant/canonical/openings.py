"""Openings: the first write of a record at a system that will own it, and a person's word that it may go.

A release is of one content: when what would be written changes, it has to be given again.
"""

from datetime import datetime

import msgspec

REASON_LENGTH_MAX = 500


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A person let a record be opened. ``record`` is ``target:object/key``, ``content`` the digest of its fields."""

    record: str
    content: str
    actor: str
    reason: str
    released_at: datetime

"""Who acts: persons that proved who they are by a token, and names that somebody only typed.

A typed name carries its mark wherever it is kept or shown, so that nobody later takes it for a proof.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

_MARK = " (unverified)"


class PersonRole(StrEnum):
    """What a person is here for. `governance/access.py` says what each may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A named person with a token. ``id`` is the public part of the token; the secret part is kept as a digest only.

    ``added_by`` is the person, or the unverified name, that handed the token out. ``needs_second``: it opens nothing
    until another person, ``vouched_by``, has said that its holder is who they are said to be.
    """

    id: str
    name: str
    roles: frozenset[PersonRole]
    added_by: str
    added_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    last_used_at: datetime | None = None
    needs_second: bool = False
    vouched_by: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has vouched for them who has to."""
        return self.needs_second and self.vouched_by is None

    def is_held(self, now: datetime) -> bool:
        """Whether the token is theirs at ``now``, whatever it opens."""
        return self.revoked_at is None and now < self.expires_at

    def is_active(self, now: datetime) -> bool:
        """Whether the token opens anything at ``now``."""
        return self.is_held(now) and not self.is_waiting

    def state(self, now: datetime) -> str:
        """active, waiting (for somebody to vouch), expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        if now >= self.expires_at:
            return "expired"
        return "waiting" if self.is_waiting else "active"


def unverified(name: str) -> str:
    """A name that was only typed, with its mark."""
    return name if is_unverified(name) else f"{name.strip()}{_MARK}"


def is_unverified(actor: str) -> bool:
    """Whether nobody proved to be this actor."""
    return actor.endswith(_MARK)


def bare_name(actor: str) -> str:
    """The name without its mark."""
    return actor.removesuffix(_MARK)


def same_person(one: str, other: str) -> bool:
    """Whether two names are meant to be one person: case, spaces and whether it was proved make nobody another."""
    return _folded(one) == _folded(other)


def _folded(actor: str) -> str:
    return "".join(bare_name(actor.strip()).casefold().split())

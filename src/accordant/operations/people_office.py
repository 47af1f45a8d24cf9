"""Tokens for named persons: handed out once, kept as digests, taken back at once; and who stands behind a token.

A token is ``acd_ID_SECRET`` with 256 random bits in its secret, so a plain digest guards it.
Next: `governance/access.py`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from accordant.canonical.people import Person, PersonRole, bare_name, same_person, unverified
from accordant.governance.access import (
    LIFE_OF_BROKEN_GLASS,
    AccessRefused,
    check_admission,
    check_new,
    check_voucher,
    needs_second,
    one_hand,
)
from accordant.kernel.clock import Clock
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry
from accordant.ports.people import PeopleBook

_SECRET_BYTES = 32
_TOKEN = re.compile(r"acd_([0-9a-f]{12})_([A-Za-z0-9_-]{43})\Z")
#: An answer of the store is good for this long: a revoked token opens nothing a second later.
_REMEMBERED = timedelta(milliseconds=500)


class Alarm(Protocol):
    """Tells the company of something that happened."""

    def __call__(self, *, kind: str, subject: str, body: str, now: datetime) -> None:
        """See the class."""
        ...


class PeopleOffice:
    """The people of one hub. ``random_bytes`` gives as many random bytes as it is asked for."""

    def __init__(
        self,
        book: PeopleBook,
        clock: Clock,
        *,
        alarm: Alarm,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._book = book
        self._clock = clock
        self._alarm = alarm
        self._random = random_bytes
        self._known: tuple[datetime, tuple[Person, ...]] | None = None

    def everybody(self) -> tuple[Person, ...]:
        """Every person who ever had a token, newest first; at most half a second old."""
        now = self._clock()
        if self._known is None or not timedelta(0) <= now - self._known[0] < _REMEMBERED:
            self._known = (now, self._book.everybody())
        return self._known[1]

    @property
    def is_configured(self) -> bool:
        """Whether people have tokens here. Once they had, a typed name is never enough again to request or approve."""
        return bool(self.everybody())

    def identify(self, token: str) -> Person:
        """Who a token belongs to. Raises: AccessRefused, the same for every reason."""
        found = _TOKEN.match(token.strip())
        kept = self._book.find(found.group(1)) if found else None
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogatepass")).hexdigest()
        now = self._clock()
        if kept is not None and hmac.compare_digest(given, kept[1]) and kept[0].is_held(now) and kept[0].is_waiting:
            raise AccessRefused(
                f"The token of {kept[0].name} opens nothing yet: nobody has vouched for its holder.",
                remedy=f"Another approver or admin does: accordant people vouch {kept[0].name!r}.",
            )
        if kept is None or not hmac.compare_digest(given, kept[1]) or not kept[0].is_active(now):
            raise AccessRefused(
                "This token opens nothing here: it is wrong, or was revoked, or has run out.",
                remedy="Ask an admin for a new one; accordant people list shows who has one.",
            )
        self._book.used(kept[0].id, at=now)
        return kept[0]

    def holder(self, token_id: str) -> Person | None:
        """The person of a session, as long as the token is active."""
        now = self._clock()
        return next((one for one in self.everybody() if one.id == token_id and one.is_active(now)), None)

    def add(
        self,
        name: str,
        roles: frozenset[PersonRole],
        lasts: timedelta,
        *,
        admin: Person | None,
        actor: str,
        glass: str = "",
    ) -> tuple[Person, str]:
        """A new person, and the token, which is told this once.

        ``admin`` is who proved to be one, ``actor`` the typed name where nobody did; ``glass`` why it goes without.
        Raises: RejectedError, AccessRefused.
        """
        now, held = self._clock(), self._active()
        check_admission(admin=admin, name=name, held=held, glass_broken=bool(glass.strip()), now=now)
        lasts = min(lasts, LIFE_OF_BROKEN_GLASS) if glass.strip() else lasts
        check_new(name, roles, lasts, held=self._held())
        waits = not glass.strip() and needs_second(roles, admin=admin, held=held)
        by = admin.name if admin is not None else unverified(actor)
        number = self._random(6).hex()
        secret = base64.urlsafe_b64encode(self._random(_SECRET_BYTES)).decode().rstrip("=")
        token = f"acd_{number}_{secret}"
        person = Person(
            id=number, name=name.strip(), roles=roles, added_by=by, added_at=now, expires_at=now + lasts,
            needs_second=waits,
        )  # fmt: skip
        named = sorted(role.value for role in roles)
        entry = AuditEntry(
            kind="people.added",
            actor=by,
            subject=f"person/{number}",
            cause=None,
            at=now,
            body={
                "name": person.name,
                "roles": named,
                "expires_at": person.expires_at.isoformat(),
                "glass": glass.strip() or None,
                "needs_second": waits,
            },
        )
        self._book.add(person, digest=hashlib.sha256(token.encode()).hexdigest(), entry=entry)
        self._changed(
            f"{by} gave {person.name} a token as {', '.join(named)}, until {person.expires_at:%Y-%m-%d %H:%M} UTC."
            + (f" The glass was broken: {glass.strip()}" if glass.strip() else "")
            + (" It opens nothing until another approver or admin has vouched for them." if waits else "")
        )
        return person, token

    def revoke(self, who: str, *, admin: Person | None, actor: str, reason: str, glass: str = "") -> Person:
        """Take the token of a person, named by name or id, back. Anybody may give up their own.

        Raises: RejectedError, AccessRefused.
        """
        now, held = self._clock(), self._active()
        person = self._named(who)
        if admin is None or admin.id != person.id:
            check_admission(admin=admin, name="", held=held, glass_broken=bool(glass.strip()), now=now)
        by = admin.name if admin is not None else unverified(actor)
        entry = AuditEntry(
            kind="people.revoked",
            actor=by,
            subject=f"person/{person.id}",
            cause=None,
            at=now,
            body={"name": person.name, "reason": reason.strip() or None, "glass": glass.strip() or None},
        )
        if not self._book.revoke(person.id, by=by, at=now, entry=entry):
            raise RejectedError(f"The token of {person.name} was revoked already.")
        self._changed(f"{by} took the token of {person.name} back.")
        return person

    def vouch(self, who: str, *, voucher: Person) -> Person:
        """Say that a person who has a token is somebody else than who handed it out, so that it opens something.

        Raises: RejectedError, AccessRefused.
        """
        now, person = self._clock(), self._named(who)
        check_voucher(voucher, person, now=now)
        entry = AuditEntry(
            kind="people.vouched",
            actor=voucher.name,
            subject=f"person/{person.id}",
            cause=None,
            at=now,
            body={"name": person.name, "added_by": person.added_by},
        )
        if not self._book.vouch(person.id, by=voucher.name, at=now, entry=entry):
            raise RejectedError(f"Somebody has vouched for {person.name} already.")
        self._changed(f"{voucher.name} vouched for {person.name}, who has a token from {person.added_by}.")
        return msgspec.structs.replace(person, vouched_by=voucher.name)

    def one_hand(self, requester: str, approver: str) -> str | None:
        """Who alone stands behind two named persons, so that they may be one; None where two do, or nobody knows."""
        newest = {bare_name(one.name): one for one in reversed(self.everybody())}
        return one_hand(newest.get(bare_name(requester)), newest.get(bare_name(approver)))

    def tell_one_hand(self, requester: str, approver: str, *, what: str) -> None:
        """Tell the company where one person alone stands behind both: whoever hands out two tokens can hold two."""
        hand = self.one_hand(requester, approver)
        if hand is not None:
            self._alarm(
                kind="people.one_hand",
                subject="One person stands behind a request and its approval",
                body=f"{requester} and {approver} both stand for {what}, and both have their token from {hand} alone. "
                "Let another approver or admin make sure that they are two persons.",
                now=self._clock(),
            )

    def _named(self, who: str) -> Person:
        """The holder of a token, waiting or not. Raises RejectedError."""
        found = next((one for one in self._held() if one.id == who.strip() or same_person(one.name, who)), None)
        if found is None:
            raise RejectedError(
                f"Nobody called {who.strip()[:80]!r} has an active token.", remedy="See accordant people list."
            )
        return found

    def _held(self) -> list[Person]:
        now = self._clock()
        return [one for one in self._book.everybody() if one.is_held(now)]

    def _active(self) -> list[Person]:
        now = self._clock()
        return [one for one in self._book.everybody() if one.is_active(now)]

    def _changed(self, told: str) -> None:
        self._known = None
        self._alarm(kind="people.changed", subject="Tokens of people changed", body=told, now=self._clock())

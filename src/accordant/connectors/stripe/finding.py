"""Finding what is written to Stripe: by our own key in its metadata, by Stripe's id, by e-mail, and all there are.
Guarantees that a record made a moment ago is found: Stripe's search is late, its lists are not, so both are asked.
Next: outbound.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import timedelta

from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe.calls import Calls, segment
from accordant.connectors.stripe.records import checked_metadata_name, read_metadata
from accordant.connectors.stripe.subscriptions import SUBSCRIPTION
from accordant.kernel.clock import Clock, to_micros

#: Clauses of one question: https://docs.stripe.com/search
CLAUSES_MAX = 10
#: So far back new records are listed, since the search may not have them: an hour late is what Stripe admits to.
LISTED_SINCE = timedelta(hours=1)
#: How many pages of new records are looked through, a hundred each.
LISTED_PAGES_MAX = 20
COLLECTIONS = {"customer": "customers", SUBSCRIPTION: "subscriptions"}
_EXPANDED = {SUBSCRIPTION: ("customer",)}


class Finder:
    """Asks one account."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock

    async def by_key(self, kind: str, key_field: str, keys: Collection[str]) -> dict[str, list[JsonObject]]:
        """The objects that carry each key, the oldest first; a key that none carries is absent. Raises as ``read``."""
        wanted = list(dict.fromkeys(key for key in keys if key))
        found: dict[str, dict[str, JsonObject]] = {}

        def take(one: JsonObject) -> None:
            key = read_metadata(one, key_field)
            if key in wanted:
                found.setdefault(key, {})[str(one["id"])] = one

        for part in _parts(wanted, CLAUSES_MAX):
            question = " OR ".join(_clause(checked_metadata_name(key_field), key) for key in part)
            async for one in self._calls.searched(COLLECTIONS[kind], question, expand=_EXPANDED.get(kind, ())):
                take(one)
        if wanted and found.keys() != set(wanted):
            async for one in self._newest(kind):
                take(one)
        return {key: sorted(held.values(), key=_age) for key, held in found.items()}

    async def by_id(self, kind: str, name: str) -> JsonObject | None:
        """One object by Stripe's id; a deleted customer says so of itself. Raises as ``read``."""
        return await self._calls.one(COLLECTIONS[kind], segment(name), expand=_EXPANDED.get(kind, ()))

    async def all(self, kind: str) -> AsyncIterator[JsonObject]:
        """Every object, newest first. Raises as ``read``."""
        async for one in self._calls.listed(COLLECTIONS[kind], _query(kind)):
            yield one

    async def by_person(self, spec: IdentitySpec, keys: Collection[MatchKey]) -> list[JsonObject]:
        """The customers that carry one of our keys or one of these e-mails, in the order of their ids.

        A list compares e-mails letter by letter and a search does not, so both are asked.
        """
        found: dict[str, JsonObject] = {}
        ours = [key.value for key in keys if key.kind is KeyKind.CROSS_REFERENCE]
        for held in (await self.by_key(spec.object, spec.key_field, ours)).values():
            found |= {str(one["id"]): one for one in held}
        mails = sorted({key.value for key in keys if key.kind is KeyKind.EMAIL})
        for mail in mails:
            async for one in self._calls.listed(COLLECTIONS[spec.object], [("email", mail)]):
                found[str(one["id"])] = one
        for part in _parts(mails, CLAUSES_MAX):
            question = " OR ".join(f"email:'{_quoted(mail)}'" for mail in part)
            async for one in self._calls.searched(COLLECTIONS[spec.object], question):
                found[str(one["id"])] = one
        return [found[name] for name in sorted(found)]

    async def _newest(self, kind: str) -> AsyncIterator[JsonObject]:
        since = to_micros(self._clock() - LISTED_SINCE) // 1_000_000
        query = [*_query(kind), ("created[gte]", str(since))]
        async for one in self._calls.listed(COLLECTIONS[kind], query, pages_max=LISTED_PAGES_MAX):
            yield one


def candidate_of(spec: IdentitySpec, held: JsonObject) -> Candidate:
    """A customer as far as it tells whose it is."""
    address = held.get("address")
    place = address if isinstance(address, dict) else {}
    mail, phone, key = _text(held.get("email")), _text(held.get("phone")), read_metadata(held, spec.key_field)
    return Candidate(
        system=spec.system,
        object=spec.object,
        id=str(held["id"]),
        name=_text(held.get("name")),
        emails=() if mail is None else (mail,),
        domains=() if mail is None or "@" not in mail else (mail.rpartition("@")[2],),
        cross_references=() if key is None else (key,),
        phones=() if phone is None else (phone,),
        postcode=_text(place.get("postal_code")),
        country=_text(place.get("country")),
    )


def _query(kind: str) -> list[tuple[str, str]]:
    expanded = [("expand[]", f"data.{field}") for field in _EXPANDED.get(kind, ())]
    # Stripe leaves ended subscriptions out of a list otherwise.
    return [("status", "all"), *expanded] if kind == SUBSCRIPTION else expanded


def _clause(name: str, value: str) -> str:
    return f"metadata['{name}']:'{_quoted(value)}'"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _age(held: JsonObject) -> tuple[int, str]:
    created = held.get("created")
    return created if isinstance(created, int) else 0, str(held["id"])


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))

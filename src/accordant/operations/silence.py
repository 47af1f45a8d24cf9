"""Dead-man alarms: has a type of event stopped being delivered? The provider is asked before anybody is woken.

A pause longer than usual (learned, or fixed in the charter) is only a suspicion; an alarm needs events on the list of
the provider that never came by delivery. It ends when one comes again.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec

from accordant.operations.reconcile import off_loop
from accordant.ports.connector import EventLister, Inbound
from accordant.ports.missed import HeardEvent, Rhythm, RhythmBook

#: Deliveries closer together than this are one burst; what matters is the pause between bursts.
BURST = timedelta(minutes=5)
GAPS_KEPT = 200
#: Fewer pauses than this teach nothing.
GAPS_MIN = 10
#: A pause is suspicious when it is this many times the longest that is usual (99 of 100 are shorter).
FACTOR = 3
#: The shortest pause that is ever suspicious, and how long a delivery may be on its way: providers try again.
PATIENCE = timedelta(hours=1)
_READ_AT_ONCE = 5_000
_ASKED_AGO_MAX = timedelta(days=3)


class SilenceRound(msgspec.Struct, frozen=True, kw_only=True):
    """What one look came to, as names of types. ``suspected`` were asked about; of ``quiet`` ones nothing is lost."""

    suspected: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()


class Ear(msgspec.Struct, frozen=True, kw_only=True):
    """One system that is listened to. ``delivered`` are the types it sends by itself: of another, which is only ever
    fetched, silence says nothing. ``fixed`` are pauses that the charter sets, type -> seconds.

    ``listening_since`` is when this process came up: what was said before could not be delivered to it.
    """

    system: str
    lister: EventLister
    inbound: Inbound
    delivered: Collection[str]
    fixed: Mapping[str, int]
    listening_since: datetime


async def listen_for_silence(ear: Ear, *, book: RhythmBook, now: datetime) -> SilenceRound:
    """Take up what arrived since the last look, then ask about every type that is quiet for longer than usual.

    Raises RateLimited, TargetUnavailable, AuthorizationExpired when the provider cannot be asked: nobody is woken then.
    """
    heard = await off_loop(partial(_take_up, ear.system, book))
    closed = [name for name in heard if await off_loop(partial(_cure, ear.system, heard[name], book, now))]
    rhythms = await off_loop(partial(book.rhythms, ear.system))
    open_ = [one for one in rhythms.values() if one.event_type in ear.delivered and one.alarmed_at is None]
    suspected = [one for one in open_ if is_suspicious(one, ear.fixed, now)]
    opened, quiet = [], []
    for one in sorted(suspected, key=lambda rhythm: rhythm.event_type):
        lost = await _undelivered(ear, one, book, now)
        if not lost:
            quiet.append(one.event_type)
        elif await off_loop(partial(book.open, ear.system, one, told=_told(ear, one, lost), now=now)):
            opened.append(one.event_type)
    return SilenceRound(
        suspected=tuple(sorted(one.event_type for one in suspected)),
        quiet=tuple(quiet),
        opened=tuple(opened),
        closed=tuple(closed),
    )


def usual_pause(rhythm: Rhythm) -> timedelta | None:
    """The longest pause that is usual: 99 of 100 were not longer. None while too little was heard."""
    if len(rhythm.gaps) < GAPS_MIN:
        return None
    ordered = sorted(rhythm.gaps)
    return timedelta(seconds=ordered[(len(ordered) - 1) * 99 // 100])


def is_suspicious(rhythm: Rhythm, fixed: Mapping[str, int], now: datetime) -> bool:
    """Whether the provider should be asked: quiet for too long, or fetched lately without having been delivered."""
    heard_at, fetched_at = rhythm.heard_at, rhythm.fetched_at
    if fetched_at is not None and (heard_at is None or fetched_at > heard_at) and now - fetched_at >= PATIENCE:
        return True
    if heard_at is None:
        return False
    if rhythm.event_type in fixed:
        return now - heard_at > timedelta(seconds=fixed[rhythm.event_type])
    usual = usual_pause(rhythm)
    return usual is not None and now - heard_at > max(PATIENCE, usual * FACTOR)


def with_heard(rhythm: Rhythm, events: Sequence[HeardEvent]) -> Rhythm:
    """The rhythm with these events of its type, in any order; what had to be fetched is no delivery."""
    moments = sorted(one.occurred_at for one in events if not one.was_fetched)
    fetched = max((one.occurred_at for one in events if one.was_fetched), default=rhythm.fetched_at)
    heard_at, gaps = rhythm.heard_at, list(rhythm.gaps)
    for moment in moments:
        if heard_at is not None and moment - heard_at >= BURST:
            gaps.append((moment - heard_at) // timedelta(seconds=1))
        heard_at = moment if heard_at is None else max(heard_at, moment)
    latest = max(fetched, rhythm.fetched_at) if fetched and rhythm.fetched_at else fetched
    return msgspec.structs.replace(rhythm, heard_at=heard_at, fetched_at=latest, gaps=tuple(gaps[-GAPS_KEPT:]))


def told_of_silence(system: str, found: SilenceRound) -> str:
    """What a look came to, in a sentence or two."""
    if found.opened:
        told = f"{system}: not delivered any more: {', '.join(found.opened)}."
    elif found.suspected:
        told = f"{system}: {len(found.suspected):,} types are quiet for longer than usual, and nothing of them is lost."
    else:
        told = f"{system}: every type comes as usual."
    return told + (f" Delivered again: {', '.join(found.closed)}." if found.closed else "")


def _take_up(system: str, book: RhythmBook) -> dict[str, Rhythm]:
    """The rhythms of the types that were heard since the last look."""
    changed: dict[str, Rhythm] = {}
    while True:
        events, reached = book.unread(system, limit=_READ_AT_ONCE)
        if not events:
            return changed
        rhythms = book.rhythms(system)
        by_type: dict[str, list[HeardEvent]] = {}
        for one in events:
            by_type.setdefault(one.event_type, []).append(one)
        now_known = {
            name: with_heard(rhythms.get(name, Rhythm(event_type=name)), of_type) for name, of_type in by_type.items()
        }
        book.keep(system, tuple(now_known.values()), read_up_to=reached)
        changed.update(now_known)


def _cure(system: str, rhythm: Rhythm, book: RhythmBook, now: datetime) -> bool:
    """A delivery that happened after the alarm ends it; a late one of before proves nothing."""
    if rhythm.alarmed_at is None or rhythm.heard_at is None or rhythm.heard_at <= rhythm.alarmed_at:
        return False
    silent = (now - rhythm.alarmed_at) / timedelta(hours=1)
    told = f"It came by delivery again, {silent:,.1f} hours after the alarm."
    return book.close(system, rhythm.event_type, told=told, now=now)


async def _undelivered(ear: Ear, rhythm: Rhythm, book: RhythmBook, now: datetime) -> list[datetime]:
    """When the events of this type happened that the provider lists and never delivered, while we could hear."""
    since = max(rhythm.heard_at or ear.listening_since, ear.listening_since, now - _ASKED_AGO_MAX)
    until = now - PATIENCE
    if since >= until:
        return []
    moments: dict[str, datetime] = {}
    async for page in ear.lister.events(since=since, until=until, event_type=rhythm.event_type):
        for body in page:
            told = ear.inbound.read_envelope(body)
            moments[told.external_id] = told.occurred_at
        break  # the newest page is proof enough
    delivered = await off_loop(partial(book.delivered, ear.system, moments))
    return sorted(moment for name, moment in moments.items() if name not in delivered)


def _told(ear: Ear, rhythm: Rhythm, lost: Sequence[datetime]) -> str:
    if rhythm.heard_at is None:
        before = "None of this type was ever delivered"
    else:
        before = f"The last one that was delivered happened at {rhythm.heard_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"{before}; {ear.system} itself lists {len(lost):,} since, the first of {lost[0]:%Y-%m-%d %H:%M} UTC. They are "
        "fetched by the sweep, later than they should. Is the endpoint enabled, and does it ask for this type? "
        "`accordant check` compares."
    )

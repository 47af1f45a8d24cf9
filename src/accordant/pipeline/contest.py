"""Between reading and writing one record: which fields go out, which are somebody else's for now, and why.

A field is contested where the target holds neither what we last confirmed nor what we want. The courier and
reconciliation both ask here, so that a conflict is one thing however it was met. Next: `pipeline/deliver.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from accordant.canonical.charter import Charter, FlowPart, MappingPart, Winner
from accordant.canonical.conflicts import (
    Claim,
    Conflict,
    ConflictRule,
    Contested,
    FieldMark,
    Ruling,
    Side,
    Stand,
    StandEffect,
    conflict_of,
    stand_of,
)
from accordant.canonical.documents import DocumentState
from accordant.canonical.intents import WireValue
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.red_flags import RedFlag
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import facts_read
from accordant.canonical.targets import CurrentRecord
from accordant.governance.conflict import WinnerRule, is_contested, rule_on
from accordant.governance.loop_breaker import tripped
from accordant.governance.red_flags import unsourced_change
from accordant.kernel.hashing import fingerprint
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import FieldsKnown, Found
from accordant.ports.flags import flag_entry

#: Values in the target's own spelling.
Respell = Callable[[Mapping[str, WireValue]], Mapping[str, WireValue]]


class Umpire(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known of a flow to rule on a conflict: whose values it carries, and who wins.

    ``flags_changes``: money that changed at the target in nobody's name is a red flag besides; ``own_user`` is who the
    hub is there.
    """

    source: str
    rule: WinnerRule
    flags_changes: bool = False
    own_user: str | None = None


#: What a document says of itself that somebody took back: what else of it differs then is told by that alone.
_TAKEN_BACK = DocumentState.CANCELLED.value
#: Facts of a document that its target can be told after it was posted: what it pays or cancels.
_TOLD_LATER = frozenset({"settles", "reverses"})


def umpire_of(charter: Charter, flow: FlowPart, mapping: MappingPart, *, financial: frozenset[str]) -> Umpire:
    """Who rules on the conflicts of a flow; ``financial`` are the fields in which its source wins always."""
    winner = next((part.winner for part in charter.ownership if part.entity == flow.entity), Winner.SYSTEM_OF_RECORD)
    part = charter.red_flags
    return Umpire(
        source=flow.source,
        rule=WinnerRule(winner=winner, financial=financial, posted=_posted_fields(flow, mapping)),
        flags_changes=RedFlagKind.UNSOURCED_CHANGE in part.stop_on,
        own_user=part.own_users.get(flow.target),
    )


def _posted_fields(flow: FlowPart, mapping: MappingPart) -> frozenset[str]:
    if flow.entity is not EntityKind.LEDGER_DOCUMENT:
        return frozenset()
    return frozenset(name for name, part in mapping.fields.items() if not _TOLD_LATER.issuperset(facts_read(part)))


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is not written now, and the sentence that says why; kept, or held until a person decides."""

    field: str
    sentence: str
    is_kept: bool


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """``write`` are the differing fields that go out, ``contested`` the conflicts met now, in the order of names."""

    write: dict[str, WireValue]
    aside: tuple[SetAside, ...] = ()
    contested: tuple[Contested, ...] = ()


NO_CONTEST = Contest(write={})


class Parties(msgspec.Struct, frozen=True, kw_only=True):
    """The two systems, with what is known of when and by which event the owner's record came to be."""

    source: str
    target: str
    said_at: datetime | None = None
    seq: int | None = None
    #: Fields the owner changed in the revision that ``said_at`` is of: only for these it is the time of the change.
    changed: frozenset[str] = frozenset()


def contest(
    *,
    desired: Mapping[str, WireValue],
    raw: Mapping[str, WireValue],
    held: CurrentRecord,
    known: FieldsKnown,
    respell: Respell,
    rule: WinnerRule,
    parties: Parties,
    now: datetime,
) -> Contest:
    """Sift the fields in which a record differs from what is desired.

    ``desired`` is in the target's own spelling, ``raw`` is the same as the desk spelled it.
    """
    write: dict[str, WireValue] = {}
    aside: list[SetAside] = []
    found: list[Contested] = []
    differing = sorted(name for name, value in desired.items() if held.fields.get(name) != value)
    # Only of these is anything to be known, and mostly they are few of a record's fields.
    confirmed = respell({name: known.marks[name].value for name in differing if name in known.marks})
    tried = [respell({name: values[name] for name in differing if name in values}) for values in known.tried]
    taken_back = [name for name in differing if name in rule.posted and held.fields.get(name) == _TAKEN_BACK]
    for name in taken_back or differing:
        value, there = desired[name], held.fields.get(name)
        stand, mark = known.stands.get(name), known.marks.get(name)
        if stand is not None and _is_set_aside(stand, raw[name]):
            aside.append(SetAside(field=name, sentence=stand.sentence, is_kept=stand.effect is StandEffect.KEEP))
            continue
        # What an earlier try of ours may have left there is nobody's edit.
        ours = any(name in values and values[name] == there for values in tried)
        if mark is not None and not ours and not _is_cleared(stand, raw[name], there):
            owner = _owner_claim(name, value, raw[name], stand, parties)
            one = _contested(
                name, owner, confirmed.get(name), held, mark, stand=stand, rule=rule, parties=parties, now=now
            )
            if one is not None:
                found.append(one)
                if one.ruling.winner is not Side.OWNER:
                    is_kept = one.ruling.winner is Side.TARGET
                    aside.append(SetAside(field=name, sentence=one.ruling.sentence, is_kept=is_kept))
                    continue
        write[name] = value
    stopped = next((one for one in aside if one.field in rule.posted and not one.is_kept), None)
    if stopped is not None:
        # Of a document that somebody changed nothing is written until he has decided.
        rest = [name for name in differing if name not in {one.field for one in aside}]
        aside += [SetAside(field=name, sentence=stopped.sentence, is_kept=False) for name in rest]
        write = {}
    return Contest(write=write, aside=tuple(aside), contested=tuple(found))


def _is_set_aside(stand: Stand, raw: WireValue) -> bool:
    """A hold holds whatever the owner says; what is kept stands only against the value it was kept against."""
    if stand.effect is StandEffect.KEEP:
        return raw == stand.against and raw != stand.value
    return stand.effect is StandEffect.HOLD


def _is_cleared(stand: Stand | None, raw: WireValue, there: WireValue) -> bool:
    """Whether a person said that this value of the owner goes over this value of the target."""
    return stand is not None and stand.effect is StandEffect.WRITE and (raw, there) == (stand.against, stand.value)


def _owner_claim(name: str, value: WireValue, raw: WireValue, stand: Stand | None, parties: Parties) -> Claim:
    if stand is not None and stand.effect is StandEffect.KEEP and raw == stand.value:
        return Claim(field=name, value=value, system=parties.source, at=stand.since_at, by=stand.by)
    if name not in parties.changed:
        # The event behind the intent told of other things: it is neither the origin of this value nor dates it.
        return Claim(field=name, value=value, system=parties.source)
    return Claim(field=name, value=value, system=parties.source, at=parties.said_at, seq=parties.seq)


def _contested(
    name: str,
    owner: Claim,
    confirmed: WireValue,
    held: CurrentRecord,
    mark: FieldMark,
    *,
    stand: Stand | None,
    rule: WinnerRule,
    parties: Parties,
    now: datetime,
) -> Contested | None:
    there = held.fields.get(name)
    target = Claim(field=name, value=there, system=parties.target, at=held.changed_at, by=held.changed_by)
    released_at = stand.since_at if stand is not None and stand.effect is StandEffect.RELEASE else None
    trip = tripped(mark, held=there, value=owner.value, now=now, said_at=parties.said_at, released_at=released_at)
    if trip is not None:
        ruling = Ruling(rule=ConflictRule.LOOP, winner=None, sentence=trip.sentence(name, parties.target))
    elif is_contested(there, owner.value, confirmed=confirmed):
        ruling = rule_on(rule, name, owner=owner, target=target, mark=mark, unchanged=owner.value == confirmed)
    else:
        return None
    return Contested(
        field=name,
        owner=owner,
        target=target,
        against=stand.against if owner.by is not None and stand is not None else None,
        confirmed=mark.value,
        confirmed_at=mark.at,
        revision=mark.revision,
        ruling=ruling,
    )


def found_of(
    contested: Sequence[Contested],
    *,
    record: str,
    flow: str,
    target_id: str,
    account_id: str,
    raw: Mapping[str, WireValue],
    cause: int | None,
    found_at: datetime,
    found_by: str,
    umpire: Umpire,
    known: FieldsKnown,
) -> tuple[Found, ...]:
    """Conflicts as they are kept, each with its stand and its line in the trail, and the red flag that it may be."""
    found = []
    for one in contested:
        # Where a person's value was contested, the owner's own value is still what it stands against.
        against = raw[one.field] if one.owner.by is None else one.against
        conflict = conflict_of(
            one,
            record=record,
            flow=flow,
            target_id=target_id,
            account_id=account_id,
            found_at=found_at,
            found_by=found_by,
        )
        flag = _flag(conflict, umpire, known, cause)
        found.append(
            Found(
                conflict=conflict,
                stand=stand_of(conflict, against=against),
                entry=_entry(conflict, cause),
                flag=flag,
                flagged=None if flag is None else flag_entry(flag),
            )
        )
    return tuple(found)


def _flag(conflict: Conflict, umpire: Umpire, known: FieldsKnown, cause: int | None) -> RedFlag | None:
    if not umpire.flags_changes:
        return None
    mark = known.marks.get(conflict.contested.field)
    return unsourced_change(
        conflict.contested,
        known=() if mark is None else (mark.value, *(turn.value for turn in mark.turns)),
        financial=umpire.rule.financial,
        own_user=umpire.own_user,
        record=conflict.record,
        target_id=conflict.target_id,
        flow=conflict.flow,
        account_id=conflict.account_id,
        seq=cause,
        now=conflict.found_at,
    )


def _entry(conflict: Conflict, cause: int | None) -> AuditEntry:
    """The line of the trail: which rule let which side win. The values are in the conflict, here are their digests."""
    contested = conflict.contested
    return AuditEntry(
        kind="archive.conflict.opened" if contested.ruling.winner is None else "archive.conflict.ruled",
        actor="accordant",
        subject=conflict.record,
        cause=cause,
        at=conflict.found_at,
        body={
            "conflict": conflict.id,
            "field": contested.field,
            "rule": contested.ruling.rule.value,
            "winner": None if contested.ruling.winner is None else contested.ruling.winner.value,
            "owner": fingerprint(contested.owner.value),
            "target": fingerprint(contested.target.value),
            "found_by": conflict.found_by,
        },
    )

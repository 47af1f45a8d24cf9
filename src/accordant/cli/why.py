"""`why` and `blame`: where one value comes from, change by change, and every field with its origin beside it."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.canonical.charter import Charter
from accordant.cli.look import NothingFound, tell_record
from accordant.cli.options import COMMON, AudienceOption, Common, charter_in_force, opened_hub, opened_store
from accordant.cli.render import emit, field_text, say, shown, table
from accordant.governance.sensitivity import LEAST, lens
from accordant.kernel.errors import ConfigurationError
from accordant.kernel.money import Money

if TYPE_CHECKING:
    from accordant.operations.find_document import DocumentFound
    from accordant.views.about import Told, TrailLine
    from accordant.views.blame import Origin
    from accordant.views.book_trail import BookTrail
    from accordant.views.elsewhere import Elsewhere
    from accordant.views.why import Why

Reference = Annotated[str, Parameter(help="system:object/id, by our key or by the system's own id.")]


def why(
    reference: Annotated[str, Parameter(help="system:object/id#field, by our key or by the system's own id.")],
    /,
    *,
    audience: AudienceOption = LEAST,
    common: Common = COMMON,
) -> int:
    """Why a field of a target record holds what it holds: each change, newest first, with its event and its rules.

    Of a deal, a contract or a bill also its entries in the books; of an entry, or of a line of the ERP's own journal,
    the provider's event, the bill, the contract and the opportunity. For such a line the ERP is asked whose it is.
    """
    from accordant.views.elsewhere import elsewhere
    from accordant.views.lookup import record_of_entry
    from accordant.views.masked import masked
    from accordant.views.why import why as read_why

    ref, _, field = reference.partition("#")
    told = None
    with opened_store(common) as database:
        charter = charter_in_force(database)
        seen = lens(charter, audience)
        whole = read_why(database, ref, field or None)
        if whole is None and (asked := _ask_its_system(common, charter, ref)) is not None:
            told = asked.told
            own = asked.key and record_of_entry(database, ref.partition(":")[0], asked.key)
            whole = read_why(database, own, field or None) if own else None
        found = masked(whole, seen)
        known = masked(elsewhere(database, ref), seen) if found is None else None
    if found is None and known is None:
        raise NothingFound(
            f"No record is called {ref!r}.",
            remedy="Write it as system:object/id, for example crm:Account/001...",
        )
    if found is not None and field and all(pair.field != field for pair in found.record.fields):
        names = ", ".join(pair.field for pair in found.record.fields)
        raise NothingFound(f"{ref} has no field {field!r} that a flow keeps.", remedy=f"Its fields are: {names}.")
    if common.json:
        emit(found or known)
    elif found is not None:
        _tell_field(found, field) if field else _tell_whole(found)
    elif known is not None:
        _tell_elsewhere(known)
        if told is not None:
            say(told)
    return 0


def _ask_its_system(common: Common, charter: Charter | None, ref: str) -> "DocumentFound | None":
    """What an ERP says of a record of its own; None for a record of anything else, of which nobody is asked."""
    from accordant.charters import connector_facts
    from accordant.governance.check_ownership import categories_of
    from accordant.governance.findings import Category
    from accordant.operations.find_document import DocumentFound

    system = ref.partition(":")[0].strip()
    if charter is None or categories_of(charter, connector_facts()).get(system) is not Category.ERP:
        return None
    try:
        return asyncio.run(_asked(common, ref))
    except ConfigurationError as error:
        return DocumentFound(key=None, told=f"{system} was not asked: {error}")


async def _asked(common: Common, ref: str) -> "DocumentFound | None":
    from accordant.operations.find_document import find_document

    async with opened_hub(common) as hub:
        return await find_document(ref, outbounds=hub.outbounds)


def _tell_field(found: "Why", field: str) -> None:
    from accordant.views.why import held_value

    held, is_known = held_value(found.record, field)
    desired = next(pair.desired for pair in found.record.fields if pair.field == field)
    say(
        f"{found.record.ref}#{field}",
        f"It should be {field_text(desired)}; it was last seen as {field_text(held) if is_known else 'nothing yet'}.",
        *found.record.notes,
    )
    table(
        "Its changes, newest first",
        ("When", "From", "To", "Because of", "Rules", "State"),
        (
            (
                hop.received_at or hop.write.intent.planned_at,
                field_text(hop.change.before),
                field_text(hop.change.after),
                f"event {hop.seq}, {hop.event_type}" if hop.seq is not None else "a repair or a new charter",
                ", ".join(rule.rule for rule in hop.write.decision.reasons),
                f"{hop.write.state}: {hop.write.reason}" if hop.write.reason else hop.write.state,
            )
            for hop in found.hops
        ),
    )
    if not found.hops:
        say("No write of the hub ever changed this field: it was there before, or somebody else set it.")
    _tell_beside(found.silent, found.trail)


def _tell_whole(found: "Why") -> None:
    tell_record(found)
    _tell_books(found.books)
    _tell_beside(found.silent, found.trail)


def _tell_books(books: "tuple[BookTrail, ...]") -> None:
    """Each entry with its lines and both ends: what it comes from, and what the ERP made of it."""
    for one in books:
        entry = one.entry
        table(
            f"{entry.text} ({entry.legal_entity}, {entry.posted_on}), entry {entry.id}",
            ("Account", "Amount", "For", "Party"),
            (
                (
                    line.account,
                    shown(Money(line.debit_minor - line.credit_minor, entry.currency)),
                    "" if line.role is None else line.role.value.replace("_", " "),
                    line.party or "",
                )
                for line in entry.postings
            ),
            right=("Amount",),
            whole=("Account",),
        )
        bill = one.bill or entry.cause.subject
        comes_from = [
            f"event {one.seq}, {one.event_type} {one.event} of {one.connection}" if one.event else "",
            f"{bill} ({one.number})" if one.number else bill,
            one.subscription or "",
            one.opportunity or "",
        ]
        say(f"Because of {' - '.join(filter(None, comes_from))}.")
        for sent in one.sent:
            say(f"{sent.target} {sent.object}: {sent.state.value}" + (f", {sent.target_id}" if sent.target_id else ""))


def _tell_beside(silent: "tuple[Told, ...]", trail: "tuple[TrailLine, ...]") -> None:
    table(
        "Events that changed nothing here",
        ("Event", "What", "Object", "Outcome", "Why"),
        ((one.seq, one.event_type, one.ref, one.outcome, one.reason or "") for one in silent),
        right=("Event",),
    )
    table(
        "Decided about it",
        ("When", "What", "By"),
        ((line.at, line.kind, line.actor) for line in trail),
    )


def _tell_elsewhere(known: "Elsewhere") -> None:
    say(known.ref, *known.says)
    table(
        "What events said of it",
        ("Event", "What", "Received", "Outcome", "Version", "Why"),
        (
            (one.seq, one.event_type, one.received_at, one.outcome, one.version, one.reason or "")
            for one in known.events
        ),
        right=("Event", "Version"),
    )
    _tell_books(known.books)
    _tell_beside((), known.trail)


def blame(
    reference: Reference,
    /,
    *,
    audience: AudienceOption = LEAST,
    common: Common = COMMON,
) -> int:
    """Every field of a target record with its origin beside it: the event, the rules and the time that set it."""
    from accordant.views.blame import blame as read_blame
    from accordant.views.masked import masked

    with opened_store(common) as database:
        found = masked(read_blame(database, reference), lens(charter_in_force(database), audience))
    if found is None:
        raise NothingFound(
            f"No flow keeps a record called {reference!r}.",
            remedy=f"For an object of its owner ask: accordant why {reference}",
        )
    if common.json:
        emit(found)
        return 0
    record = found.record
    say(f"{record.ref}, flow {record.flow}, revision {record.revision}", *record.notes)
    table(
        "Fields and where they come from",
        ("Field", "Should be", "Because of", "When", "Rules", "State"),
        ((line.pair.field, field_text(line.pair.desired), *_origin(line.origin)) for line in found.fields),
    )
    if not found.complete:
        say(f"The latest {shown(found.looked_at)} revisions were looked through.")
    return 0


def _origin(origin: "Origin | None") -> tuple[object, object, object, object]:
    if origin is None:
        return "never changed by the hub", "", "", ""
    because = f"event {origin.seq}, {origin.event_type}" if origin.seq is not None else "a repair or a new charter"
    return because, origin.planned_at, ", ".join(origin.rules), origin.state

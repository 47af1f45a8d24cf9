"""How figures, times, values and states are said to people; nothing here decides.

Unknown is said as "unknown", money carries its currency, a time is relative with its exact UTC instant beside it.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime

from markupsafe import Markup, escape

from accordant.canonical.intents import (
    AlreadyApplied,
    Applied,
    Compared,
    Refused,
    Uncertain,
    WriteOutcome,
    Yielded,
)
from accordant.kernel.money import Money

UNKNOWN = "unknown"
_MINUS = "\N{MINUS SIGN}"

INTENT_STATES = {
    "pending": "waiting to be sent",
    "leased": "being sent",
    "uncertain": "outcome unknown",
    "applied": "written",
    "already_applied": "already there",
    "shadowed": "compared only",
    "held": "held",
    "superseded": "replaced by a newer one",
    "cancelled": "cancelled",
    "dead": "dead letter",
}
EVENT_STATES = {
    "received": "waiting",
    "awaiting_reread": "asking its owner",
    "awaiting_root": "waiting for what it belongs to",
    "echo": "our own write, told back",
    "edited": "changed by hand where it was written",
    "foreign": "told by a system that does not own it",
    "processed": "processed",
    "parked": "not understood yet",
    "quarantined": "unusable",
    "dead": "set aside",
}
ACCOUNT_STATES = {
    "unpaid": "Unpaid",
    "past_due": "Past due",
    "active": "Pays",
    "cancelling": "Cancelling",
    "trialing": "On trial",
    "paused": "Paused",
    "incomplete": "First payment open",
    "churned": "Churned",
    "one_time": "Paid once",
    "prospect": "Never paid",
}
MOVEMENTS = {
    "new": "New",
    "expansion": "Expansion",
    "contraction": "Contraction",
    "churn": "Churn",
    "reactivation": "Back again",
}
PHASES = {
    "draft": "Draft",
    "read_only": "Read-only",
    "controlled": "Controlled",
    "automated": "Automated",
}
AUTOMATIONS = {
    "record_sync": "nothing",
    "renewals": "renewals",
    "support_enrichment": "support enrichment",
    "finance_notifications": "finance notifications",
    "customer_facing": "contact with customers",
    "money_moving": "movements of money",
}
EVIDENCE = {
    "connectors": "Connectors are proved",
    "wish": "The charter wishes it",
    "lint": "The charter has no defect",
    "object-map": "Fields are mapped",
    "winner": "An owner and a winner",
    "events": "Events understood",
    "event-types": "Every kind of event seen",
    "stuck-events": "No event is stuck",
    "traces": "Writes followed to the end",
    "untraceable": "Every change has a cause",
    "payouts": "Payouts followed, paid and blocked",
    "key-reuse": "No key used twice",
    "reconciled": "Compared daily, clean",
    "source-reconciled": "Agrees with its source",
    "compared": "Records compared",
    "written": "Writes confirmed",
    "exceptions": "Nothing waits for a person",
    "one-class": "One class at a time",
}
METHODS = {
    "none": "none on file",
    "on_file": "on file",
    "expiring": "expires soon",
    "expired": "has expired",
    "failing": "the latest charge failed",
}
EFFECTS = {"allow": "may be written", "shadow": "compare only", "hold": "held", "refuse": "refused"}
OBSERVED = {
    "advanced": "became the new state",
    "unchanged": "said what was known already",
    "superseded": "was older than what was known",
    "tie": "could not be ordered; its owner was asked",
    "echo": "was our own write, told back",
    "foreign": "came from a system that does not own it",
    "edited": "was changed by hand where it was written",
}
CONFLICT_STATES = {
    "open": "waits for a person",
    "ruled": "a rule decided",
    "decided": "a person decided",
    "lapsed": "over",
}
CONFLICT_RULES = {
    "system_of_record": "system of record",
    "financial": "billing wins always",
    "latest": "the later value",
    "person": "a person decides",
    "loop": "loop breaker",
    "posted": "what is posted stays",
}
CONFLICT_CHOICES = {
    "owner": "Write the owner’s value",
    "target": "Keep the target’s value",
    "release": "Let it be written again",
}
_TONES = {
    "good": ("applied", "already_applied", "processed", "active", "on_file", "advanced", "allow", "decided",
             "new", "expansion", "reactivation"),
    "warn": ("uncertain", "held", "parked", "awaiting_reread", "past_due", "cancelling", "paused", "incomplete",
             "expiring", "tie", "hold", "twin", "conflict", "open", "contraction"),
    "bad": ("dead", "quarantined", "unpaid", "expired", "failing", "refuse", "dead_event", "parked_lane",
            "late", "drift", "orphan", "red_flag", "churn"),
}  # fmt: skip
_TONE_OF = {state: tone for tone, states in _TONES.items() for state in states}


def count(number: int) -> str:
    """A count with thousands separators."""
    return f"{number:,}".replace("-", _MINUS)


def money(amount: Money) -> str:
    """An amount with its currency, and a true minus."""
    return str(amount).replace("-", _MINUS)


def minor(amount_minor: int, currency: str) -> str:
    """Minor units with their currency, as ``money``."""
    return money(Money(amount_minor, currency))


def moneys(amounts: Iterable[Money]) -> str:
    """Amounts of several currencies, none summed over currencies; nothing at all is a plain zero."""
    return " + ".join(money(amount) for amount in amounts) or "0"


def figure(fact: object) -> str:
    """A fact in words."""
    match fact:
        case None:
            return "none"
        case Money():
            return money(fact)
        case bool():
            return "yes" if fact else "no"
        case int():
            return count(fact)
        case datetime():
            return exact(fact)
        case date():
            return day(fact)
        case _:
            return str(fact)


def wire(value: object, *, known: bool = True) -> str:
    """A value of a target field; empty text and an empty field are told apart from an unknown one."""
    if not known:
        return UNKNOWN
    match value:
        case None | "":
            return "empty"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def percent(part: int, whole: int) -> str:
    """A share; never rounded up to a whole that it is not."""
    if whole == 0:
        return UNKNOWN
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02d}%" if part != whole else "100%"


def day(on: date) -> str:
    """A day: 14 March 2026."""
    return f"{on.day} {on:%B} {on.year}"


def exact(at: datetime) -> str:
    """An instant to the millisecond, in UTC."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d} UTC"


def span(seconds: float | None) -> str:
    """A duration in the largest unit that fits: 40 ms, 3.2 s, 5 min, 3 h, 2 days."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.0005:
        return "under 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 129_600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:,.0f} days"


def relative(at: datetime, now: datetime) -> str:
    """How long ago, or how soon, in words."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    size = span(abs(seconds)) if abs(seconds) >= 60 else f"{abs(seconds):.0f} s"
    return f"{size} ago" if seconds > 0 else f"in {size}"


def clock_time(at: datetime | None, now: datetime) -> Markup:
    """A relative time with the exact instant in its title and in the HTML."""
    if at is None:
        return Markup("<span>unknown</span>")
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(utc.isoformat(), exact(at), relative(at, now))


def tone(state: object) -> str:
    """The colour a state is shown in: good, warn, bad or calm. The word is always there as well."""
    return _TONE_OF.get(str(state), "calm")


def event_name(event_type: str) -> str:
    """``invoice.payment_failed`` -> Invoice payment failed."""
    text = re.sub(r"[._]+", " ", event_type).strip()
    return text[:1].upper() + text[1:]


def overdue(bucket: str) -> str:
    """A bucket of the aging: 1-30 -> 1-30 days."""
    return "not due" if bucket == "current" else f"{bucket} days"


def coded(text: str) -> Markup:
    """A sentence whose commands stand between backticks, as they are written everywhere, with these set apart."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one that nothing closes
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def plain_minor(amount_minor: int, currency: str) -> str:
    """Minor units as ``money``, without the currency: for a column that names it once."""
    return minor(amount_minor, currency).rpartition(" ")[0]


def plural(number: int, one: str, many: str = "") -> str:
    """``1 write``, ``1,204 writes``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def outcome_sentence(outcome: WriteOutcome) -> str:
    """What the target answered, in a sentence."""
    match outcome:
        case Applied(created=created, target_id=target_id):
            return f"{'Created' if created else 'Updated'} record {target_id}."
        case AlreadyApplied(probed=probed):
            held = "The target held every value already; nothing was sent."
            return f"{held} An earlier try, whose answer was lost, had arrived." if probed else held
        case Refused(message=message, code=code):
            said = message if "refused" in message.lower() else f"Refused: {message}"
            return f"{said} (the target's code: {code})"
        case Uncertain(reason=reason):
            return f"No answer came: {reason} The record is read before anything is sent again."
        case Compared(differing=differing):
            if not differing:
                return "Compared only: the target holds every value already."
            return f"Compared only, nothing was sent: {plural(len(differing), 'field')} would change."
        case Yielded(fields=fields):
            return f"Nothing was sent: {', '.join(fields)} stays as the target has it, see the conflict."


#: A cell that begins with one of these, spaces aside, is run by one spreadsheet or another.
_FORMULA_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def csv_cell(value: object) -> str:
    """One cell of a CSV file: what a spreadsheet would run as a formula is made plain text, numbers stay numbers."""
    if value is None:
        return ""
    # What is taken out goes before anything is looked at, or what stands behind it would come first.
    text = str(value).replace("\x00", "")
    plain_number = text.isascii() and re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
    if not plain_number and not _FORMULA_STARTS.isdisjoint((text[:1], text.lstrip()[:1])):
        text = f"'{text}"
    if any(character in text for character in ',"\r\n;'):
        text = '"' + text.replace('"', '""') + '"'
    return text


def csv_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A CSV file (RFC 4180) in UTF-8."""
    lines = [",".join(csv_cell(cell) for cell in row) for row in (header, *rows)]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")

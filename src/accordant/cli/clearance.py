"""Commands about compliance checks: `clearance record` keeps a finding, `clearance check-vat` asks the register of tax
numbers for one, `clearance list` says what the gates say.
"""

import asyncio
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance
from accordant.cli.options import COMMON, Common, charter_in_force, now, opened_hub, opened_store, person
from accordant.cli.render import emit, say, shown, table
from accordant.kernel.errors import ConfigurationError, RejectedError

if TYPE_CHECKING:
    from accordant.canonical.charter import Charter
    from accordant.operations.check_vat import VatCheck
    from accordant.store.engine import Database
    from accordant.views.clearances import ClearanceLine

clearance_app = App(
    name="clearance", help="What KYC, KYB, AML, VAT and tax form checks found, and which gates it opens."
)


@clearance_app.command
def record(
    customer: Annotated[str, Parameter(help="The customer, by an id of billing, of the CRM or of the hub.")],
    /,
    *,
    check: Annotated[CheckKind, Parameter(help="Which check: kyc, kyb, aml, vat or tax-form.")],
    status: Annotated[CheckStatus, Parameter(help="What it found: passed, pending, failed or not-required.")],
    evidence: Annotated[str, Parameter(help="The case or document number; never the document.")],
    checked_on: Annotated[date | None, Parameter(help="Day of the check; today if it is left out.")] = None,
    reason: Annotated[str, Parameter(help="Why, in a sentence; a failed check needs it.")] = "",
    who: Annotated[str | None, Parameter(name="--as", help="Your name; else the operating system's user.")] = None,
    common: Common = COMMON,
) -> int:
    """Keep what a check found of a customer. What its gates held, or let go, is decided anew at once."""
    moment = now()
    found = Clearance(
        account_id="",
        check=check,
        status=status,
        evidence=evidence.strip(),
        checked_at=moment if checked_on is None else datetime.combine(checked_on, time(), tzinfo=UTC),
        recorded_by=person(who, common=common),
        recorded_at=moment,
        reason=reason.strip(),
    )
    return asyncio.run(_record(common, customer, found))


async def _record(common: Common, customer: str, said: Clearance) -> int:
    from accordant.views.clearances import clearances_of

    async with opened_hub(common) as hub:
        found = msgspec.structs.replace(said, account_id=_account(hub.database, hub.charter, customer))
        hub.clear(found)
        lines = clearances_of(hub.database, hub.charter, found.account_id, now=found.recorded_at)
    if common.json:
        emit({"customer": found.account_id, "lines": lines})
        return 0
    say(f"Recorded for {found.account_id}: {found.check} {found.status.value.replace('_', ' ')}.")
    _tell(tuple(line for line in lines if line.check is found.check))
    return 0


@clearance_app.command(name="list")
def list_(
    customer: Annotated[
        str | None, Parameter(help="One customer; the newest findings of all if it is left out.")
    ] = None,
    /,
    *,
    common: Common = COMMON,
) -> int:
    """What the checks found, and what each gate says of it today. Exit code 1 when a gate holds this customer."""
    from accordant.views.clearances import clearances, clearances_of

    moment = now()
    with opened_store(common) as database:
        charter = charter_in_force(database)
        if charter is None:
            raise ConfigurationError(
                "This store has worked under no charter yet.", remedy="Run `accordant serve` once."
            )
        if customer is not None:
            lines = clearances_of(database, charter, _account(database, charter, customer), now=moment)
            if common.json:
                emit({"lines": lines})
            else:
                _tell(lines)
            return 0 if all(line.is_open for line in lines) else 1
        seen = clearances(database, charter, now=moment)
    if common.json:
        emit(seen)
        return 0
    if not seen.gates:
        say("The charter has no gates, so nothing asks for a check.")
        return 0
    table(
        "Gates",
        ("Gate", "Check", "Open", "Held", "Of these without a finding"),
        ((one.gate, one.check.value, shown(one.open), shown(one.held), shown(one.unknown)) for one in seen.gates),
    )
    _tell(seen.lines)
    return 0


@clearance_app.command(name="check-vat")
def check_vat(
    customer: Annotated[
        str | None, Parameter(help="One customer; everybody whose answer is missing or old if it is left out.")
    ] = None,
    /,
    *,
    number: Annotated[str, Parameter(help="The number to ask about; those billing has if it is left out.")] = "",
    who: Annotated[str | None, Parameter(name="--as", help="Your name; else the operating system's user.")] = None,
    common: Common = COMMON,
) -> int:
    """Ask the European register whether tax numbers are valid. Exit code 1 unless all that were asked about are."""
    return asyncio.run(_check_vat(common, customer, number, person(who, common=common)))


async def _check_vat(common: Common, customer: str | None, number: str, actor: str) -> int:
    from accordant.operations.check_vat import told_of_vat
    from accordant.web.vat_desk import vat_desk

    if customer is None and number:
        raise RejectedError("A number alone is nobody's.", remedy="Name the customer whose number it is.")
    async with opened_hub(common) as hub, vat_desk(hub) as desk:
        if customer is None:
            found = await desk.check_due(actor=actor)
            if common.json:
                emit(found)
            else:
                say(told_of_vat(found))
            return 0 if not (found.invalid or found.unknown or found.resting) else 1
        checked = await desk.check(_account(hub.database, hub.charter, customer), actor=actor, number=number)
        lines = _vat_lines(hub.database, hub.charter, checked.account_id)
    if common.json:
        emit({"customer": checked.account_id, "answers": _answers(checked), "lines": lines})
    else:
        table(
            "The register's answers",
            ("Number", "Answer", "Consultation", "Asked", "Name, as the register has it"),
            (
                (one["number"], one["answer"], one["consultation"], one["asked_on"], one["name"])
                for one in _answers(checked)
            ),
        )
        for refused in checked.not_asked:
            say(f"Not asked: {refused.because} {refused.next_action}")
        if checked.finding is None:
            say("Nothing new was found, so what was found before stands.")
        _tell(lines)
    return 0 if checked.finding is not None and checked.finding.status is CheckStatus.PASSED else 1


def _answers(checked: "VatCheck") -> list[dict[str, str]]:
    """The answers as they are shown: numbers, names and addresses shortened, whoever reads them."""
    from accordant.kernel.masking import cover_name, cover_number

    return [
        {
            "number": one.asked.country + cover_number(one.asked.number),
            "answer": one.verdict.value + (f" ({one.code})" if one.code else ""),
            "consultation": one.consultation,
            "asked_on": f"{one.asked_at:%Y-%m-%d}",
            "name": cover_name(one.name),
            "address": cover_name(one.address),
            "digest": one.digest,
        }
        for one in checked.answers
    ]


def _vat_lines(database: "Database", charter: "Charter", account_id: str) -> "tuple[ClearanceLine, ...]":
    """What the gates that ask for the vat check say of a customer now."""
    from accordant.views.clearances import clearances_of

    lines = clearances_of(database, charter, account_id, now=now())
    return tuple(line for line in lines if line.check is CheckKind.VAT)


def _account(database: "Database", charter: "Charter", customer: str) -> str:
    """The hub's id of a customer. Raises RejectedError when nobody is known by that id."""
    from accordant.views.lookup import look_up

    hit = look_up(database, customer, connections=charter.systems)
    if hit is None or hit.page != "customer":
        raise RejectedError(
            f"No customer has the id {customer!r}.", remedy="Give the id billing, the CRM or the hub has for it."
        )
    return hit.id


def _tell(lines: "tuple[ClearanceLine, ...]") -> None:
    table(
        "Findings",
        ("Customer", "Check", "Finding", "Of", "What the gates say"),
        (
            (
                line.ref or line.account_id,
                line.check.value,
                "unknown" if line.finding is None else line.finding.status.value.replace("_", " "),
                "" if line.finding is None else f"{line.finding.checked_at:%Y-%m-%d}",
                " ".join(line.verdicts) or "No gate asks for this check.",
            )
            for line in lines
        ),
    )

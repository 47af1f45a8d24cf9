"""The charter's ledger part: every row leads to an open account, no two contradict each other, each system has some."""

import itertools
import re
from collections.abc import Iterator, Mapping

from accordant.canonical.books import AccountRulePart, BundlePart, LedgerPart, LegalEntityPart, Role, ServiceKind
from accordant.canonical.charter import Charter
from accordant.canonical.refs import EntityKind
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place
from accordant.kernel.money import CurrencyUnknown, exponent_of

#: What every bill, payment and refund needs; without one of them nothing of its kind can be posted.
NEEDED = (
    Role.RECEIVABLE,
    Role.DEFERRED_REVENUE,
    Role.REVENUE,
    Role.CONTRA_REVENUE,
    Role.SALES_TAX,
    Role.CLEARING,
    Role.BANK,
    Role.CUSTOMER_BALANCE,
    Role.REFUND_LIABILITY,
)

_PRICE = re.compile(r"\d{1,15}(\.\d{1,9})?")


def check_ledger(charter: Charter, _connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """The books, where the charter has any."""
    part = charter.ledger
    yield from _flows(charter)
    if part is None:
        return
    for system, owner in part.systems.items():
        where = place("ledger", "systems", system)
        if system not in charter.systems:
            known = ", ".join(charter.systems)
            yield _defect(where, f"The charter has no system {system!r}.", f"Its systems are: {known}.")
        if owner not in part.legal_entities:
            known = ", ".join(part.legal_entities) or "none yet"
            yield _defect(where, f"There is no legal entity {owner!r}.", f"Under ledger.legal_entities: {known}.")
    for index, bundle in enumerate(part.bundles):
        yield from _bundle(place("ledger", "bundles", index), bundle)
    for name, entity in part.legal_entities.items():
        yield from _entity(name, entity)
        yield from _unbilled(name, entity, part)


def _bundle(where: str, bundle: BundlePart) -> Iterator[Defect]:
    if len(bundle.parts) < 2 or bundle.product in bundle.parts:
        problem = f"The bundle {bundle.product!r} is not made of two or more other products."
        yield _defect(where, problem, "Name its parts, each with its stand-alone price.")
    for part, price in bundle.parts.items():
        if not _PRICE.fullmatch(price) or not price.strip("0."):
            problem = f"{price!r} is no stand-alone price of {part!r}."
            yield _defect(where, problem, "Write a decimal number above zero as text, as in '50.00'.")


def _flows(charter: Charter) -> Iterator[Defect]:
    """Ledger documents come of the books of a system whose bills are somebody's; nothing else is of a kind of them."""
    booked = set() if charter.ledger is None else set(charter.ledger.systems)
    for index, flow in enumerate(charter.flows):
        if flow.entity is EntityKind.LEDGER_DOCUMENT:
            if flow.source not in booked:
                problem = f"{flow.name} carries ledger documents of {flow.source}, whose bills are in nobody's books."
                yield _defect(place("flows", index, "source"), problem, "Name the system under ledger.systems.")
        elif flow.documents:
            problem = f"{flow.name} carries {flow.entity} and names kinds of ledger documents."
            yield _defect(place("flows", index, "documents"), problem, "Remove `documents`, or carry ledger_document.")


def _entity(name: str, entity: LegalEntityPart) -> Iterator[Defect]:
    here = ("ledger", "legal_entities", name)
    try:
        exponent_of(entity.currency)
    except CurrencyUnknown as error:
        yield _defect(place(*here, "currency"), error.message, "Use a code of ISO 4217 in capitals, as in EUR.")
    if not 1 <= entity.year_starts_month <= 12:
        yield _defect(
            place(*here, "year_starts_month"),
            f"A year does not start in month {entity.year_starts_month}.",
            "Give a month from 1 to 12.",
        )
    for name_of_code in ("tax_code", "reverse_charge_code"):
        code = getattr(entity, name_of_code)
        if code is not None and code not in entity.tax_codes:
            yield _defect(
                place(*here, name_of_code), f"The tax code {code!r} is not listed.", "Add it under tax_codes."
            )
    for index, row in enumerate(entity.rules):
        yield from _row(place(*here, "rules", index), entity, row)
    for (first, one), (second, other) in itertools.combinations(enumerate(entity.rules), 2):
        if _use(one) == _use(other) and one.from_on == other.from_on and one.account != other.account:
            yield _defect(
                place(*here, "rules", second),
                f"The rows {first + 1} and {second + 1} send {one.role.value} to two accounts from the same day on.",
                "Remove one, or give the later one a day on which it takes over (from_on).",
            )
    held = {row.role for row in entity.rules}
    for role in NEEDED:
        if role not in held:
            yield _defect(
                place(*here, "rules"),
                f"Nothing says which account of {name} takes {role.value}.",
                f"Add a row with role: {role.value}; until then what needs it is refused with this reason.",
                severity=Severity.WARNING,
            )


def _unbilled(name: str, entity: LegalEntityPart, part: LedgerPart) -> Iterator[Defect]:
    """What is earned before it is billed needs an account: usage, and a project."""
    needing = [one for one, kind in part.services.items() if kind in {ServiceKind.USAGE, ServiceKind.PROJECT}]
    if needing and name in part.systems.values() and Role.CONTRACT_ASSET not in {row.role for row in entity.rules}:
        yield _defect(
            place("ledger", "legal_entities", name, "rules"),
            f"Nothing says which account of {name} takes contract_asset, and {needing[0]} may be earned before it is"
            " billed.",
            f"Add a row with role: {Role.CONTRACT_ASSET.value}; until then its months are refused with this reason.",
            severity=Severity.WARNING,
        )


def _row(where: str, entity: LegalEntityPart, row: AccountRulePart) -> Iterator[Defect]:
    account = entity.accounts.get(row.account)
    if account is None or account.closed:
        state = "is not in the chart" if account is None else "is closed"
        yield _defect(where, f"The account {row.account!r} {state}.", "Add it under accounts, or name another.")
    if row.tax_code is not None and row.tax_code not in entity.tax_codes:
        yield _defect(where, f"The tax code {row.tax_code!r} is not listed.", "Add it under tax_codes.")
    if row.from_on is not None and row.until_on is not None and row.from_on >= row.until_on:
        yield _defect(where, "The row ends before it begins.", "Give from_on before until_on.")


def _use(row: AccountRulePart) -> tuple[Role, str | None, str | None, str | None]:
    return row.role, row.product, row.tax_code, row.processor


def _defect(where: str, problem: str, remedy: str, *, severity: Severity = Severity.ERROR) -> Defect:
    # What is wrong with the books stops no flow: it stops the charter, or what would be posted.
    return Defect(where=where, problem=problem, remedy=remedy, severity=severity)

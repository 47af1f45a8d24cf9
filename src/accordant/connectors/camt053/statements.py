"""ISO 20022 camt.053, the bank's statement of an account, into values. Pure: bytes in, statements out.
Guarantees that what was booked leads from the opening balance to the closing one, or nothing of the file counts.
Source: the message definition camt.053.001.02 to .12 (https://www.iso20022.org). Next: inbound.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from accordant.canonical.bank import BankLine, BankStatement
from accordant.kernel.errors import RejectedError
from accordant.kernel.hashing import digest
from accordant.kernel.money import Money

#: Where the account stood before the first booking and after the last: opening (or the closing of before), closing.
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)
#: Texts of a booking by which it may be known.
_TEXTS = ("EndToEndId", "InstrId", "TxId", "PmtInfId", "Ustrd", "Ref", "AddtlNtryInf", "AddtlTxInf")
_NOT_PROVIDED = frozenset({"NOTPROVIDED", "NONREF"})


class StatementUnreadable(RejectedError):
    """The file is no statement, or does not add up. ``where`` is the element."""

    remedy = "Ask the bank for the file again; the one that came is kept as it was."

    def __init__(self, message: str, *, where: str) -> None:
        super().__init__(message)
        self.where = where


def message_id(body: bytes) -> str:
    """The bank's own name of the message. Raises StatementUnreadable."""
    return _text(_one(_root(body), "GrpHdr"), "MsgId")


def read_statements(body: bytes) -> tuple[BankStatement, ...]:
    """Every statement of one file. Raises StatementUnreadable with the element that does not fit."""
    found = tuple(_statement(part) for part in _all(_root(body), "Stmt"))
    if not found:
        raise StatementUnreadable("The message holds no statement.", where="BkToCstmrStmt")
    return found


def _root(body: bytes) -> Element:
    try:
        document = fromstring(body, forbid_dtd=True)
    except DefusedXmlException:
        raise StatementUnreadable(
            "The file declares a document type, which no statement does.", where="DOCTYPE"
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise StatementUnreadable(f"The file is no XML: {error}.", where="Document") from None
    return _one(document, "BkToCstmrStmt")


def _statement(part: Element) -> BankStatement:
    account = _account(_one(part, "Acct"))
    lines = tuple(_lines(part))
    opening, opened_on = _balance(part, _OPENING)
    closing, closed_on = _balance(part, _CLOSING)
    total = opening
    for line in lines:
        if line.amount.currency != opening.currency:
            raise StatementUnreadable(f"{line.reference} is in another currency than its account.", where="Ntry/Amt")
        total += line.amount
    if total != closing:
        raise StatementUnreadable(
            f"The bookings lead from {opening} to {total}, and the statement closes at {closing}.", where="Bal/CLBD"
        )
    names = [line.reference for line in lines]
    if len(set(names)) < len(names):
        raise StatementUnreadable("Two bookings have one reference.", where="Ntry/AcctSvcrRef")
    days = [line.booked_on for line in lines]
    return BankStatement(
        external_id=f"{account}/{_text(part, 'Id')}",
        account=account,
        starts_on=min([_span(part, "FrDtTm") or opened_on, *days]),
        ends_on=max([_span(part, "ToDtTm") or closed_on, *days]),
        opening=opening,
        closing=closing,
        lines=lines,
        created_at=_instant(_text(part, "CreDtTm")),
    )


def _lines(part: Element) -> Iterator[BankLine]:
    """What was booked; what is only announced counts in no balance."""
    for number, entry in enumerate(_all(part, "Ntry"), start=1):
        status = _one(entry, "Sts")
        if (_text_or_none(status, "Cd") or (status.text or "").strip()) != "BOOK":
            continue
        booked_on = _day(_one(entry, "BookgDt"))
        texts = tuple(dict.fromkeys(text for text in _texts(entry) if text not in _NOT_PROVIDED))
        amount = _amount(entry)
        said = f"{number} {booked_on} {amount.amount_minor} {texts}".encode()
        yield BankLine(
            reference=_text_or_none(entry, "AcctSvcrRef") or _text_or_none(entry, "NtryRef") or digest(said).hex()[:32],
            amount=amount,
            booked_on=booked_on,
            valued_on=None if (valued := _find(entry, "ValDt")) is None else _day(valued),
            texts=texts,
            counterparty=_counterparty(entry, amount),
        )


def _texts(entry: Element) -> Iterator[str]:
    for node in entry.iter():
        if _name(node) in _TEXTS and (text := " ".join((node.text or "").split())):
            yield text


def _counterparty(entry: Element, amount: Money) -> str | None:
    """Who paid, or was paid; a name stands at the party or, in newer versions, one below it."""
    wanted = "Dbtr" if amount.amount_minor > 0 else "Cdtr"
    for node in entry.iter():
        if _name(node) == wanted:
            for part in node.iter():
                if _name(part) == "Nm" and (part.text or "").strip():
                    return (part.text or "").strip()
    return None


def _balance(part: Element, kinds: tuple[str, ...]) -> tuple[Money, date]:
    by_kind = {_text_or_none(_one(one, "Tp"), "CdOrPrtry", "Cd"): one for one in _all(part, "Bal")}
    for kind in kinds:
        if (found := by_kind.get(kind)) is not None:
            return _amount(found), _day(_one(found, "Dt"))
    raise StatementUnreadable(f"The statement has no balance {' or '.join(kinds)}.", where="Bal")


def _amount(node: Element) -> Money:
    amount, side = _one(node, "Amt"), _text(node, "CdtDbtInd")
    if side not in {"CRDT", "DBIT"}:
        raise StatementUnreadable(f"{side!r} is neither credit nor debit.", where="CdtDbtInd")
    try:
        found = Money.parse((amount.text or "").strip(), amount.get("Ccy", ""))
    except RejectedError as error:
        raise StatementUnreadable(error.message, where="Amt") from None
    if found.amount_minor < 0:
        raise StatementUnreadable("An amount has a sign of its own.", where="Amt")
    return found if side == "CRDT" else -found


def _account(node: Element) -> str:
    found = _text_or_none(node, "Id", "IBAN") or _text_or_none(node, "Id", "Othr", "Id")
    if not found:
        raise StatementUnreadable("The account has no number.", where="Acct/Id")
    return found.replace(" ", "")


def _span(part: Element, name: str) -> date | None:
    text = _text_or_none(part, "FrToDt", name)
    return None if text is None else _instant(text).date()


def _day(node: Element) -> date:
    """A day, or the day of an instant as the bank's own clock has it."""
    text = _text_or_none(node, "Dt") or _text(node, "DtTm")
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise StatementUnreadable(f"{text[:40]!r} is no day.", where=_name(node)) from None


def _instant(text: str) -> datetime:
    """An instant; without a zone it is taken for UTC, since the file names none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise StatementUnreadable(f"{text[:40]!r} is no moment.", where="CreDtTm") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


# -- elements, whatever version of the message their name space says --------------------------------------------------


def _name(node: Element) -> str:
    return node.tag.rpartition("}")[2]


def _all(node: Element, name: str) -> Iterator[Element]:
    return (child for child in node if _name(child) == name)


def _find(node: Element, name: str) -> Element | None:
    return next(_all(node, name), None)


def _one(node: Element, name: str) -> Element:
    found = _find(node, name)
    if found is None:
        raise StatementUnreadable(f"{_name(node)} has no {name}.", where=f"{_name(node)}/{name}")
    return found


def _text_or_none(node: Element, *path: str) -> str | None:
    found: Element | None = node
    for name in path:
        found = None if found is None else _find(found, name)
    return None if found is None else (found.text or "").strip() or None


def _text(node: Element, name: str) -> str:
    found = _text_or_none(node, name)
    if found is None:
        raise StatementUnreadable(f"{_name(node)} has no {name}.", where=f"{_name(node)}/{name}")
    return found

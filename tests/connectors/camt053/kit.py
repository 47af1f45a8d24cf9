"""Files as a bank writes them, of any version of the message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from xml.sax.saxutils import escape

IBAN = "DE02120300000000202051"


@dataclass(frozen=True)
class Entry:
    """One booking; ``amount`` in major units, a debit when negative."""

    amount: str
    day: date
    reference: str | None = None
    text: str = ""
    end_to_end: str | None = None
    name: str | None = None
    status: str = "BOOK"


def statement(
    entries: Iterable[Entry],
    *,
    day: date,
    number: str = "1",
    iban: str = IBAN,
    currency: str = "EUR",
    opening: str = "0.00",
    closing: str | None = None,
    version: str = "08",
    until: date | None = None,
) -> bytes:
    """A file with one statement of ``day``; it adds up unless another ``closing`` is said."""
    booked = list(entries)
    end = Decimal(opening) + sum((Decimal(one.amount) for one in booked if one.status == "BOOK"), Decimal(0))
    opened, closed = (
        _balance("OPBD", opening, currency, day),
        _balance("CLBD", closing or str(end), currency, until or day),
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>MSG-{iban[-4:]}-{day}-{number}</MsgId><CreDtTm>{day}T23:50:00+01:00</CreDtTm></GrpHdr>"
        f"<Stmt><Id>{day.year}-{number}</Id><CreDtTm>{day}T23:50:00+01:00</CreDtTm>"
        f"<Acct><Id><IBAN>{iban}</IBAN></Id><Ccy>{currency}</Ccy></Acct>{opened}{closed}"
        f"{''.join(_entry(one, currency, version) for one in booked)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def _amount(value: str, currency: str) -> str:
    amount = Decimal(value)
    side = "DBIT" if amount < 0 else "CRDT"
    return f'<Amt Ccy="{currency}">{abs(amount)}</Amt><CdtDbtInd>{side}</CdtDbtInd>'


def _balance(kind: str, value: str, currency: str, day: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>{_amount(value, currency)}<Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def _entry(one: Entry, currency: str, version: str) -> str:
    old = version == "02"
    party = "Cdtr" if one.amount.startswith("-") else "Dbtr"
    name = "" if one.name is None else f"<Nm>{escape(one.name)}</Nm>"
    inner = name if old else f"<Pty>{name}</Pty>"
    parties = f"<RltdPties><{party}>{inner}</{party}></RltdPties>" if name else ""
    end_to_end = f"<Refs><EndToEndId>{one.end_to_end or 'NOTPROVIDED'}</EndToEndId></Refs>"
    text = f"<RmtInf><Ustrd>{escape(one.text)}</Ustrd></RmtInf>" if one.text else ""
    reference = f"<AcctSvcrRef>{one.reference}</AcctSvcrRef>" if one.reference else ""
    status = one.status if old else f"<Cd>{one.status}</Cd>"
    return (
        f"<Ntry>{_amount(one.amount, currency)}<Sts>{status}</Sts><BookgDt><Dt>{one.day}</Dt></BookgDt>"
        f"<ValDt><Dt>{one.day}</Dt></ValDt>{reference}<NtryDtls><TxDtls>{end_to_end}{parties}{text}</TxDtls></NtryDtls>"
        f"</Ntry>"
    )

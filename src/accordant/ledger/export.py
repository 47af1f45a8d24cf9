"""The whole ledger as text that other programs read and judge: beancount and hledger's journal; CSV is in ``tables``.

Formats: beancount's language syntax and hledger's journal format as their manuals have them. Account names become
legal in each; amounts keep exactly the places of their currency.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from accordant.canonical.books import AccountType
from accordant.kernel.money import Money, exponent_of
from accordant.ledger.chart import Chart
from accordant.ledger.entries import JournalEntry

_ROOTS = {
    AccountType.ASSET: "Assets",
    AccountType.LIABILITY: "Liabilities",
    AccountType.EQUITY: "Equity",
    AccountType.REVENUE: "Income",
    AccountType.EXPENSE: "Expenses",
}
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9]+")


def account_names(charts: Sequence[Chart]) -> dict[tuple[str, str], str]:
    """The name of each account in the export, by legal entity and code: ``Assets:Acme-Inc:1200-Receivable``.

    Raises nothing: two codes never get one name, since the code is part of it.
    """
    return {
        (chart.legal_entity, code): ":".join(
            (_ROOTS[account.type], _word(chart.legal_entity), f"{_word(code)}-{_word(account.name)}")
        )
        for chart in charts
        for code, account in chart.accounts.items()
    }


def beancount(entries: Iterable[JournalEntry], charts: Sequence[Chart], *, opened_on: date) -> Iterator[str]:
    """Lines of a beancount file: every account opened, every entry a transaction with its id and its cause."""
    names = account_names(charts)
    currencies = sorted({chart.currency for chart in charts})
    for currency in currencies:
        yield f'option "operating_currency" "{currency}"'
    for name in sorted(names.values()):
        yield f"{opened_on.isoformat()} open {name}"
    for one in entries:
        yield ""
        yield f'{one.posted_on.isoformat()} * "{_quoted(one.text)}"'
        for word, value in _facts(one):
            yield f'  {word}: "{_quoted(value)}"'
        for posting in one.postings:
            yield f"  {names[one.legal_entity, posting.account]}  {_plain(posting.amount)} {posting.amount.currency}"
            if posting.original is not None:
                yield f'    original: "{_agreed(posting.original)}"'


def hledger(entries: Iterable[JournalEntry], charts: Sequence[Chart]) -> Iterator[str]:
    """Lines of an hledger journal: every account declared with its type, every entry a transaction with its tags."""
    names = account_names(charts)
    for currency in sorted({chart.currency for chart in charts}):
        # The mark after the digits says that it is the decimal one, where a currency has no decimals.
        yield f"commodity {currency} 1000.{'0' * exponent_of(currency)}"
    for chart in charts:
        for code, account in sorted(chart.accounts.items()):
            yield f"account {names[chart.legal_entity, code]}  ; type: {_HLEDGER_TYPE[account.type]}"
    for one in entries:
        yield ""
        yield f"{one.posted_on.isoformat()} * ({one.id}) {_one_line(one.text)}"
        for word, value in _facts(one):
            yield f"    ; {word}: {_one_line(value).replace(',', ' ')}"
        for posting in one.postings:
            tag = "" if posting.original is None else f"  ; original: {_agreed(posting.original)}"
            name = names[one.legal_entity, posting.account]
            yield f"    {name}  {posting.amount.currency} {_plain(posting.amount)}{tag}"


_HLEDGER_TYPE = {
    AccountType.ASSET: "A",
    AccountType.LIABILITY: "L",
    AccountType.EQUITY: "E",
    AccountType.REVENUE: "R",
    AccountType.EXPENSE: "X",
}


def _facts(one: JournalEntry) -> Iterator[tuple[str, str]]:
    yield "entry", one.id
    yield "event", one.cause.event
    yield "subject", one.cause.subject
    yield "rule", one.cause.rule
    if one.effective_on != one.posted_on:
        yield "effective", one.effective_on.isoformat()
    if one.reverses is not None:
        yield "reverses", one.reverses


def _word(text: str) -> str:
    """A part of an account name that both programs take: letters, digits and dashes, beginning with a capital."""
    word = _NOT_A_WORD.sub("-", text).strip("-")
    return word[:1].upper() + word[1:] if word else "X"


def _plain(amount: Money) -> str:
    return f"{amount.to_decimal():f}"


def _agreed(original: Money) -> str:
    """The amount in the currency of the deal, beside that of the books."""
    return f"{original.currency} {_plain(original)}"


def _one_line(text: str) -> str:
    return " ".join(text.replace(";", ",").split())


def _quoted(text: str) -> str:
    return _one_line(text).replace("\\", "\\\\").replace('"', '\\"')

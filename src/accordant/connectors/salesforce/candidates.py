"""Whose an Account or a Contact is: the fields that tell, the questions that find one, its rows as candidates.
Guarantees that no value can change a question, and that an Account is also found by its people's e-mail.
Next: outbound.py, which asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from urllib.parse import quote_plus, urlsplit

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.salesforce.soql import QUESTION_BYTES_MAX, checked_name, quoted
from accordant.connectors.salesforce.wire import Json

#: Rows one question may bring: what more records share tells nothing apart.
ROWS_MAX = 200
#: Records of one page when all of them are read: what Salesforce sends in one answer.
PAGE_ROWS = 2_000
#: Asked with the ids of Accounts behind it.
PEOPLE_OF = "SELECT Id, AccountId, Email FROM Contact WHERE Email != null AND AccountId"
_WORD_LENGTH_MIN = 3  # shorter words begin too many names
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_WILD = str.maketrans({"%": "\\%", "_": "\\_"})
_USUAL: dict[str, dict[RecordAttribute, str]] = {
    "account": {
        RecordAttribute.NAME: "Name",
        RecordAttribute.WEBSITE: "Website",
        RecordAttribute.PHONE: "Phone",
        RecordAttribute.POSTCODE: "BillingPostalCode",
        RecordAttribute.COUNTRY: "BillingCountry",
        RecordAttribute.PARENT: "ParentId",
    },
    "contact": {
        RecordAttribute.NAME: "Name",
        RecordAttribute.EMAIL: "Email",
        RecordAttribute.PHONE: "Phone",
        RecordAttribute.POSTCODE: "MailingPostalCode",
        RecordAttribute.COUNTRY: "MailingCountry",
        RecordAttribute.PARENT: "AccountId",
    },
}


def is_searched(spec: IdentitySpec) -> bool:
    """Whether records of this object tell whose they are; what is below them (a subscription) goes where they go."""
    return spec.object.lower() in _USUAL


def fields_of(spec: IdentitySpec) -> dict[RecordAttribute, str]:
    """The field of each attribute: the usual ones, and what the charter says instead. Raises NameInvalid."""
    found = _USUAL[spec.object.lower()] | spec.fields
    return {attribute: checked_name(name) for attribute, name in found.items()}


def record_questions(spec: IdentitySpec, keys: Iterable[MatchKey], ids: Collection[str]) -> Iterator[str]:
    """Questions for the records that have one of ``keys`` in a field of their own, or one of ``ids``."""
    fields = fields_of(spec)
    head = f"{_selected(spec)} WHERE "
    conditions = [condition for key in sorted(keys) for condition in _conditions(fields, key)]
    conditions += [f"Id = {quoted(one)}" for one in sorted(ids)]
    return _asked(head, conditions)


def page_question(spec: IdentitySpec, after: str) -> str:
    """The question for the next records in the order of their ids."""
    behind = f" WHERE Id > {quoted(after)}" if after else ""
    return f"{_selected(spec)}{behind} ORDER BY Id LIMIT {PAGE_ROWS}"


def _selected(spec: IdentitySpec) -> str:
    names = dict.fromkeys(["Id", checked_name(spec.key_field), *fields_of(spec).values()])
    # Every name went through checked_name, every value goes through quoted.
    return f"SELECT {', '.join(names)} FROM {checked_name(spec.object)}"  # noqa: S608


def people_questions(keys: Iterable[MatchKey]) -> Iterator[str]:
    """Questions for the people whose e-mail may lead to an Account."""
    email = {RecordAttribute.EMAIL: "Email"}
    conditions = [condition for key in sorted(keys) for condition in _conditions(email, key)]
    return _asked("SELECT Id, AccountId, Email FROM Contact WHERE AccountId != null AND ", conditions)


def _asked(head: str, conditions: Iterable[str]) -> Iterator[str]:
    """One question for as many conditions as fit into an address."""
    tail = f") ORDER BY Id LIMIT {ROWS_MAX}"
    base = len(quote_plus(f"{head}({tail}"))
    chunk: list[str] = []
    size = base
    for condition in dict.fromkeys(conditions):
        cost = len(quote_plus(f" OR {condition}"))
        if chunk and size + cost > QUESTION_BYTES_MAX:
            yield f"{head}({' OR '.join(chunk)}{tail}"
            chunk, size = [], base
        chunk.append(condition)
        size += cost
    if chunk:
        yield f"{head}({' OR '.join(chunk)}{tail}"


def _conditions(fields: Mapping[RecordAttribute, str], key: MatchKey) -> Iterator[str]:
    """How a record with this key may be found. A phone or a place is spelled in too many ways to be asked for."""
    email, website = fields.get(RecordAttribute.EMAIL), fields.get(RecordAttribute.WEBSITE)
    match key.kind:
        case KeyKind.EMAIL if email:
            yield f"{email} = {quoted(key.value)}"
        case KeyKind.DOMAIN:
            if email:
                yield f"{email} LIKE {_like('%@', key.value)}"
                yield f"{email} LIKE {_like('%.', key.value)}"
            if website:
                yield f"{website} LIKE {_like('%', key.value, '%')}"
        case KeyKind.TAX_ID if tax_id := fields.get(RecordAttribute.TAX_ID):
            yield f"{tax_id} LIKE {_like('%', key.value.rpartition(':')[2], '%')}"
        case KeyKind.NAME if name := fields.get(RecordAttribute.NAME):
            for word in key.value.split():
                if len(word) >= _WORD_LENGTH_MIN:
                    yield f"{name} LIKE {_like('', word, '%')}"
        case KeyKind.CROSS_REFERENCE if _ID.fullmatch(key.value):
            yield f"Id = {quoted(key.value)}"
        case _:
            return


def _like(before: str, text: str, after: str = "") -> str:
    """A pattern with ``text`` as it stands, whatever signs it holds."""
    # Quoting doubles the backslash of an escaped sign: it is put in behind it.
    return f"'{before}{quoted(text)[1:-1].translate(_WILD)}{after}'"


def read_person(row: Json) -> tuple[str, str] | None:
    """The Account and the e-mail of one row; None where either is empty."""
    account_id, email = row.get("AccountId"), row.get("Email")
    return (account_id, email) if isinstance(account_id, str) and isinstance(email, str) else None


def read_candidate(spec: IdentitySpec, row: Json, emails: Iterable[str] = ()) -> Candidate:
    """One row as a candidate; ``emails`` are those of the people below it."""
    fields = fields_of(spec)

    def text(attribute: RecordAttribute) -> str | None:
        name = fields.get(attribute)
        value = None if name is None else row.get(name)
        return value.strip() or None if isinstance(value, str) else None

    own, key = text(RecordAttribute.EMAIL), row.get(spec.key_field)
    website, tax_id, phone = (
        text(attribute) for attribute in (RecordAttribute.WEBSITE, RecordAttribute.TAX_ID, RecordAttribute.PHONE)
    )
    return Candidate(
        system=spec.system,
        object=spec.object,
        id=str(row["Id"]),
        name=text(RecordAttribute.NAME),
        emails=tuple(dict.fromkeys(one for one in (own, *emails) if one)),
        domains=() if website is None else (_host(website),),
        tax_ids=() if tax_id is None else (tax_id,),
        cross_references=(key,) if isinstance(key, str) and key else (),
        phones=() if phone is None else (phone,),
        postcode=text(RecordAttribute.POSTCODE),
        country=text(RecordAttribute.COUNTRY),
        parent_id=text(RecordAttribute.PARENT),
    )


def _host(website: str) -> str:
    """The host of what stands in a field for a website, with or without its scheme."""
    try:
        return urlsplit(website if "//" in website else f"//{website}").hostname or website
    except ValueError:
        return website

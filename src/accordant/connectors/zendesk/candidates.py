"""Whose an organization is: the questions that find one, and its rows as candidates.
Guarantees that no value can change a question. Source: Zendesk's search reference. Next: outbound.py, which asks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from accordant.canonical.charter import RecordAttribute
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.sdk.plain_json import Json, Row

_WORD_LENGTH_MIN = 3  # shorter words begin too many names
_CUSTOM = "organization_fields."


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question. ``list`` is the member of the answer that holds the rows; ``of_people`` asks for users."""

    path: str
    list: str
    query: Mapping[str, str]
    of_people: bool = False


def questions(keys: Collection[MatchKey]) -> Iterator[Question]:
    """What is asked for keys. A phone, a place and a tax number Zendesk keeps nowhere of its own."""
    for key in sorted(keys):
        match key.kind:
            case KeyKind.EMAIL:
                query = {"query": f"email:{_quoted(key.value)}"}
                yield Question(path="users/search", list="users", query=query, of_people=True)
            case KeyKind.DOMAIN:
                query = {"query": f"type:organization {_quoted(key.value)}"}
                yield Question(path="search", list="results", query=query)
            case KeyKind.NAME:
                for word in key.value.split():
                    if len(word) >= _WORD_LENGTH_MIN:
                        yield Question(path="organizations/autocomplete", list="organizations", query={"name": word})
            case KeyKind.CROSS_REFERENCE if key.value.isdecimal():
                yield Question(path="organizations/show_many", list="organizations", query={"ids": key.value})
            case _:
                continue


def read(spec: IdentitySpec, row: Row, emails: Iterable[str] = ()) -> Candidate:
    """One organization as a candidate; ``emails`` are those of its people by which it was found."""

    def own(attribute: RecordAttribute) -> str | None:
        """A field that the charter names for it."""
        name = spec.fields.get(attribute)
        if name is None:
            return None
        held: Json = row.get(name)
        if name.startswith(_CUSTOM):
            held = (row.get(_CUSTOM[:-1]) or {}).get(name.removeprefix(_CUSTOM))
        return held.strip() or None if isinstance(held, str) else None

    tax_id, phone, website = (
        own(attribute) for attribute in (RecordAttribute.TAX_ID, RecordAttribute.PHONE, RecordAttribute.WEBSITE)
    )
    key = row.get(spec.key_field)
    mail = own(RecordAttribute.EMAIL)
    domains = [str(one) for one in row.get("domain_names") or ()]
    return Candidate(
        system=spec.system,
        object=spec.object,
        id=str(row["id"]),
        name=str(row.get("name") or "").strip() or None,
        emails=tuple(dict.fromkeys(one for one in (mail, *sorted(emails)) if one)),
        domains=tuple(dict.fromkeys(one for one in (website, *domains) if one)),
        tax_ids=() if tax_id is None else (tax_id,),
        cross_references=(key,) if isinstance(key, str) and key else (),
        phones=() if phone is None else (phone,),
        postcode=own(RecordAttribute.POSTCODE),
        country=own(RecordAttribute.COUNTRY),
    )


def _quoted(text: str) -> str:
    """A text inside a query: Zendesk knows no escape, so that what would end it is left out and finds nothing."""
    return '"' + text.replace('"', "").replace("\\", "") + '"'

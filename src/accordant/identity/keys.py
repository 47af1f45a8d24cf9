"""The normalised keys of a customer and of a record: where the two have one in common, it is worth comparing them."""

from collections.abc import Iterable

import msgspec

from accordant.canonical.charter import CustomerModel, IdentityPart
from accordant.canonical.matching import Candidate, KeyKind, MatchKey, Subject
from accordant.identity.domains import DomainBook, DomainKind, registrable
from accordant.identity.normalize import Mailbox, TaxId, company_name, mailbox, phone, place, tax_ids


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What is comparable of a customer or a record, normalised. Empty where nothing is known."""

    references: frozenset[str]
    tax_ids: frozenset[TaxId]
    mailboxes: frozenset[Mailbox]
    domains: frozenset[str]
    name: str
    phones: frozenset[str]
    place: str | None

    def keys(self) -> frozenset[MatchKey]:
        """Every key. A name's key has its words in order, so that it finds the same words in another."""
        pairs: list[tuple[KeyKind, Iterable[str]]] = [
            (KeyKind.CROSS_REFERENCE, self.references),
            (KeyKind.TAX_ID, map(str, self.tax_ids)),
            (KeyKind.EMAIL, map(str, self.mailboxes)),
            (KeyKind.DOMAIN, self.domains),
            (KeyKind.PHONE, self.phones),
            (KeyKind.PLACE, (self.place,) if self.place else ()),
            (KeyKind.NAME, (" ".join(sorted(self.name.split())),) if self.name else ()),
        ]
        return frozenset(MatchKey(kind, value) for kind, values in pairs for value in values)


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads customers and records into profiles, by the charter's lists."""

    book: DomainBook
    is_company: bool

    @classmethod
    def of(cls, part: IdentityPart) -> "Reader":
        """The reader of a charter."""
        book = DomainBook(
            extra_free_mail=_registered(part.free_mail_domains), extra_shared=_registered(part.shared_domains)
        )
        return cls(book=book, is_company=part.model is CustomerModel.B2B)

    def subject(self, subject: Subject) -> Profile:
        """The profile of a customer. Its own id is a reference too: a record may hold it."""
        mailboxes = self._mailboxes(subject.emails)
        return Profile(
            references=frozenset({subject.external_id, *subject.references}),
            tax_ids=tax_ids(subject.tax_ids, subject.country),
            mailboxes=mailboxes,
            domains=self._domains(box.host for box in mailboxes),
            name=company_name(subject.name or ""),
            phones=_phones(subject.phones),
            place=place(subject.postcode, subject.country),
        )

    def record(self, record: Candidate) -> Profile:
        """The profile of a record. Its own id, and its number there, are references too: a customer may hold one."""
        mailboxes = self._mailboxes(record.emails)
        return Profile(
            references=frozenset({record.id, *record.numbers, *record.cross_references, *record.merged_ids}),
            tax_ids=tax_ids(record.tax_ids, record.country),
            mailboxes=mailboxes,
            domains=self._domains([*record.domains, *(box.host for box in mailboxes)]),
            name=company_name(record.name or ""),
            phones=_phones(record.phones),
            place=place(record.postcode, record.country),
        )

    def _mailboxes(self, texts: Iterable[str]) -> frozenset[Mailbox]:
        """A throw-away mailbox is somebody else's tomorrow: it is not kept."""
        found = (mailbox(text) for text in texts)
        return frozenset(box for box in found if box is not None and not self._is_disposable(box))

    def _is_disposable(self, box: Mailbox) -> bool:
        domain = registrable(box.host)
        return domain is None or self.book.kind_of(domain) is DomainKind.DISPOSABLE

    def _domains(self, hosts: Iterable[str]) -> frozenset[str]:
        """A person has no domain, whoever's mailbox it is."""
        return self.book.company_domains(hosts) if self.is_company else frozenset()


def _registered(domains: Iterable[str]) -> frozenset[str]:
    return frozenset(found for one in domains if (found := registrable(one)) is not None)


def _phones(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(found for one in texts if (found := phone(one)) is not None)

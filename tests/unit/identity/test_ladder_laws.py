"""Laws of matching, for any names and mailboxes: one spelling stays one, order never counts, a name never links."""

from __future__ import annotations

import unicodedata

import msgspec
import pytest
from cleanco.clean import basename, prepare_default_terms
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import IdentityPart
from accordant.canonical.matching import Candidate, Matched, Rung, Subject
from accordant.identity.countries import country_code
from accordant.identity.domains import host_of, registrable
from accordant.identity.keys import Reader
from accordant.identity.ladder import Ladder, name_score
from accordant.identity.normalize import company_name, mailbox, phone, place, tax_ids, without_suffix

LADDER = Ladder.of(IdentityPart(shared_domains=("agency-x.com",)))

_words = st.sampled_from(
    ["acme", "northwind", "traders", "bank", "omaha", "ohio", "group", "labs", "müller", "ümit", "株式会社", "トヨタ"]
)
_forms = st.sampled_from(["", " Inc.", " GmbH & Co. KG", " Ltd", " S.A.", " Co., Ltd.", " (UK) Limited", " and Sons"])
_names = st.builds(lambda words, form: " ".join(words) + form, st.lists(_words, min_size=1, max_size=3), _forms)
_texts = st.text(max_size=40) | _names
_domains = st.sampled_from(["acme-x.com", "eu.acme-x.com", "gmail.com", "yopmail.com", "agency-x.com", "mit.edu"])
_emails = st.builds(
    lambda local, domain: f"{local}@{domain}", st.sampled_from(["bob", "b.ob", "bob+x", "al"]), _domains
)
_numbers = st.sampled_from(["DE136695976", "DE811569869", "GB980780684", "nonsense"])
_ids = st.sampled_from(["001A", "001B", "001C", "001D"])


def _some(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


_subjects = st.builds(
    lambda name, emails, numbers: Subject(
        account_id="acc", external_id="cus_1", name=name, emails=emails, tax_ids=numbers
    ),
    st.none() | _names,
    _some(_emails),
    _some(_numbers),
)
_records = st.builds(
    lambda id_, name, emails, numbers, into, deleted: Candidate(
        system="crm", object="Account", id=id_, name=name, emails=emails, tax_ids=numbers, merged_into=into,
        deleted=deleted,
    ),
    _ids,
    st.none() | _names,
    _some(_emails),
    _some(_numbers),
    st.none() | st.none() | _ids,
    st.booleans(),
)  # fmt: skip


@given(_texts)
def test_a_name_that_was_normalised_stays_as_it_is(text: str) -> None:
    once = company_name(text)
    assert company_name(once) == once
    assert company_name(text.upper()) == company_name(text.upper().lower().upper())


@given(_texts)
def test_the_form_of_the_letters_never_counts(text: str) -> None:
    assert company_name(unicodedata.normalize("NFC", text)) == company_name(unicodedata.normalize("NFD", text))


@given(st.text(max_size=80) | _emails)
def test_a_mailbox_that_was_normalised_stays_as_it_is(text: str) -> None:
    once = mailbox(text)
    assert once is None or mailbox(str(once)) == once


@given(st.text(max_size=80), st.none() | st.text(max_size=3))
def test_nothing_a_person_types_breaks_the_rest(text: str, country: str | None) -> None:
    assert registrable(text) is None or "." in str(registrable(text))
    tax_ids([text], country)
    assert phone(text) is None or len(phone(text) or "") == 9
    place(text, country)


@given(_names, _names)
def test_likeness_has_no_direction(one: str, other: str) -> None:
    ours, theirs = company_name(one), company_name(other)
    assert name_score(ours, theirs) == name_score(theirs, ours)
    assert 0 <= name_score(ours, theirs) <= 100


@given(_names, st.lists(_names, max_size=4))
def test_a_name_alone_never_links_and_never_asks(name: str, others: list[str]) -> None:
    records = {
        f"001{n}": Candidate(system="crm", object="Account", id=f"001{n}", name=other) for n, other in enumerate(others)
    }
    verdict = LADDER.climb(Subject(account_id="acc", external_id="cus_1", name=name), records)
    assert type(verdict).__name__ == "Unmatched"


@given(_subjects, st.lists(_records, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_the_records_never_counts(subject: Subject, records: list[Candidate], dice: object) -> None:
    known = {one.id: one for one in records}
    mixed = list(known.items())
    dice.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis types its dice loosely
    assert LADDER.climb(subject, dict(mixed)) == LADDER.climb(subject, known)


@given(_subjects, st.lists(_records, max_size=5))
def test_a_link_leads_to_a_living_record_and_says_why(subject: Subject, records: list[Candidate]) -> None:
    known = {one.id: one for one in records}
    verdict = LADDER.climb(subject, known)
    if isinstance(verdict, Matched):
        assert not known[verdict.candidate.id].deleted
        assert known[verdict.candidate.id].merged_into is None
        proof = [one for one in verdict.evidence if one.rung is verdict.rung and not one.against]
        assert proof
        assert verdict.rung not in {Rung.NAME, Rung.NAME_AND_PLACE}
        assert not any(one.against for one in verdict.evidence)


@given(_subjects, _records)
def test_every_record_with_something_in_common_is_found_by_a_key(subject: Subject, record: Candidate) -> None:
    alone = msgspec.structs.replace(record, merged_into=None, deleted=False)
    verdict = LADDER.climb(subject, {alone.id: alone})
    reader = Reader.of(IdentityPart(shared_domains=("agency-x.com",)))
    shared = reader.subject(subject).keys() & reader.record(alone).keys()
    assert shared or not isinstance(verdict, Matched)


@given(st.text(alphabet="abX9-.n", min_size=1, max_size=70), st.sampled_from(["", ".com", ".1", ".co.uk"]))
def test_a_plain_host_is_what_the_long_way_finds(text: str, end: str) -> None:
    assert host_of(text + end) == host_of(f"//{text}{end}")


_form_words = st.sampled_from(
    ["co", "S.A.", "gmbh", "&", "KG", "p.", "ltd,", "pty", "LLC!", "s", "de", "rl", "株式会社", "x"]
)


@given(_texts | st.lists(_form_words, max_size=6).map(" ".join))
def test_the_short_way_takes_off_the_same_forms(text: str) -> None:
    assert without_suffix(text) == basename(text)


def test_the_short_way_keeps_the_order_of_the_forms() -> None:
    forms = [" ".join(parts) for _, parts in prepare_default_terms()][::8]
    names = [f"acme {one} {other}" for one in forms for other in forms]
    assert [without_suffix(name) for name in names] == [basename(name) for name in names]


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=30))
def test_plain_letters_fold_as_accented_ones_do(text: str) -> None:
    assert company_name(f"{text} \u00e9 zzzz") == company_name(f"{text} e zzzz")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("DE", "DE"),
        (" de ", "DE"),
        ("DEU", "DE"),
        ("Germany", "DE"),
        ("Deutschland", "DE"),
        ("Österreich", "AT"),
        ("UK", "GB"),
        ("U.S.A.", "US"),
        ("United States of America", "US"),
        ("Korea, Republic of", "KR"),
        ("日本", "JP"),
        ("Niger", "NE"),
        ("Nigeria", "NG"),
        ("Atlantis", None),
        ("...", None),
        ("", None),
    ],
)
def test_a_country_is_known_by_its_codes_and_by_its_names(text: str, code: str | None) -> None:
    assert country_code(text) == code


@given(st.text(max_size=20))
def test_a_country_is_two_letters_or_nothing_and_stays_what_it_is(text: str) -> None:
    code = country_code(text)
    assert code is None or (len(code) == 2 and code.isascii() and code.isupper() and country_code(code) == code)
